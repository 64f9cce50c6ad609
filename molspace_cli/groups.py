"""Options that go together: declared once as a dataclass, taken by any command as one argument.

    @dataclass(frozen=True)
    class Where(Group):
        lab: Annotated[str | None, typer.Option("--lab")] = None

    @grouped
    def show(name: str, *, where: Where) -> None: ...

``show`` then has the option ``--lab``, which its function finds as ``where.lab``.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from inspect import Parameter
from typing import Any, get_type_hints


class Group:
    """Base of dataclasses whose fields are options; every field has a default."""


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Spread the groups that a command takes into the options that typer is to know.

    Args:
        command: its parameters that are annotated with a ``Group`` are replaced, where they
            stand, by the fields of that group, in order.
    """
    hints = get_type_hints(command, include_extras=True)
    signature = inspect.signature(command)
    groups: dict[str, type[Any]] = {}
    flat: list[Parameter] = []
    for name, parameter in signature.parameters.items():
        hint = hints[name]
        if isinstance(hint, type) and issubclass(hint, Group):
            groups[name] = hint
            flat += _parameters(hint)
        else:
            flat.append(parameter.replace(annotation=hint, kind=Parameter.POSITIONAL_OR_KEYWORD))
    # Python wants parameters without a default first; typer does not mind the order.
    flat = [
        p if p.default is Parameter.empty else p.replace(kind=Parameter.KEYWORD_ONLY) for p in flat
    ]
    spread = signature.replace(parameters=flat)

    @functools.wraps(command)
    def run(*args: Any, **values: Any) -> None:
        bound = spread.bind(*args, **values)
        bound.apply_defaults()
        values = dict(bound.arguments)
        for name, group in groups.items():
            values[name] = group(**{p.name: values.pop(p.name) for p in _parameters(group)})
        command(**values)

    # typer reads both: names and defaults from the one, types from the other.
    run.__signature__ = spread  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in flat}
    return run


def _parameters(group: type[Any]) -> list[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in dataclasses.fields(group)
    ]
