"""Options that the file of settings gives: they come after the command line and the environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from calling import Run, failure, good
from conftest import Cube

from odc_cleansat import settings
from odc_cleansat.batch import Report
from odc_cleansat.cli.defaults import option_defaults, option_keys
from odc_cleansat.cli.main import COMMANDS, main
from odc_cleansat.errors import CleansatError
from odc_cleansat.synthetic.scene import SimulatedScene


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    settings._read.cache_clear()
    monkeypatch.delenv(settings.FILE_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "cleansat.toml"
    settings._read.cache_clear()


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


@pytest.mark.usefixtures("fast_network")
def test_settings_of_a_search_do_not_hinder_a_scene(
    file: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    SimulatedScene(shape=(120, 120)).write(file.with_name("scene"))
    file.write_text('[commands.mask]\nstac-api = "https://stac.example"\n')
    monkeypatch.setenv("CLEANSAT_MASK_COLLECTION", "theirs")
    good(run("mask", "scene", "-o", "masks"))
    said = failure(run("mask", "scene", "-o", "masks", "--stac-api", "https://other.example"), 2)
    assert "not both" in said


def test_what_is_typed_of_two_that_exclude_each_other(
    file: Path, run: Run, monkeypatch: pytest.MonkeyPatch, cube: Cube
) -> None:
    seen: dict[str, object] = {}

    def execute(*_: object, **how: object) -> Report:
        seen.update(how)
        raise CleansatError("enough")

    monkeypatch.setattr("odc_cleansat.batch.execute", execute)
    file.write_text('[commands.run]\nscheduler = "tcp://theirs"\n')
    config = ("-C", cube.folder / "datacube.conf", "--time", "2024", "-o", "masks")
    failure(run("run", *config))
    assert (seen["workers"], seen["scheduler"]) == (None, "tcp://theirs")
    failure(run("run", *config, "--workers", 2))
    assert (seen["workers"], seen["scheduler"]) == (2, None)
    assert run("run", *config, "--workers", 2, "--scheduler", "tcp://ours").exit_code == 2
    failure(run("run", *config, "--only-accepted"))


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
