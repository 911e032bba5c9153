"""Addresses and messages as they may be stored, logged and shown: without logins, keys and tokens.

The rule, for every document, message and page of this package: of an address stay scheme, host, path and the keys of
:data:`HARMLESS`. User info, every other key of the query, and the fragment go. GDAL's ``/vsicurl/``, ``/vsis3/`` and
the like become the address that they stand for. Headers, tokens and the secrets of the environment go from any text. So do
logins of command lines and of Python's calls, private keys, and what stands under a name such as ``password``.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

HARMLESS = frozenset(
    (
        "bands", "bbox", "collections", "crs", "datetime", "download", "export", "f", "format", "generation", "ids",
        "lang", "limit", "page", "raw", "ref", "rev", "revision", "time", "v", "version", "versionid", "x", "y", "z",
    )
)  # fmt: skip
"""Keys of a query, in small letters, that hold no secret."""

MARK = "***"
"""What stands in messages in place of a secret. In documents nothing does."""

_STORES = {"s3": "s3", "gs": "gs", "az": "az", "adls": "abfs", "oss": "oss", "swift": "swift"}
"""GDAL's name of a store to the scheme of its addresses."""

_NESTED = 4
"""Most wrappers of GDAL in one another; an address with more is none."""

_PARTS = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*:)(?P<slashes>[\\/]{2,})(?P<host>[^/?#]*)(?P<path>[^?#]*)"
    r"(?P<query>\?[^#]*)?(?P<fragment>#.*)?",
    re.IGNORECASE | re.DOTALL,
)
_IN_TEXT = re.compile(
    r"/vsi[a-z0-9_]+[/?][^\s'\"<>`]*|(?<![a-z0-9+.-])(?:data:[^\s'\"<>`]*"
    r"|[a-z][a-z0-9+.-]*(?::[\\/]{2,}|%(?:25)*3a%(?:25)*2f%(?:25)*2f)[^\s'\"<>`]*)",
    re.IGNORECASE,
)
_LOGIN = re.compile(
    r"(:[\\/]{2,})[^/\\\s?#]+@|(//)[^/\s?#@:]+:[^/\s?#]+@"
    # A URL that was taken for a path has lost a slash.
    r"|((?:https?|ftp|gs|postgres(?:ql)?|s3a?):/)[^/\\\s?#@:]+:[^/\\\s?#]+@",
    re.IGNORECASE,
)
_NAMES = (
    r"[a-z0-9_-]*(?:token|password|passwd|passphrase|pwd|secret|signature|credentials?|authorization|api[_-]?key"
    r"|userpwd|(?:secret|subscription|account|storage|access|private|encryption)[_-]?key(?:[_-]?id)?)"
    r"|pass(?=\s*=)|bearer(?=\s*=)|auth(?=\\*['\"]\s*:)|(?<=[?&])key(?==)|session(?==\S{8})|sig|jwt|hmac|(?:j|php)?sess(?:ion)?[_-]?id|sharedaccess\w*|gdal_http_headers"
)
_PLACE = re.compile(
    r"(?P<quote>['\"])(?P<quoted>~?/[^'\"]+)(?P=quote)|(?:[a-z][a-z0-9+.-]*://|(?<![\w.<~-])~?/)[^\s'\"<>|]*[^\s'\"<>|.,;:!?)\]}]",
    re.IGNORECASE,
)
_BLANK = r"(?:\s|%(?:25)*20)"
"""A blank, encoded or not."""

_QUOTED = r"'[^']*'|\"[^\"]*\"|\\+(?P<escaped>['\"])[^'\"\\]*"
"""A text in quotes, which are escaped where JSON stands in a text."""

_PAIR = re.compile(
    rf"(?<![a-z0-9_-])(?P<name>(?:{_NAMES})(?:\\*['\"])?(?:\s*=\s*|%(?:25)*3d|(?:\s*:|%(?:25)*3a){_BLANK}*(?=\S)))"
    # Prose about secrets holds none.
    r"(?!(?:none|no|the|it|missing|required|denied)\s+[a-z])"
    rf"(?:(?:proxy-)?authorization\s*:\s*)?(?:(?:bearer|basic|digest|token|aws4-hmac-sha256){_BLANK}+)?"
    rf"(?P<value>{_QUOTED}|[^\s&;,'\")}}\]]+)",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"(authorization\\*['\"]?\s*[:=,]\s*\[?\\*['\"]?)(?:digest|aws4-hmac-sha256|signature|negotiate|oauth)\s[^\r\n]*",
    re.IGNORECASE,
)
"""A header whose value has several parts, up to the end of its line."""

_PLAIN = r"(?:'[^']*'|\"[^\"]*\"|[^\s'\"]+)"
"""A word of a command, in quotes or not."""

_OPTION = re.compile(
    rf"(?<!\S)(--(?:config\s+)?(?:{_NAMES}|oauth2-bearer|http-passwd)(?:\s+|=))(?!-|(?:is|was|and|or|needs?|wants?|must|has|takes)\b)"
    + _PLAIN,
    re.IGNORECASE,
)
"""An option of a command that holds a secret, with its value."""

_USER = re.compile(
    r"(?<!\S)(--(?:proxy-)?user(?:\s+|=))(?!\d+:\d+(?:\s|$))(?:'[^':]*:[^']*'|\"[^\":]*:[^\"]*\"|[^\s:'\"]+:\S+)",
    re.IGNORECASE,
)
"""A user and a password as `curl` takes them; containers have numbers there."""

_CURL = re.compile(
    rf"(?<!\S)(-[uU]\s*)(?:'[^':]*:[^']*'|\"[^\":]*:[^\"]*\"|[^\s:'\"]+:\S+)|(?<!\S)((?:-b|--cookie)(?:\s+|=)){_PLAIN}"
)
"""Short options, which mean this to `curl` alone."""

_PROSE = re.compile(
    r"\b(login\s+\S+\s+password\s+|(?:password|passwd|passphrase|secret|token)\s+(?:(?:is|was)\s+)?(?=\S*\d)(?=\S*[a-z])(?=\S{8}))['\"]?[^\s'\"]+",
    re.IGNORECASE,
)
"""A password after its name alone, as in ``.netrc``: letters and digits, at least 8."""

_CALL = re.compile(
    r"\b(auth\s*=\s*\(|\w{0,40}(?:basic|digest)auth\()[^)]{1,300}"
    rf"|(\(\s*b?['\"](?:{_NAMES})['\"]\s*,\s*)b?['\"][^'\"]{{1,3000}}",
    re.IGNORECASE,
)
"""A login in Python's own words: arguments of a client, and headers as pairs."""

_AT_HOST = re.compile(
    r"(?<![\w/.:@%-])(?!mailto:)[a-z][\w.-]{0,60}:(?=[^\s/@:]{4})[^\s/@:'\"]{1,300}@(?!sha\d)(?=[a-z][\w.-]*)",
    re.IGNORECASE,
)
"""A login before a host without a scheme, as `rsync` takes it; images of containers have a digest there."""

_KEY = re.compile(r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----).*?(?=-----END |\Z)", re.DOTALL)
"""A private key in PEM."""

_COOKIES = re.compile(
    r"(?<![a-z0-9_])((?:set-)?cookies?['\"]?\s*[:=]\s*['\"]?)(?!(?:none|no|the)\s+[a-z])[^\s'\"][^\r\n'\"]*",
    re.IGNORECASE,
)
"""A header has several cookies, up to the end of its line."""

_BEARER = re.compile(r"\b(bearer:?\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_TOKEN = re.compile(
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"
    r"|\b(?:gh[a-z]_|github_pat_|glpat-|hf_|xox[a-z]-)[A-Za-z0-9_-]{16,}"
)
"""What is a token by its form: those of JSON Web Tokens, GitHub, GitLab, Hugging Face and Slack."""

_BASIC = re.compile(r"\b(basic\s+)([A-Za-z0-9+/]{8,}={0,2})", re.IGNORECASE)
_ENCODED_END = re.compile(r"%(?:25)*(?:3f|23|26|3b)", re.IGNORECASE)
_HARMLESS_VALUE = re.compile(r"(?:[\w.,:+-]|/(?!/)|%2[fF]|%3[aA]|%2[cC])*")
_SECRET_SETTINGS = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_SAS_TOKEN",
    "DB_PASSWORD",
    "GDAL_HTTP_HEADERS",
    "GDAL_HTTP_USERPWD",
    "GS_SECRET_ACCESS_KEY",
    "HF_TOKEN",
    "ODC_DEFAULT_DB_PASSWORD",
    "PC_SDK_SUBSCRIPTION_KEY",
)
"""Environment variables whose values never appear in a text."""


