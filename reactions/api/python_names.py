"""Errors in Python's words: arguments, where the library's own messages name options."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from reactions.core.errors import MolspaceError

_P = ParamSpec("_P")
_R = TypeVar("_R")

_OPTION = re.compile(r"""--([a-z][a-z-]*)( (?=[A-Z0-9"']|\w+:))?""")
"""An option; the second group is the blank before its value, if it has one."""

_OTHER_NAMES = {"task": "tasks", "template": "templates", "id": "ids", "corpus": "corpora"}
"""Options whose arguments are called otherwise."""


def python_names(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let what a function raises name its arguments, such as ``lambda_`` for ``--lambda``.

    What it has no argument for is left as it is.
    """
    arguments = frozenset(inspect.signature(function).parameters)

    def written(match: re.Match[str]) -> str:
        name = match[1].replace("-", "_")
        candidates = (name, f"{name}_", _OTHER_NAMES.get(name, ""))
        argument = next((argument for argument in candidates if argument in arguments), None)
        return match[0] if argument is None else argument + ("=" if match[2] else "")

    @wraps(function)
    def called(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except MolspaceError as error:
            error.what, error.why, error.fix = (
                _OPTION.sub(written, text) for text in (error.what, error.why, error.fix)
            )
            error.args = (error.what, *error.args[1:])
            raise

    return called
