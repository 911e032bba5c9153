"""The subcommands of `cleansat`, one module each, with a `command`."""
