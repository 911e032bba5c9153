"""The settings of this package: one table of them, and what the environment and ``cleansat.toml`` say.

The environment comes first, then the file, then what is done without. Options of commands come before all of them.
Of the files in :data:`PLACES`, the first that exists counts, and no other; so a setting has one place to look at.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .errors import CleansatError

FILE_VARIABLE = "CLEANSAT_SETTINGS"
"""Environment variable: the file of settings, in place of :data:`PLACES`; empty for none."""

PLACES = ("cleansat.toml", "~/.cleansat.toml", "/etc/cleansat.toml")
"""Where the file is looked for, in this order: the working folder, that of the user, that of the system."""


_MOST = 10_000
"""Greatest number that a setting has."""


class SettingsError(CleansatError):
    """A file of settings that is missing or cannot be used."""


@dataclass(frozen=True)
class Setting:
    """One setting of the package."""

    name: str
    """Its key in the table ``[settings]`` of the file."""

    does: str
    """What it does, in words."""

    without: str
    """What is done without it, in words."""

    kind: type[str] | type[int] | type[bool] = str
    """Of the value in the file."""

    shared: bool = False
    """Whether a run tells it to workers on other machines. What belongs to a machine is not told."""

    in_file: bool = True
    """Whether the file may say it. What lets programs run is asked of the environment alone."""

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return f"CLEANSAT_{self.name.upper().replace('-', '_')}"


SETTINGS = {
    each.name: each
    for each in (
        Setting(
            "precision", "`bf16` or `f32`: in what the network computes",
            "bf16 where the processor has it", shared=True,
        ),
        Setting("threads", "how many threads one process uses", "what affinity and cgroup allow", int),
        Setting("cache", "folder of compiled networks", "the user's cache folder"),
        Setting("weights", "folder of fetched weights", "`weights` in the user's data folder"),
        Setting("weights-path", "further folders of weights, which may be read-only", "none"),
        Setting("models", "folder of your own models", "`models` in the user's data folder"),
        Setting(
            "mirror", "address from which weights are fetched, in place of their makers'",
            "their makers'", shared=True,
        ),
        Setting("offline", "`1` or `true`: fetch nothing", "weights are fetched when asked for", bool, shared=True),
        Setting(
            "allow-torchscript", "`1`: run weights that are programs; see [Trust](../how-to/models.md#trust)",
            "only files that were allowed one by one", in_file=False,
        ),
    )
}  # fmt: skip
"""All settings of our own by name."""

OTHERS = (
    ("`HF_HUB_OFFLINE`", "`1`: fetch nothing, as `CLEANSAT_OFFLINE`", "weights are fetched when asked for"),
    ("`HF_ENDPOINT`", "another address of Hugging Face", "`https://huggingface.co`"),
    ("`HF_TOKEN`", "login for weights that ask for one", "none"),
    ("`DATACUBE_CONFIG_PATH`, `ODC_ENVIRONMENT` and other `ODC_` variables", "the datacube, as datacube itself reads them", "`~/.datacube.conf` and the places that datacube searches"),
    ("`AWS_PROFILE`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`", "credentials of buckets", "those of the machine's role"),
    ("`AWS_SHARED_CREDENTIALS_FILE`", "file of profiles and their credentials", "`~/.aws/credentials`"),
    ("`AWS_REGION`, `AWS_DEFAULT_REGION`", "region of buckets", "that of the profile"),
    ("`AWS_NO_SIGN_REQUEST`, `AWS_UNSIGNED`", "`YES`: public data, no credentials", "requests are signed"),
    ("`AWS_REQUEST_PAYER`", "`requester`: you pay for the transfer", "the owner pays"),
    ("`AWS_ENDPOINT_URL`; `AWS_S3_ENDPOINT`, `AWS_HTTPS`, `AWS_VIRTUAL_HOSTING`", "another store than Amazon's", "Amazon's"),
    ("`AWS_MAX_ATTEMPTS`, `AWS_RETRY_MODE`", "how often a request to a store is tried, and how", "5 times, `standard`"),
    ("`GDAL_HTTP_MAX_RETRY`, `GDAL_HTTP_RETRY_DELAY`", "how often GDAL reads again, and after how many seconds", "as the package sets them"),
    ("`GDAL_HTTP_CONNECTTIMEOUT`, `GDAL_HTTP_LOW_SPEED_TIME`, `GDAL_HTTP_LOW_SPEED_LIMIT`", "when GDAL gives a server up", "as the package sets them"),
    ("`GDAL_CACHEMAX`", "how much of files that were read GDAL keeps in memory, MB", "5 % of the memory, 256 at most while a mask is made; 128 in `cleansat app` and in each worker on this machine"),
    ("`GDAL_HTTP_HEADERS`, `GDAL_HTTP_USERPWD`", "login of a server; never written into a product or a message", "none"),
    ("`GDAL_DISABLE_READDIR_ON_OPEN`, `GDAL_PAM_ENABLED`", "whether GDAL looks for files beside a raster", "as the package sets them"),
    ("`HTTPS_PROXY`, `REQUESTS_CA_BUNDLE`", "proxy and its certificate", "none"),
)  # fmt: skip
"""Variables that other libraries read too, what they do, and what is done without them."""


@dataclass(frozen=True)
class Bucket:
    """How one bucket is asked, as a table ``[buckets.NAME]`` of the file says; the rest is as for all buckets."""

    name: str
    """Its name."""

    unsigned: bool = False
    """Whether requests carry no credentials: for public data."""

    profile: str | None = None
    """Profile of AWS's own files whose credentials are used, before any in the environment."""

    endpoint: str | None = None
    """Address of the store, such as ``https://minio.example.org``, if it is another than for all."""

    region: str | None = None
    """Region of the bucket."""

    requester_pays: bool = False
    """Whether you pay for the transfer."""