def public_address(address: str, mark: str = "") -> str:
    """Return an address as others may see it; see the rule at the top of this module.

    Parameters
    ----------
    address
        A URL, an address of GDAL such as ``/vsicurl/https://...``, or a local path, which is returned as it is.
    mark
        What stands in place of what is taken out.
    """
    if _decoded(address).lower().count("/vsi") > _NESTED:
        return f"/vsi{mark}"
    address = _without_wrapper(address, mark)
    if address[:5].lower() == "data:":
        return re.split(r"[;,]", address)[0] + (f";{mark}" if mark else "")
    parts = _PARTS.fullmatch(address)
    if parts is None:
        decoded = _decoded(address)
        encoded = decoded != address and _PARTS.fullmatch(decoded) is not None
        if encoded:
            return public_address(decoded, mark)
        found = None if address.startswith("/vsi") else _IN_TEXT.search(address, 1)
        if found is None:
            return address
        return address[: found.start()] + without_secrets(address[found.start() :], mark)
    host, path = _host_and_path(parts["host"], parts["path"], mark)
    query = _query(parts["query"] or "", mark)
    fragment = f"#{mark}" if mark and parts["fragment"] else ""
    whole = f"{parts['scheme']}{parts['slashes']}{host}{path}{query}{fragment}"
    return _without_pairs(_without_logins(whole, mark), mark)


