"""The door: keys that open tiles and pictures for a while, and who somebody is.

Routes beside Streamlit's own pages are not behind its sign-in. So every page gives its pictures a key, which is signed,
names the person, and expires.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cachetools import TTLCache

from ..errors import CleansatError

if TYPE_CHECKING:
    from starlette.datastructures import Headers

KEY_SECONDS = 12 * 3600
"""How long a key opens; a page that is still open gets a new one with its next run."""

KEPT_SECONDS = 3600
"""How long people get the same key, so that their browsers know pictures again that they have seen."""

PEOPLE = 10_000
"""People whose last sign-out is remembered."""

LONGEST_NAME = 200
"""Characters of a person's name."""


class ClosedError(CleansatError):
    """There is no valid key, so nothing is shown."""


SEE, JUDGE = "see", "judge"
"""What a key is for. One that stands in the address of a picture, which people may pass on, gives no verdicts."""


class Door:
    """Makes keys and checks them. The secret is new with each start of the application.

    Parameters
    ----------
    seconds
        How long a key opens.
    user_header
        Header in which a proxy names who is signed in; then a key opens for its own person alone.
    """

    def __init__(self, seconds: int = KEY_SECONDS, user_header: str | None = None) -> None:
        from itsdangerous import URLSafeTimedSerializer

        self._seconds = seconds
        self._user_header = user_header
        secret = secrets.token_bytes(32)
        self._left: TTLCache[str, float] = TTLCache(PEOPLE, seconds)
        """When people signed out, seconds of the clock; older keys of theirs are of no use any more."""
        self._given: TTLCache[tuple[str, str], str] = TTLCache(
            PEOPLE, min(KEPT_SECONDS, seconds / 2)
        )
        """Keys by person and use."""
        self._inside: TTLCache[str, bool] = TTLCache(PEOPLE, seconds)
        """Sessions of Streamlit in which somebody has been let in."""
        self._lock = threading.Lock()
        self._signers = {use: URLSafeTimedSerializer(secret, salt=use) for use in (SEE, JUDGE)}

    def key(self, person: str, use: str = SEE) -> str:
        """Return a key for a person and a use, as it stands in an address."""
        with self._lock:
            found = self._given.get((person, use))
            if found is None:
                found = self._given[person, use] = str(self._signers[use].dumps(person))
            return found

    def leave(self, person: str) -> None:
        """Let the keys of a person open nothing more, because they sign out."""
        with self._lock:
            self._left[person] = time.time()
            for use in self._signers:
                self._given.pop((person, use), None)

    def has_left(self, person: str, since: float) -> bool:
        """Whether a person has signed out since a time, seconds of the clock."""
        with self._lock:
            return since <= self._left.get(person, 0.0)

    def enter(self, session: str) -> None:
        """Let a session of Streamlit send files, for there is somebody who may."""
        with self._lock:
            self._inside[session] = True

    def is_inside(self, session: str) -> bool:
        """Whether somebody has been let in in a session of Streamlit. Anybody can open one."""
        with self._lock:
            return session in self._inside

    def person(self, key: str | None, headers: Headers, use: str = SEE) -> str:
        """Return whose key it is.

        Parameters
        ----------
        key
            From the address.
        headers
            Of the request.
        use
            What it is to open: :data:`SEE` or :data:`JUDGE`.

        Raises
        ------
        ClosedError
            If it is none of ours, for another use, too old, or of somebody else than the proxy names.
        """
        from itsdangerous import BadData, SignatureExpired

        try:
            found, made = self._signers[use].loads(
                key or "", max_age=self._seconds, return_timestamp=True
            )
        except SignatureExpired as error:
            raise ClosedError("this page is too old to load more; reload it.") from error
        except BadData as error:
            raise ClosedError(
                "open this from the application: the address has no valid key."
            ) from error
        if made.timestamp() <= self._left.get(found, 0.0):
            raise ClosedError("whoever opened this has signed out; sign in again.")
        header = self._user_header
        if header is not None and found != named_by_header(headers.getlist(header)):
            raise ClosedError(
                "this address is somebody else's; open the page from the application yourself."
            )
        return str(found)


def named_by_header(values: Sequence[str]) -> str:
    """Return who a trusted proxy says is there.

    Parameters
    ----------
    values
        Of its header in a request. Two are one too many: the proxy lets pass what a browser sends.

    Raises
    ------
    ClosedError
        If it names nobody, or two.
    """
    named = [value.strip() for value in values]
    if len(named) != 1 or not named[0] or len(named[0]) > LONGEST_NAME:
        raise ClosedError(
            "the proxy in front of this application names nobody, or more than one; sign in there first."
        )
    return named[0]
