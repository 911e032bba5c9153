"""Names that a user types: of commands, and of the values of options. A misspelt one is answered by the one it is like."""

from __future__ import annotations

from typing import Any

import click

from ..arguments import meant

_FUNCTIONS = {"classify": "mask", "composite": "export", "load": "recall", "page": "review"}
"""Functions in Python to the commands that do the same."""


class Group(click.Group):
    """A command with subcommands."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the subcommand that is called, and its arguments.

        Raises
        ------
        click.UsageError
            If there is none of that name.
        """
        name, known = args[0], self.list_commands(ctx)
        if name not in known and not name.startswith("-") and not ctx.resilient_parsing:
            same = _FUNCTIONS.get(name)
            like = f" Did you mean {same!r}?" if same in known else meant(name, known)
            raise click.UsageError(
                f"there is no command {name!r}; there are {', '.join(known)}.{like}", ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands with the first sentences of their help, whole."""
        found = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, each.get_short_help_str(300)) for name, each in found.items() if each]
            )


class Choice(click.Choice):  # type: ignore[type-arg]
    """One of some words."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the word.

        Raises
        ------
        click.BadParameter
            If it is none of them.
        """
        known = list(map(str, self.choices))
        if value not in known:
            text = f"{value!r} is none of {', '.join(known)}.{meant(value, known)}"
            raise click.BadParameter(text, ctx, param)
        return super().convert(value, param, ctx)