BUCKET_KEYS: dict[str, tuple[type[str] | type[bool], str]] = {
    "unsigned": (bool, "`true`: public data, no credentials"),
    "profile": (str, "profile of `~/.aws` whose credentials are used, before those of the environment"),
    "endpoint": (str, "address of another store than Amazon's, or than that of `AWS_ENDPOINT_URL`"),
    "region": (str, "region of the bucket"),
    "requester-pays": (bool, "`true`: you pay for the transfer"),
}  # fmt: skip
"""The keys of a bucket in the file: kind and meaning."""

TABLES = ("settings", "buckets", "commands")
"""The tables of the file."""


def setting(name: str) -> str | None:
    """Return a setting as text, as its environment variable would have it; None if nothing says it.

    Parameters
    ----------
    name
        A key of :data:`SETTINGS`.

    Raises
    ------
    SettingsError
        If the file cannot be used.
    """
    if found := os.environ.get(SETTINGS[name].variable):
        return found
    value = {**settings_file().settings, **_received().settings}.get(name)
    if isinstance(value, bool):
        return "1" if value else None
    return None if value is None else str(value)


def is_on(text: str | None) -> bool:
    """Return whether the text of a setting means yes."""
    return (text or "").lower() in ("1", "true", "yes", "on")


def buckets() -> tuple[Bucket, ...]:
    """Return the buckets of the file, and of the run that this process works for.

    Raises
    ------
    SettingsError
        If the file cannot be used.
    """
    tables = {**settings_file().buckets, **_received().buckets}
    return tuple(
        Bucket(name, **{key.replace("-", "_"): value for key, value in table.items()})
        for name, table in tables.items()
    )


def bucket_of(url: str) -> Bucket | None:
    """Return what the file says of the bucket of an address, such as ``s3://bucket/prefix``; None if nothing.

    Raises
    ------
    SettingsError
        If the file cannot be used.
    """
    name = urlsplit(url).netloc
    return next((each for each in buckets() if each.name == name), None)


@dataclass(frozen=True)
class SettingsFile:
    """A file of settings that was read and looked through; empty if there is none."""

    path: Path | None
    """Where it is."""

    settings: Mapping[str, Any]
    """Its table ``[settings]``."""

    buckets: Mapping[str, Mapping[str, Any]]
    """Its tables ``[buckets.NAME]``."""

    commands: Mapping[str, Any]
    """Its tables ``[commands.NAME]``, which the command line looks through."""


_NOTHING = SettingsFile(None, {}, {}, {})


def settings_file() -> SettingsFile:
    """Return the file that counts. It is read once by a process.

    Raises
    ------
    SettingsError
        If it is missing, or has something that no such file has.
    """
    return _read(os.environ.get(FILE_VARIABLE))


