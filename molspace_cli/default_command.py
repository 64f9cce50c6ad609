"""A group of commands one of which may be left out: ``molspace index BUNDLE`` builds."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class DefaultGroup(TyperGroup):
    """A group whose first command runs where the command line names none."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default command's name before arguments that name no command."""
        default = next(iter(self.commands))
        asks = args and args[0] in ("-h", "--help")
        if args and not asks and args[0] not in self.commands:
            args = [default, *args]
        return super().parse_args(ctx, args)