def without_secrets(text: str, mark: str = MARK) -> str:
    """Return a text whose addresses are public, and without headers and tokens, so that it can be published.

    Parameters
    ----------
    text
        Any text, such as the message of an error.
    mark
        What stands in place of what is taken out.
    """
    for name in _SECRET_SETTINGS:
        value = os.environ.get(name, "")
        for secret in (value, value.partition(": ")[2]):
            if len(secret) >= 8:
                text = text.replace(secret, mark)
    text = _KEY.sub(rf"\g<1>{mark}", _without_logins(text, mark))
    text = _IN_TEXT.sub(lambda found: _in_text(found[0], mark), text)
    text = _HEADER.sub(rf"\g<1>{mark}", _without_commands(text, mark))
    text = _without_pairs(_COOKIES.sub(rf"\g<1>{mark}", text), mark)
    text = _TOKEN.sub(mark, text)
    text = _BEARER.sub(rf"\g<1>{mark}", text)
    return _BASIC.sub(lambda found: f"{found[1]}{mark}" if _is_login(found[2]) else found[0], text)


def _without_commands(text: str, mark: str) -> str:
    """Return a text without the logins of command lines, of calls in Python and of prose."""
    rules = [_OPTION, _USER, _PROSE, _CALL]
    if "curl" in text.lower():
        rules.append(_CURL)
    for rule in rules:
        text = rule.sub(lambda found: next(filter(None, found.groups()), "") + mark, text)
    return _AT_HOST.sub(f"{mark}@" if mark else "", text)


def without_places(text: str, known: Iterable[str] = ()) -> str:
    """Return a text in which paths and addresses are cut to their last part, for people elsewhere.

    Parameters
    ----------
    text
        Any text, such as the message of an error.
    known
        Paths and addresses that may be in it. They are found even if there are blanks in them.
    """
    for place in sorted(filter(None, known), key=len, reverse=True):
        text = text.replace(place, _last_part(place))
    return _PLACE.sub(lambda found: _last_part(found["quoted"] or found[0]), without_secrets(text))


def _last_part(place: str) -> str:
    path = re.split(r"[?#]", place)[0] if "://" in place else place
    return path.rstrip("/").rpartition("/")[2]


def public_values(value: Any) -> Any:
    """Return a document whose texts are public; see :func:`without_secrets`.

    Parameters
    ----------
    value
        Text, or mappings and lists that hold texts at any depth. Other values stay as they are. So do keys that are
        no text.
    """
    if isinstance(value, str):
        return without_secrets(value, mark="")
    if isinstance(value, dict):
        return {
            public_values(key) if isinstance(key, str) else key: (
                _blank(each) if _is_secret(key) else public_values(each)
            )
            for key, each in value.items()
        }
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(public_values(each) for each in value)
    return value


