"""What a command acts on, as its first argument or by ``--space``: either form, in every command.

    @named_space
    @grouped
    def show(bundle: Annotated[str | None, typer.Argument(metavar="BUNDLE")] = None) -> None: ...

``show`` then takes ``show DIR`` and ``show --space DIR``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer
from typer.models import ArgumentInfo

from molspace_cli import complete
from molspace_cli.usage import missing

_OPTION, _CONTEXT = "space_by_name", "context"
_BY_NAME = Annotated[
    str | None,
    typer.Option(
        "--space",
        metavar="BUNDLE|EXPR|NAME|URI",
        autocompletion=complete.targets,
        help="What the first argument names, as an option instead.",
        show_default=False,
    ),
]


def named_space(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take what its first argument names by ``--space``, too.

    What else stands on the command line are then the arguments after the first. An argument
    that has no default is still needed, in one form or the other.

    Args:
        command: with an argument of typer's, in an annotation, that names what it acts on.
    """
    hints = get_type_hints(command, include_extras=True)
    signature = inspect.signature(command)
    arguments = {name: info for name, hint in hints.items() if (info := _argument(hint))}
    needed = [name for name in arguments if signature.parameters[name].default is Parameter.empty]
    first, *following = arguments
    after = following[0] if following else None
    kinds = () if after is None else get_args(get_args(hints[after])[0])
    takes_many = any(get_origin(kind) is list for kind in kinds)
    parameters = [
        parameter.replace(
            kind=Parameter.KEYWORD_ONLY,
            default=None if name in needed else parameter.default,
            annotation=_or_none(hints[name]) if name in needed else hints[name],
        )
        for name, parameter in signature.parameters.items()
    ]
    parameters += [
        Parameter(_OPTION, Parameter.KEYWORD_ONLY, default=None, annotation=_BY_NAME),
        Parameter(_CONTEXT, Parameter.KEYWORD_ONLY, annotation=typer.Context),
    ]

    @functools.wraps(command)
    def run(*args: Any, **values: Any) -> None:
        values |= dict(zip(signature.parameters, args, strict=False))  # of a program
        context = values.pop(_CONTEXT, None)
        if (by_option := values.pop(_OPTION, None)) is not None:
            first_value, values[first] = values.get(first), by_option
            if first_value is not None:
                _shift(values, first_value, by_option, after, takes_many=takes_many)
        for name in needed:
            if values.get(name) is None:
                path = context.command_path if context else "the command"
                raise missing(arguments[name].metavar, arguments[name].help, path)
        command(**values)

    # typer reads both, as of ``grouped``.
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _argument(hint: Any) -> ArgumentInfo | None:
    """Return what an annotation says of an argument; None for an option."""
    return next((part for part in get_args(hint)[1:] if isinstance(part, ArgumentInfo)), None)


def _or_none(hint: Any) -> Any:
    kind, info = get_args(hint)
    return Annotated[kind | None, info]


def _shift(
    values: dict[str, Any], first_value: str, by_option: str, after: str | None, *, takes_many: bool
) -> None:
    """Make the first argument what follows the one that ``--space`` names.

    Args:
        values: of all parameters; changed.
        first_value: the first argument.
        by_option: what ``--space`` says.
        after: the name of the second argument; None if there is none.
        takes_many: whether that one takes several.

    Raises:
        UsageError: the first argument names something to act on, too.
    """
    from reactions.core.errors import UsageError
    from reactions.products.bundles.reference import names_bundle

    has_room = after is not None and (takes_many or values.get(after) is None)
    if after is None or not has_room or names_bundle(Path(first_value)):
        raise UsageError(
            f"'{first_value}' and --space {by_option} both say what to use",
            fix="leave one of them out",
        )
    values[after] = [first_value, *(values.get(after) or ())] if takes_many else first_value
