"""Settings: what the environment and the file say, which of them counts, and what no file may have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from odc_cleansat import settings
from odc_cleansat.settings import (
    FILE_VARIABLE,
    SETTINGS,
    Bucket,
    SettingsError,
    adopt,
    bucket_of,
    buckets,
    is_on,
    setting,
    settings_file,
    shared,
)

Write = Callable[[str], Path]
"""Writes the file of settings that counts."""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    def write(text: str) -> Path:
        path = tmp_path / "named.toml"
        path.write_text(text)
        settings._read.cache_clear()
        monkeypatch.setenv(FILE_VARIABLE, str(path))
        return path

    for each in SETTINGS.values():
        monkeypatch.delenv(each.variable, raising=False)
    yield write
    settings._read.cache_clear()
    settings._RECEIVED.clear()


def test_the_environment_comes_before_the_file_and_both_before_nothing(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write('[settings]\nthreads = 3\noffline = true\ncache = "/of/the/file"\n')
    assert setting("threads") == "3"
    assert setting("offline") == "1"
    assert setting("cache") == "/of/the/file"
    assert setting("mirror") is None
    monkeypatch.setenv("CLEANSAT_CACHE", "/of/the/environment")
    monkeypatch.setenv("CLEANSAT_OFFLINE", "0")
    assert setting("cache") == "/of/the/environment"
    assert not is_on(setting("offline")), "what a file forbids, one call may have"
    monkeypatch.setenv("CLEANSAT_CACHE", "")
    assert setting("cache") == "/of/the/file"


def test_the_first_file_counts_and_no_other(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    for folder in (home, here):
        folder.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    monkeypatch.setattr(settings, "PLACES", settings.PLACES[:2])
    monkeypatch.delenv(FILE_VARIABLE, raising=False)
    settings._read.cache_clear()
    assert settings_file().path is None
    (home / ".cleansat.toml").write_text('[settings]\nthreads = 1\nmirror = "https://m.org"\n')
    settings._read.cache_clear()
    assert setting("threads") == "1"
    (here / "cleansat.toml").write_text("[settings]\nthreads = 2\n")
    settings._read.cache_clear()
    assert (setting("threads"), setting("mirror")) == ("2", None)
    write("[settings]\nthreads = 5\n")
    assert setting("threads") == "5"
    monkeypatch.setenv(FILE_VARIABLE, "")
    assert setting("threads") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[setings]", r"has no key 'setings'; there are settings, buckets, commands\. Did you mean 'settings'\?"),
        ("threads = 3", "has no key 'threads'"),
        ("settings = 3", "settings is a value; write it as a table"),
        ("[settings]\nthread = 3", r"\[settings\] has no key 'thread'.* Did you mean 'threads'\?"),
        ("[settings]\nthreads = '3'", "threads is '3'; write a whole number"),
        ("[settings]\nthreads = true", "threads is True; write a whole number"),
        ("[settings]\noffline = 1", "offline is 1; write true or false"),
        ("[settings]\nallow-torchscript = true", "has no key 'allow-torchscript'"),
        ("[buckets.x]\nprofil = 'a'", r"\[buckets.x\] has no key 'profil'.* Did you mean 'profile'\?"),
        ("[buckets.x]\nprofile = 'a'\nunsigned = true", "unsigned requests have no profile"),
        ("[buckets.x]\nendpoint = 'minio:9000'", "the endpoint is no address; begin it with https://"),
        ("[settings]\nthreads = 0", "threads is 0; write a number from 1 to 10000"),
        ("[settings]\nthreads = -5", "threads is -5; write a number from 1"),
        ("[settings]\nthreads = 99999999999999999999", "write a number from 1 to 10000"),
        ("x = " + "[" * 20_000, "is no TOML"),
        ("[buckets.'s3://x/y']\nunsigned = true", "name a bucket alone"),
        ("[buckets]\nx = 3", "name a bucket alone"),
        ("[settings", "is no TOML"),
    ],
)  # fmt: skip
def test_what_no_file_may_have_is_refused(write: Write, text: str, said: str) -> None:
    path = write(text)
    with pytest.raises(SettingsError, match=said) as caught:
        settings_file()
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_or_closed(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / "none.toml"))
    with pytest.raises(SettingsError, match=r"there is no file of settings .*none\.toml"):
        setting("threads")
    write("")

    def refuse(*_: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(SettingsError, match="cannot be read: Permission denied; let this user"):
        setting("threads")


def test_buckets_and_what_is_told_to_workers(write: Write) -> None:
    write(
        '[settings]\nthreads = 3\nprecision = "f32"\noffline = true\n'
        '[buckets.open]\nunsigned = true\nregion = "us-west-2"\n'
        '[buckets.masks]\nprofile = "writer"\nendpoint = "https://minio.example.org"\nrequester-pays = true\n'
    )
    masks = Bucket("masks", False, "writer", "https://minio.example.org", None, True)
    assert buckets() == (Bucket("open", True, region="us-west-2"), masks)
    assert bucket_of("s3://masks/a/b.tif") == masks
    assert bucket_of("s3://other/a") is None
    told = shared()
    assert told["settings"] == {"precision": "f32", "offline": "1"}, "threads belong to a machine"
    write("[settings]\nthreads = 7\n[buckets.own]\nunsigned = true\n")
    adopt(told)
    assert (setting("precision"), setting("threads")) == ("f32", "7")
    assert [each.name for each in buckets()] == ["own", "open", "masks"]
    assert bucket_of("s3://masks/x") == masks
    adopt({})
    assert [each.name for each in buckets()] == ["own"]


def test_no_variable_of_an_option_is_that_of_a_setting() -> None:
    from odc_cleansat.cli.main import COMMANDS

    variables = {each.variable for each in SETTINGS.values()} | {FILE_VARIABLE}
    for command in COMMANDS:
        taken = [name for name in variables if name.startswith(f"CLEANSAT_{command.upper()}_")]
        assert not taken, f"options of {command} are set by such variables"