def _blank(value: Any) -> Any:
    """Return what stands under a secret name without any text."""
    if isinstance(value, dict):
        return {key: _blank(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_blank(each) for each in value]
    return "" if isinstance(value, str) else value


def has_secret(address: str) -> bool:
    """Return whether an address holds a login, or a key that is known to be secret."""
    return bool(_LOGIN.search(address) or _PAIR.search(_decoded(address)))


def _is_secret(key: Any) -> bool:
    return isinstance(key, str) and re.fullmatch(_NAMES, key, re.IGNORECASE) is not None


def _without_logins(text: str, mark: str) -> str:
    at = f"{mark}@" if mark else ""
    return _LOGIN.sub(lambda found: (found[1] or found[2] or found[3]) + at, text)


def _without_pairs(text: str, mark: str) -> str:
    """Return a text without the values of names that are secret wherever they stand, as in ``password=...``."""
    return _PAIR.sub(lambda found: found["name"] + mark, text)


def _in_text(address: str, mark: str) -> str:
    """Return an address in a text as others may see it; a full stop or bracket behind it is none of it."""
    bare = address.rstrip(".,;:!)]}")
    return public_address(bare, mark) + address[len(bare) :]


def _without_wrapper(address: str, mark: str) -> str:
    """Return what an address of GDAL stands for; one inside an archive stays, with a public address inside."""
    if not address.startswith("/vsi"):
        return address
    wrapper = re.match(r"/vsi[a-zA-Z0-9_]*", address)
    assert wrapper is not None
    kind, rest = wrapper[0][4:].lower().removesuffix("_streaming"), address[wrapper.end() :]
    if re.match(r"/?\?", rest):
        pairs = dict(each.partition("=")[::2] for each in rest.lstrip("/?").split("&"))
        wrapped = _decoded(pairs.get("url", pairs.get("file", "")))
        return _without_wrapper(wrapped, mark) if wrapped else f"/vsi{kind}/{mark}"
    rest = rest.removeprefix("/")
    if kind == "curl":
        return _without_wrapper(_decoded(rest) if "://" not in rest else rest, mark)
    if kind in _STORES:
        return f"{_STORES[kind]}://{rest}"
    if kind == "crypt":
        return f"/vsicrypt/{mark}"
    inner = re.search(
        r"/vsi.*|(?<![a-z0-9+.-])[a-z][a-z0-9+.-]*://.*", rest, re.DOTALL | re.IGNORECASE
    )
    if inner is None:
        return address
    return f"/vsi{kind}/{rest[: inner.start()]}{_wrapped_again(inner[0], mark)}"


def _wrapped_again(address: str, mark: str) -> str:
    """Return the public address of a file in an archive, in the form that GDAL opens."""
    public = public_address(address, mark)
    return (
        f"/vsicurl/{public}" if public.startswith("http") and address.startswith("/vsi") else public
    )


def _host_and_path(host: str, path: str, mark: str) -> tuple[str, str]:
    """Return host and path without user info, parameters, and a query that is encoded into the path."""
    found = ""
    if "@" not in host and "@" in _decoded(host):
        host = _decoded(host)
    if "@" in host:
        host, found = host.rpartition("@")[2], mark
    elif not (port := host.rpartition("]")[2].rpartition(":")[2]).isdigit() and f":{port}" in host:
        # No port, but a password with a slash.
        before, at, after = path.rpartition("@")
        host, slash, path = (
            after.partition("/") if at else (host.partition(":")[0], "/", before + after)
        )
        path, found = f"{slash}{path.lstrip('/')}" if path or slash else "", mark
    if (end := _ENCODED_END.search(path)) and _PAIR.search(_decoded(path[end.start() :])):
        path = path[: end.start()] + mark
    path = re.sub(r";[^/;=]*=[^/;]*", f";{mark}" if mark else "", path)
    return f"{found}@{host}" if found else host, path


def _query(query: str, mark: str) -> str:
    """Return the part of a query, with its question mark, that is known to be harmless."""
    kept = []
    for pair in filter(None, re.split(r"[&;]", query[1:])):
        key, _, value = pair.partition("=")
        harmless = key.lower() in HARMLESS and _HARMLESS_VALUE.fullmatch(value)
        kept.append(pair if harmless else mark)
    kept = [each for each in kept if each]
    return f"?{'&'.join(kept)}" if kept else ""


def _decoded(text: str) -> str:
    """Return a text without percent-encoding, however often it was encoded."""
    for _ in range(5):
        text, before = unquote(text), text
        if text == before:
            break
    return text


def _is_login(text: str) -> bool:
    """Return whether a text is the base64 of a login."""
    with_padding = text + "=" * (-len(text) % 4)
    try:
        return b":" in base64.b64decode(with_padding, validate=True)
    except binascii.Error:
        return False
