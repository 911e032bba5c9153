"""The door: keys that open tiles and pictures for a while, and who somebody is.

Routes beside Streamlit's own pages are not behind its sign-in. So every page gives its pictures a key, which is signed,
names the person, and expires.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from ..errors import CleansatError

KEY_SECONDS = 12 * 3600
"""How long a key opens; a page that is still open gets a new one with its next run."""

LONGEST_NAME = 200
"""Characters of a person's name."""


class ClosedError(CleansatError):
    """There is no valid key, so nothing is shown."""


class Door:
    """Makes keys and checks them. The secret is new with each start of the application.

    Parameters
    ----------
    seconds
        How long a key opens.
    """

    def __init__(self, seconds: int = KEY_SECONDS) -> None:
        from itsdangerous import URLSafeTimedSerializer

        self._seconds = seconds
        self._signer = URLSafeTimedSerializer(secrets.token_bytes(32), salt="tiles")

    def key(self, person: str) -> str:
        """Return a key for a person, as it stands in an address."""
        return str(self._signer.dumps(person))

    def person(self, key: str | None) -> str:
        """Return whose key it is.

        Raises
        ------
        ClosedError
            If it is none of ours, or too old.
        """
        from itsdangerous import BadData, SignatureExpired

        try:
            found = self._signer.loads(key or "", max_age=self._seconds)
        except SignatureExpired as error:
            raise ClosedError("this page is too old to load more; reload it.") from error
        except BadData as error:
            raise ClosedError(
                "open this from the application: the address has no valid key."
            ) from error
        return str(found)


def named_by_header(headers: Mapping[str, str], name: str) -> str:
    """Return who a trusted proxy says is there.

    Raises
    ------
    ClosedError
        If it names nobody.
    """
    person = (headers.get(name) or "").strip()
    if not person or len(person) > LONGEST_NAME:
        raise ClosedError(
            "the proxy in front of this application names nobody; sign in there first."
        )
    return person