def shared() -> dict[str, Any]:
    """Return what workers on other machines are told: a document without secrets, for :func:`adopt`.

    Raises
    ------
    SettingsError
        If the file cannot be used.
    """
    told = {
        name: found for name, each in SETTINGS.items() if each.shared and (found := setting(name))
    }
    return {"settings": told, "buckets": {**settings_file().buckets, **_received().buckets}}


_RECEIVED: list[SettingsFile] = []
"""What the run says for which this process works, if it is a worker."""


def adopt(told: Mapping[str, Any]) -> None:
    """Let what a run has told count from now on, before the file of this machine.

    Parameters
    ----------
    told
        What :func:`shared` returned in the process of the run.
    """
    _RECEIVED[:] = [SettingsFile(None, told.get("settings", {}), told.get("buckets", {}), {})]


def _received() -> SettingsFile:
    return _RECEIVED[0] if _RECEIVED else _NOTHING


@lru_cache(maxsize=8)
def _read(named: str | None) -> SettingsFile:
    if named == "":
        return _NOTHING
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise SettingsError(
            "the folder in which this was called is gone: something deleted it. Change to another folder."
        ) from error
    if named is not None:
        path = Path(named).expanduser().absolute()
        if not path.is_file():
            raise SettingsError(
                f"there is no file of settings {path}, which was asked for; name one that is there."
            )
        return read_settings(path)
    for place in PLACES:
        path = Path(place).expanduser().absolute()
        if path.is_file():
            return read_settings(path)
    return _NOTHING


def read_settings(path: Path) -> SettingsFile:
    """Read a file of settings, and look it through.

    Raises
    ------
    SettingsError
        If it cannot be read, is no TOML, or has a key or a value that no such file has.
    """
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read: {error.strerror or error}; let this user read it."
        ) from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is no TOML: {error}.") from error
    _check_keys(document, TABLES, f"{path}")
    for table in document:
        if not isinstance(document[table], dict):
            raise SettingsError(f"{path}: {table} is a value; write it as a table, [{table}].")
    settings, named = document.get("settings", {}), document.get("buckets", {})
    kinds = {name: each.kind for name, each in SETTINGS.items() if each.in_file}
    _check_table(settings, kinds, f"{path}, [settings]")
    for name, table in named.items():
        where = f"{path}, [buckets.{name}]"
        if re.search(r"[/:*]", name) or not isinstance(table, dict):
            raise SettingsError(
                f"{where}: name a bucket alone, as in [buckets.my-masks], with its keys below."
            )
        _check_table(table, {key: kind for key, (kind, _) in BUCKET_KEYS.items()}, where)
        if table.get("unsigned") and "profile" in table:
            raise SettingsError(
                f"{where}: unsigned requests have no profile; leave one of the two out."
            )
        if not re.match(r"https?://[^/]", table.get("endpoint", "https://x")):
            raise SettingsError(
                f"{where}: the endpoint is no address; begin it with https:// or http://."
            )
    return SettingsFile(path, settings, named, document.get("commands", {}))


def _check_table(table: Mapping[str, Any], kinds: Mapping[str, type], where: str) -> None:
    _check_keys(table, kinds, where)
    for key, value in table.items():
        if type(value) is not kinds[key]:
            words = {str: "text in quotes", int: "a whole number", bool: "true or false"}
            raise SettingsError(f"{where}: {key} is {value!r}; write {words[kinds[key]]}.")
        if type(value) is int and not 1 <= value <= _MOST:
            raise SettingsError(f"{where}: {key} is {value}; write a number from 1 to {_MOST}.")


def _check_keys(table: Iterable[str], known: Iterable[str], where: str) -> None:
    for key in table:
        check_key(key, known, where)


def check_key(key: str, known: Iterable[str], where: str) -> None:
    """Raise if a file has a key that it cannot have.

    Parameters
    ----------
    key
        The key.
    known
        The keys that it can have.
    where
        File and table, for the message.

    Raises
    ------
    SettingsError
        With the key that may be meant.
    """
    from .arguments import meant

    names = list(known)
    if key not in names:
        raise SettingsError(
            f"{where} has no key {key!r}; there are {', '.join(names)}.{meant(key, names)}"
        )
