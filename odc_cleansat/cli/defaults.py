"""Options that nobody gives on the command line, but ``cleansat.toml`` does: its tables ``[commands.NAME]``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from ..settings import SettingsError, check_key, settings_file


def option_defaults(group: click.Group) -> dict[str, Any]:
    """Return what the file of settings says of options, as click's `default_map`.

    Parameters
    ----------
    group
        The command whose subcommands have the tables.

    Raises
    ------
    SettingsError
        If there is no such command or option, or it cannot have the value.
    """
    found = settings_file()
    return _of_group(group, found.commands, f"{found.path}, [commands", click.Context(group))


def _of_group(
    group: click.Group, tables: Mapping[str, Any], where: str, context: click.Context
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, table in tables.items():
        check_key(name, group.list_commands(context), f"{where}]")
        command, here = group.get_command(context, name), f"{where}.{name}"
        assert command is not None
        if not isinstance(table, dict):
            raise SettingsError(f"{here}]: {name} is a command; write its options below this line.")
        inside = click.Context(command, context, info_name=name)
        if isinstance(command, click.Group):
            found[name] = _of_group(command, table, here, inside)
        else:
            found[name] = _of_command(command, table, f"{here}]", inside)
    return found


def _of_command(
    command: click.Command, table: Mapping[str, Any], where: str, context: click.Context
) -> dict[str, Any]:
    options = option_keys(command)
    found: dict[str, Any] = {}
    for key, value in table.items():
        check_key(key, options, where)
        try:
            options[key].type_cast_value(context, value)
        except click.BadParameter as error:
            raise SettingsError(
                f"{where}: {key} is {value!r}, which is no value of --{key}: {error.message}"
            ) from error
        assert options[key].name is not None
        found[options[key].name] = value
    return found


def option_variables(group: click.Group, prefix: str = "CLEANSAT") -> Iterator[str]:
    """Yield the variables of the environment that stand for options of a command and of those below it."""
    context = click.Context(group)
    for param in group.params:
        yield f"{prefix}_{param.name}".upper()
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = f"{prefix}_{name}"
        if isinstance(command, click.Group):
            yield from option_variables(command, inner)
        elif command is not None:
            yield from (f"{inner}_{param.name}".upper() for param in command.params)


def option_keys(command: click.Command) -> dict[str, click.Option]:
    """Return the options of a command by their keys in the file: the first long name, without hyphens before it."""
    options = (each for each in command.params if isinstance(each, click.Option))
    return {next(name for name in each.opts if name.startswith("--"))[2:]: each for each in options}
