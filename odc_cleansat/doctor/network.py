"""What is fetched from elsewhere: weights of models, and scenes that a STAC API knows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..errors import ModelError
from .finding import OK, WARNING, WRONG, Finding

WEIGHTS, STAC = "weights", "network"

_PATIENCE = (5.0, 10.0)
"""Seconds to connect, and of silence, after which a request has failed."""


def probe_weights(online: bool) -> Iterator[Finding]:
    """Look at the weights of the default models: here and true, or to be fetched.

    Parameters
    ----------
    online
        Whether to ask the places that weights are fetched from.
    """
    from ..models.places import availability, is_offline
    from ..models.registry import DEFAULTS, get_model
    from ..models.weights import verify_weights

    for name in DEFAULTS:
        model = get_model(name)
        try:
            state = availability(model)
            if state in ("packaged", "here"):
                verify_weights(model)
                yield Finding(WEIGHTS, OK, f"the weights of {name} are here and true")
                continue
        except ModelError as error:
            yield Finding(WEIGHTS, WRONG, str(error), _mend(model))
            continue
        if state == "missing":
            said = f"the weights of {name} are missing"
            yield Finding(WEIGHTS, WRONG, said, "Run: pip install --force-reinstall odc-cleansat")
        elif is_offline():
            said = f"the weights of {name} are not here, and CLEANSAT_OFFLINE forbids to fetch them"
            yield Finding(WEIGHTS, WRONG, said, f"Remove it, and run: cleansat models fetch {name}")
        elif online:
            yield from _fetchable(model)
        else:
            said = f"the weights of {name} are not here yet, and are fetched when they are needed"
            yield Finding(WEIGHTS, WARNING, said, f"Run: cleansat models fetch {name}")


def _mend(model: Any) -> str:
    """Return how to get the weights of a model anew: those of a package come with it."""
    for each in model.networks():
        scheme, _, place = each.weights.partition(":")
        if scheme == "package":
            return f"Run: pip install --force-reinstall --no-deps {place.partition('/')[0]}"
    return f"Run: cleansat models fetch {model.name}"


def _fetchable(model: Any) -> Iterator[Finding]:
    """Yield whether the weights of a model can be fetched; only their headers are asked for."""
    import requests

    from ..models.places import remote_of
    from ..scenes.http import innermost_reason

    for each in model.networks():
        if (remote := remote_of(each)) is None or remote.find():
            continue
        try:
            answer = requests.head(
                remote.url, headers=dict(remote.headers), timeout=_PATIENCE, allow_redirects=True
            )
            answer.raise_for_status()
        except OSError as error:  # of requests; a file of certificates that is missing
            said = f"the weights of {each.name} cannot be fetched from {remote.url}: {innermost_reason(error)}"
            mend = "Look at the network; CLEANSAT_MIRROR names another place for weights."
            yield Finding(WEIGHTS, WRONG, said, mend)
        else:
            yield Finding(WEIGHTS, OK, f"the weights of {each.name} can be fetched")


def probe_stac(api: str) -> Iterator[Finding]:
    """Look at a STAC API: does it answer, and can it search?

    Parameters
    ----------
    api
        Its address, or the name of its provider.

    Raises
    ------
    CleansatError
        If it is neither.
    """
    import requests

    from ..scenes.http import innermost_reason
    from ..scenes.providers import address_of

    api = address_of(api)
    mend = (
        "Look at the network, at a proxy in HTTPS_PROXY and at certificates in REQUESTS_CA_BUNDLE; "
        "`cleansat mask --stac-api URL` takes another API."
    )
    try:
        answer = requests.get(api, timeout=_PATIENCE)
        answer.raise_for_status()
        found = answer.json()
    except requests.JSONDecodeError:
        found = None
    except OSError as error:
        said = f"the STAC API {api} does not answer: {innermost_reason(error)}"
        yield Finding(STAC, WRONG, said, mend)
        return
    links = found.get("links") if isinstance(found, dict) else None
    rels = {each.get("rel") for each in links or () if isinstance(each, dict)}
    if "search" in rels:
        yield Finding(STAC, OK, f"the STAC API {api} answers and can search")
    else:
        yield Finding(STAC, WRONG, f"{api} answers, and is no STAC API that can search", mend)
