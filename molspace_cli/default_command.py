"""A group of commands one of which may be left out: ``molspace index BUNDLE`` builds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typer.core import TyperGroup


class DefaultGroup(TyperGroup):
    """A group whose first command runs where the command line names none."""

    def followed(self, arguments: Sequence[str]) -> list[str]:
        """Return arguments that begin with a command: the default one, where they name none."""
        asks = bool(arguments) and arguments[0] in ("-h", "--help")
        if not arguments or asks or arguments[0] in self.commands:
            return list(arguments)
        return [next(iter(self.commands)), *arguments]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default command's name before arguments that name no command."""
        return super().parse_args(ctx, self.followed(args))
