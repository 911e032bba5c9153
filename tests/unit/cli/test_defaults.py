"""Options that the file of settings gives: they come after the command line and the environment."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from calling import Run, failure, good

from odc_cleansat import settings
from odc_cleansat.cli.defaults import option_defaults, option_keys
from odc_cleansat.cli.main import COMMANDS, main


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings._read.cache_clear()
    monkeypatch.delenv(settings.FILE_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cleansat.toml"


def test_command_line_environment_file_default(
    file: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, object] = {}
    monkeypatch.setattr(
        "odc_cleansat.demo.run_demo", lambda out, *_, **more: seen.update(out=out, **more)
    )
    monkeypatch.setattr("odc_cleansat.cli.demo._print_result", lambda *_: None)
    good(run("demo"))
    assert (seen["out"], seen["offset"]) == (Path("cleansat-demo"), None)
    file.write_text('[commands.demo]\nout = "of-the-file"\noffset = -1000\n')
    settings._read.cache_clear()
    good(run("demo"))
    assert (seen["out"], seen["offset"]) == (Path("of-the-file"), -1000.0)
    monkeypatch.setenv("CLEANSAT_DEMO_OUT", "of-the-environment")
    good(run("demo"))
    assert seen["out"] == Path("of-the-environment")
    good(run("demo", "--out", "given"))
    assert (seen["out"], seen["offset"]) == (Path("given"), -1000.0)
    other = file.with_name("other.toml")
    other.write_text("[commands.demo]\noffset = 0\n")
    good(run("--settings", other, "demo"))
    assert seen["offset"] == 0.0
    good(run("demo"))
    assert seen["offset"] == -1000.0, "what a call is given ends with it"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[commands.rum]", r"\[commands\] has no key 'rum'.* Did you mean 'run'\?"),
        ("[commands.run]\nworker = 2", r"\[commands.run\] has no key 'worker'.* Did you mean 'workers'\?"),
        ("[commands.run]\nworkers = 'two'", "workers is 'two', which is no value of --workers"),
        ("[commands.app]\nallowed-host = 3", "allowed-host is 3, which is no value of --allowed-host"),
        ("[commands.models]\nfetsh = {}", "has no key 'fetsh'.* Did you mean 'fetch'"),
        ("[commands]\nrun = 2", "run is a command; write its options below this line"),
    ],
)  # fmt: skip
def test_commands_and_options_that_there_are_not(
    file: Path, run: Run, text: str, said: str
) -> None:
    import re

    file.write_text(text)
    assert re.search(said, line := failure(run("status"))), line


def test_options_of_all_commands_have_keys(file: Path) -> None:
    file.write_text(
        '[commands.app]\nallowed-host = ["a", "b"]\n[commands.models.list]\njson = true\n'
    )
    found = option_defaults(main)
    assert found == {"app": {"allowed_hosts": ["a", "b"]}, "models": {"list": {"as_json": True}}}
    context = click.Context(main)
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        for each in command.commands.values() if isinstance(command, click.Group) else [command]:
            keys = option_keys(each)
            options = [param for param in each.params if isinstance(param, click.Option)]
            assert len(keys) == len(options)
