"""Typer's usage errors, put the way molspace puts its own: what, why and fix.

Typer's exceptions are known by their names and attributes, not by their classes: older
versions raise click's, newer ones their own copies of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from molspace_cli.default_command import DefaultGroup

if TYPE_CHECKING:
    from reactions.core.errors import UsageError

_ALTERNATIVES = re.compile(r"'(?P<value>.*)' is not one of (?P<choices>'.*')")
_SAME = {"--bundle": "--space", "--space": "--bundle"}
"""Options by which some commands ask for what others ask for by another."""

_NUMBERS = (("integer", "a whole number"), ("number", "a number"), ("float", "a number"))


def is_usage_error(error: Exception) -> bool:
    """Return whether typer raised an error about the command line."""
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


def asks_for_help(error: Exception) -> bool:
    """Return whether an error stands for a command that was called without anything."""
    return type(error).__name__ == "NoArgsIsHelpError"


def is_abort(error: Exception) -> bool:
    """Return whether a person cancelled a question, by Ctrl-C or at the end of the input."""
    return type(error).__name__ == "Abort"


def refuse_valueless(root: Any, arguments: Sequence[str]) -> None:
    """Refuse options with an empty value, mostly variables of a shell that are not set, or without.

    Raises:
        UsageError: there is one. As a path an empty value would be the working folder, and the
            option that stands where a value was left out a folder of its name.
    """
    from reactions.core.errors import UsageError

    path, command = _command(root, arguments)
    options = {option for param in command.params for option in param.opts if option[:2] == "--"}
    with_value = {
        option for param in command.params if _takes_value(param) for option in param.opts
    }
    for index, argument in enumerate(arguments):
        if argument == "--":
            return
        head, equals, tail = argument.partition("=")
        value = tail if equals else (*arguments, None)[index + 1]
        if head in with_value and head.startswith("--") and value == "":
            raise UsageError(
                f"{head} is empty",
                why="perhaps a variable of the shell that is not set",
                fix=f"give it a value, or leave it out   (see {path} --help)",
                command=path,
            )
        if head in with_value and head.startswith("--") and not equals and value in options:
            raise UsageError(
                f"{head} needs a value",
                why=f"what follows it, {value}, is an option of {path}",
                fix=f"{head} VALUE {value}   or, if it is meant, {head}={value}",
                command=path,
            )


def refuse_repeated(root: Any, arguments: Sequence[str]) -> None:
    """Refuse options with one value that are given two: the first would be ignored.

    Raises:
        UsageError: there is one.
    """
    from reactions.core.errors import UsageError

    path, command = _command(root, arguments)
    param_of = {o: param for param in command.params if _takes_value(param) for o in param.opts}
    values: dict[str, str] = {}
    words = iter(arguments)
    for argument in words:
        if argument == "--":
            return
        head, equals, tail = argument.partition("=")
        param = param_of.get(head)
        if param is None or (equals and not head.startswith("--")):
            continue
        value = tail if equals else next(words, "")
        before = values.setdefault(param.name, value)
        if before != value and not param.multiple:
            joined = f"{head} {before},{value}" if "," in (param.metavar or "") else ""
            raise UsageError(
                f"{head} is given twice",
                why=f"it has one value, and here are '{before}' and '{value}'",
                fix=joined or "leave one of them out",
                command=path,
            )


def _takes_value(param: Any) -> bool:
    return param.param_type_name == "option" and not getattr(param, "is_flag", False)


def translated(error: Exception, root: Any, arguments: Sequence[str]) -> UsageError:
    """Return a usage error of typer's as one of ours.

    Args:
        error: what typer raised.
        root: the whole program's command.
        arguments: the command line, without the program's name.
    """
    from reactions.core.errors import UsageError

    path, command = _command(root, arguments)
    if (context := getattr(error, "ctx", None)) is not None:
        path, command = context.command_path, context.command
    names = {base.__name__ for base in type(error).__mro__}
    see = f"{path} --help"
    if "NoSuchOption" in names:
        return _no_such_option(str(getattr(error, "option_name", "")), path, command)
    if "MissingParameter" in names:
        return _missing(getattr(error, "param", None), path, see)
    if "BadParameter" in names:
        return _bad_value(error, getattr(error, "param", None), arguments, see)
    text = _plain(getattr(error, "message", "") or str(error))
    option = getattr(error, "option_name", "")
    if re.search(r"requires (an argument|\d+ arguments)", text):
        param = _parameter(command, option)
        metavar = getattr(param, "metavar", None) or "VALUE"
        return UsageError(f"{option} needs a value", fix=f"{option} {metavar}", command=path)
    if "does not take a value" in text:
        return UsageError(f"{option} takes no value", fix=f"{option} alone", command=path)
    if unknown := re.match(r"No such command '?(.*?)'?\.(?:\s|$)", text):
        return _no_such_command(unknown[1], path, command)
    if extra := re.match(r"Got unexpected extra arguments? ?(?:\(s\) )?\(?(.*?)\)?$", text):
        return _too_many(extra[1], path, command, see)
    if text.startswith("Missing command"):
        commands = ", ".join(getattr(command, "commands", {}))
        return UsageError(f"{path} needs a command", fix=f"one of: {commands}", command=path)
    return UsageError(text[:1].lower() + text[1:].rstrip("."), fix=f"see {see}", command=path)


def _command(root: Any, arguments: Sequence[str]) -> tuple[str, Any]:
    """Return the path and the command that a command line names, as far as it names one."""
    path, command = "molspace", root
    rest = list(arguments)
    while rest:
        if isinstance(command, DefaultGroup):
            rest = command.followed(rest)
        commands = getattr(command, "commands", {})
        if rest[0] not in commands:
            break
        path, command = f"{path} {rest[0]}", commands[rest[0]]
        rest = rest[1:]
    return path, command


def _options(command: Any) -> list[str]:
    """Return all ways to write the options of a command."""
    params = [param for param in command.params if param.param_type_name == "option"]
    written = [option for param in params for option in (*param.opts, *param.secondary_opts)]
    return [*written, "--help"]


def _parameter(command: Any, option: str) -> Any:
    return next((param for param in command.params if option in param.opts), None)


def _no_such_option(option: str, path: str, command: Any) -> UsageError:
    from reactions.core.errors import UsageError, did_you_mean

    near = did_you_mean(option, [name for name in _options(command) if name.startswith("--")])
    shown = " or ".join(f"'{name}'" for name in near)
    fix = f"did you mean {shown}?  (all: {path} --help)" if near else f"all options: {path} --help"
    why = ""
    if (same := _SAME.get(option)) in _options(command):
        fix = f"{same}   (all options: {path} --help)"
    below = list(getattr(command, "commands", {}).values())
    if any(option in _options(sub) for sub in _leaves(below)):
        why = "an option stands after the command it belongs to"
        fix = f"{path} COMMAND {option}   (all options: {path} COMMAND --help)"
    return UsageError(f"{path} has no option '{option}'", why=why, fix=fix, command=path)


def _leaves(commands: Sequence[Any]) -> list[Any]:
    leaves: list[Any] = []
    for command in commands:
        leaves += [command, *_leaves(list(getattr(command, "commands", {}).values()))]
    return leaves


def _no_such_command(name: str, path: str, command: Any) -> UsageError:
    from reactions.core.errors import UsageError, suggestion

    names = list(getattr(command, "commands", {}))
    fix = suggestion(name, names, see=f"{path} --help")
    return UsageError(f"{path} has no command '{name}'", fix=fix, command=path, known=names)


def _missing(param: Any, path: str, see: str) -> UsageError:
    from reactions.core.errors import UsageError

    if param is None:
        return UsageError(f"{path} lacks an argument", fix=f"see {see}", command=path)
    metavar = param.metavar or param.name.upper()
    if param.param_type_name == "option":
        name = param.opts[-1]
        metavar = metavar if param.metavar else "VALUE"
        return UsageError(
            f"{path} needs {name}", fix=f"{name} {metavar}   (see {see})", command=path
        )
    return missing(metavar, param.help, path)


def missing(metavar: str | None, meaning: str | None, path: str) -> UsageError:
    """Return the error for an argument that was left out."""
    from reactions.core.errors import UsageError

    why = _plain(meaning or "")
    return UsageError(f"{path} needs {metavar}", why=why, fix=f"see {path} --help", command=path)


def _bad_value(error: Exception, param: Any, arguments: Sequence[str], see: str) -> UsageError:
    from reactions.core.errors import UsageError, did_you_mean

    text = _plain(str(getattr(error, "message", "") or error)).removeprefix("Value error, ")
    if param is None:
        return UsageError(text.rstrip("."), fix=f"see {see}")
    is_option = param.param_type_name == "option"
    name = param.opts[-1] if is_option else (param.metavar or param.name.upper())
    value = _given(param.opts, arguments) if is_option else None
    if match := _ALTERNATIVES.search(text):
        choices = [choice.strip("' ") for choice in match["choices"].rstrip(".").split(",")]
        what = f"{name}: '{match['value']}' is not one of {', '.join(choices)}"
        near = did_you_mean(match["value"], choices)
        return UsageError(
            what, fix=f"did you mean '{near[0]}'?" if near else f"{name} {choices[0]}"
        )
    quoted = "" if value is None else f"'{value}' "
    if value is not None and (outside := _outside(param, value)) is not None:
        least, most = _limits(param)
        within = f"{least:g} or more" if most is None else f"a number from {least} to {most}"
        return UsageError(f"{name}: {quoted}is {outside}", fix=within, minimum=least, maximum=most)
    for word, meaning in _NUMBERS:
        if re.search(rf"valid {word}\b", text):
            what = f"{name}: {quoted}is not {meaning}"
            return UsageError(what, fix=f"{name} {'5' if word == 'integer' else '0.5'}")
    return UsageError(f"{name}: {quoted}cannot be used", why=text.rstrip("."), fix=f"see {see}")


def _limits(param: Any) -> tuple[float | None, float | None]:
    """Return the least and the largest number that an option takes; None where there is none."""
    # Of the parameter itself in newer versions of typer, of its type in older ones.
    kind = getattr(param, "type", None)
    least, most = (getattr(param, of, getattr(kind, of, None)) for of in ("min", "max"))
    return least, most


def _outside(param: Any, value: str) -> str | None:
    """Return how a number lies outside of an option's limits; None if it does not, or is none."""
    least, most = _limits(param)
    try:
        number = float(value)
    except ValueError:
        return None
    if least is not None and number < least:
        return "too small"
    return "too large" if most is not None and number > most else None


def _given(options: Sequence[str], arguments: Sequence[str]) -> str | None:
    """Return the last value that the command line gives an option."""
    value = None
    for index, argument in enumerate(arguments):
        head, equals, tail = argument.partition("=")
        if head in options:
            value = tail if equals else (*arguments, "")[index + 1]
    return value


def _too_many(extra: str, path: str, command: Any, see: str) -> UsageError:
    from reactions.core.errors import UsageError

    why = fix = ""
    if any(param.name == "expression" for param in command.params):
        why = "a reaction is one argument"
        fix = f'quotes around it: {path} "A + Cr(B)"'
    shown = " ".join(extra.split()).strip("'\"")
    return UsageError(
        f"{path}: unexpected argument '{shown}'", why=why, fix=fix or f"see {see}", command=path
    )


def _plain(text: str) -> str:
    return " ".join(text.split())
