"""`cleansat doctor` on set-ups that are broken, one way after the other: it names what is wrong, and the mend."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import pytest
from calling import Run
from conftest import Copy
from s3_server import Proxy

from odc_cleansat import get_model, settings
from odc_cleansat.cube.embedded import CONFIG_NAME, embedded_cube
from odc_cleansat.models import places
from odc_cleansat.models.places import find_weights
from odc_cleansat.models.registry import DEFAULTS

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


class Place(NamedTuple):
    """What a set-up is made of."""

    folder: Path
    patch: pytest.MonkeyPatch
    proxy: Proxy
    bucket: str

    def settings(self, text: str) -> list[str]:
        (self.folder / "named.toml").write_text(text)
        self.patch.setenv("CLEANSAT_SETTINGS", str(self.folder / "named.toml"))
        return ["settings"]

    def datacube(self, url: str) -> list[str]:
        path = self.folder / CONFIG_NAME
        path.write_text(f"[default]\nindex_driver: postgres\ndb_url: {url}\n")
        return ["datacube", "-C", str(path)]

    def configuration(self, content: bytes) -> list[str]:
        path = self.folder / CONFIG_NAME
        path.write_bytes(content)
        return ["datacube", "-C", str(path)]

    def store(self, fault: str = "", **where: str) -> list[str]:
        if fault:
            self.proxy.fail(fault, **where)  # type: ignore[arg-type]
        return ["store", "--store", f"s3://{self.bucket}/masks"]

    def variable(self, topic: str, **values: str) -> list[str]:
        for name, value in values.items():
            self.patch.setenv(name, value)
        return [topic]


def in_the_way(place: Place) -> list[str]:
    (place.folder / "cache").write_text("")
    return place.variable("folders", CLEANSAT_CACHE=str(place.folder / "cache"))


def newer(place: Place) -> list[str]:
    version = metadata.version
    place.patch.setattr(
        metadata, "version", lambda name: "99.1.0" if name == "click" else version(name)
    )
    place.patch.setattr("odc_cleansat.doctor.packages.COMPILED", ())
    return ["python"]


def truncated(place: Place) -> list[str]:
    """The default weights once more, which end too early."""
    for model in map(get_model, DEFAULTS):
        whole = find_weights(model)
        assert whole is not None
        cut = place.folder / model.weights.removeprefix("package:")
        cut.parent.mkdir(parents=True, exist_ok=True)
        with whole.open("rb") as file:
            cut.write_bytes(file.read(1000))
    place.patch.setattr(places, "package_folder", lambda package: place.folder / package)
    return ["weights"]


def older(place: Place) -> list[str]:
    version = metadata.version
    place.patch.setattr(
        metadata, "version", lambda name: "1.26.4" if name == "numpy" else version(name)
    )
    place.patch.setattr("odc_cleansat.doctor.packages.COMPILED", ())
    return ["python"]


def without_openvino(place: Place) -> list[str]:
    """A library of the system is missing; the processes that the doctor starts see it too."""
    (place.folder / "openvino").mkdir()
    (place.folder / "openvino" / "__init__.py").write_text(
        "raise ImportError('libtbb.so.12: cannot open')"
    )
    place.patch.syspath_prepend(str(place.folder))
    return ["machine"]


def aws_settings(place: Place) -> list[str]:
    (place.folder / "aws").write_text("[default\nregion")
    place.variable("", AWS_CONFIG_FILE=str(place.folder / "aws"))
    return place.store()


def slow_clock(place: Place) -> list[str]:
    place.proxy.late = 900
    return place.store()


def full_disk(place: Place) -> list[str]:
    def no_space(**_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    place.patch.setattr(tempfile, "TemporaryFile", no_space)
    return ["store", "--store", str(place.folder)]


def no_temporary_folder(place: Place) -> list[str]:
    place.patch.setattr(tempfile, "tempdir", None)
    return place.variable("folders", TMPDIR=str(place.folder / "gone"))


def no_folder(place: Place) -> list[str]:
    (place.folder / "gone").mkdir()
    place.patch.chdir(place.folder / "gone")
    (place.folder / "gone").rmdir()
    return ["settings"]


def lame_gdal(place: Place, **variables: str) -> list[str]:
    place.patch.setattr("odc_cleansat.doctor.packages.COMPILED", ("rasterio",))
    return place.variable("python", **variables)


def store_behind_a_proxy(place: Place) -> list[str]:
    nowhere = "http://127.0.0.1:1"
    place.variable("", HTTP_PROXY=nowhere, http_proxy=nowhere, NO_PROXY="", no_proxy="")
    place.variable("", AWS_ENDPOINT_URL="http://store.invalid")
    return place.store()


Broken = Callable[[Place], list[str]]
"""Breaks something, and returns the arguments of the command."""

SETUPS: dict[str, tuple[Broken, str, str, str]] = {
    "no database": (lambda p: p.datacube("postgresql+psycopg2://me:hidden@127.0.0.1:1/x"), "wrong", "refused", "Start the database"),
    "no configuration": (lambda p: ["datacube", "-C", str(p.folder / "none.conf")], "wrong", "cannot be read", "Correct the file"),
    "a setting that is misspelt": (lambda p: p.settings("[settings]\nthread = 2\n"), "wrong", "Did you mean 'threads'?", "Correct the file"),
    "a variable that is misspelt": (lambda p: p.variable("settings", CLEANSAT_RUN_WORKRES="2"), "warning", "Did you mean 'CLEANSAT_RUN_WORKERS'?", "Correct or remove"),
    "a profile that is missing": (lambda p: p.settings('[buckets.masks]\nprofile = "gone"\n'), "wrong", "the profile gone", "aws configure --profile gone"),
    "a bucket whose profile is missing": (
        lambda p: [*p.settings(f'[buckets.{p.bucket}]\nprofile = "gone"\n'), *p.store()], "wrong",
        "no such profile; make it with aws configure", "",
    ),
    "an unknown precision": (lambda p: p.variable("machine", CLEANSAT_PRECISION="f8"), "wrong", "f8", "CLEANSAT_PRECISION"),
    "threads that are no number": (lambda p: p.variable("machine", CLEANSAT_THREADS="all"), "warning", "'all'", "whole number"),
    "a cache that cannot be written": (in_the_way, "warning", "cannot be written", "CLEANSAT_CACHE"),
    "a package that nobody tested": (newer, "warning", "click 99.1.0 is newer than", "pip install 'click=="),
    "a bucket that is closed": (lambda p: p.store("deny"), "wrong", "no permission", "AWS_PROFILE"),
    "a bucket that is read-only": (lambda p: p.store("deny", method="PUT"), "wrong", "cannot be written", "s3:PutObject"),
    "a clock that is wrong": (lambda p: p.store("skew"), "wrong", "clock of this machine", "NTP"),
    "uploads that stay": (lambda p: p.store("deny", method="DELETE"), "wrong", "does not delete", "s3:DeleteObject"),
    "a file of settings that is no text": (lambda p: p.settings("[settings\nthreads"), "wrong", "is no TOML", "Correct the file"),
    "an option of a command that is misspelt": (lambda p: p.settings('[commands.run]\nworkres = 2\n'), "wrong", "Did you mean 'workers'?", "Correct the file"),
    "a port that is a word": (lambda p: p.configuration(b"[default]\nindex_driver: postgres\ndb_port: seven\ndb_database: x\n"), "wrong", "must be an integer", "Correct the configuration"),
    "a configuration that is no text": (lambda p: p.configuration(b"\0\1 garbage"), "wrong", "cannot be read", "Correct the file"),
    "an environment that is not there": (lambda p: [*p.configuration(b"[default]\nindex_driver: memory\n"), "-E", "production"], "wrong", "no environment production; there are default", "Correct --env"),
    "a database of another kind": (lambda p: p.datacube("mysql://me:hidden@127.0.0.1:1/x"), "wrong", "not a postgresql connection", "Correct the configuration"),
    "numpy that is too old": (older, "wrong", "numpy is 1.26.4, and has to be", "pip install 'numpy"),
    "a library that is missing": (without_openvino, "wrong", "libtbb.so.12", "cleansat doctor python"),
    "weights that end too early": (truncated, "wrong", "has sha256", "pip install --force-reinstall --no-deps odc_cleansat"),
    "certificates that are missing": (
        lambda p: [*p.variable("network", REQUESTS_CA_BUNDLE="/none.pem"), "--online", "--stac-api", "https://127.0.0.1:1/"], "wrong",
        "does not answer", "REQUESTS_CA_BUNDLE",
    ),
    "a file of AWS that is broken": (aws_settings, "wrong", "cannot be read; correct ~/.aws/config", ""),
    "an address without a bucket": (lambda p: ["store", "--store", "s3:///masks"], "wrong", "no name of a bucket", "s3://bucket/prefix"),
    "a proxy that does not answer": (lambda p: [*p.variable("network", HTTP_PROXY="http://127.0.0.1:1"), "--online", "--stac-api", "http://stac.invalid/"], "wrong", "does not answer", "proxy"),
    "a clock that is slow": (slow_clock, "wrong", "differ by 90", "chrony"),
    "a bucket of another region": (lambda p: p.store("moved"), "wrong", "in another region", "AWS_DEFAULT_REGION=eu-west-1"),
    "a page in place of the store": (lambda p: p.store("page"), "wrong", "no store of the S3 protocol", "AWS_ENDPOINT_URL"),
    "a proxy before the store that does not answer": (store_behind_a_proxy, "wrong", "proxy does not let", "Correct HTTPS_PROXY or HTTP_PROXY"),
    "a disk that is full": (full_disk, "wrong", "No space left", "Make space"),
    "a folder for temporary files that is missing": (no_temporary_folder, "warning", "nothing can be written to", "Make that folder, or set TMPDIR"),
    "a working folder that is gone": (no_folder, "wrong", "is gone", "cd ~"),
    "drivers of GDAL that are skipped": (lambda p: lame_gdal(p, GDAL_SKIP="COG JP2OpenJPEG"), "wrong", "it has no COG and no JP2OpenJPEG", "GDAL_SKIP"),
    "data of PROJ that are not there": (lambda p: lame_gdal(p, PROJ_DATA="/none", PROJ_LIB="/none"), "wrong", "Cannot find proj.db", "PROJ_DATA"),
}  # fmt: skip
"""What is broken; the state, and words of the finding and of the mend."""


@pytest.mark.parametrize("name", SETUPS, ids=[name.replace(" ", "-") for name in SETUPS])
def test_what_is_broken_is_named(
    name: str, run: Run, bucket: str, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings._read.cache_clear()
    broken, state, what, mend = SETUPS[name]
    arguments = broken(Place(tmp_path, monkeypatch, proxy, bucket))
    done = run("doctor", *arguments, "--json")
    assert done.exit_code == (1 if state == "wrong" else 0), done.output
    found = [json.loads(line) for line in done.stdout.splitlines()]
    named, *_ = [each for each in found if each["state"] != "ok" and what in each["what"]]
    assert named["state"] == state
    assert mend in named["mend"]
    assert "hidden" not in done.output


def test_what_does_no_harm(tmp_path: Path) -> None:
    """Variables that are wrong or odd, and change no mask: GDAL brings its own data, and numexpr is not used."""
    odd = {
        "GDAL_DATA": "/none", "OMP_NUM_THREADS": "4,2", "LC_ALL": "C",
        "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "HOME": str(tmp_path), "TZ": "Nowhere",
    }  # fmt: skip
    done = subprocess.run(
        [Path(sys.executable).parent / "cleansat", "doctor", "python", "settings", "folders", "--json"],
        env={**os.environ, **odd}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert all(json.loads(line)["state"] != "wrong" for line in done.stdout.splitlines())


def test_a_database_without_tables_or_products(run: Run, initialised: Copy, tmp_path: Path) -> None:
    folder = initialised(tmp_path / "cube")
    with embedded_cube(folder):
        done = run("doctor", "datacube", "-C", folder / CONFIG_NAME)
    assert done.exit_code == 1
    assert "may index masks" in done.output
    assert "there is no product s2_l2a_ucl" in done.output
    assert "-> Run: cleansat product add s2_l2a_ucl" in done.output
