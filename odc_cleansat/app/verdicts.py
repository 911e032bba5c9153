"""Say what one thinks of a mask: accept, reject or flag it, with a note; and see who said what before."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from ..errors import CleansatError
from ..products.verdict_files import Verdict, review_state
from .words import plain

if TYPE_CHECKING:
    from .service import Service


LONGEST_NOTE = 2000
"""Characters of a note."""


def ask_verdict(service: Service, mask: UUID, title: str) -> None:
    """Show what was said of a mask, and buttons to say more.

    Raises
    ------
    CleansatError
        If a flag has no note, or the store cannot be written.
    """
    import streamlit as st

    given = service.verdicts(mask)
    with st.container(border=True):
        st.markdown(f"**{plain(title)}** is **{review_state(given)}**.")
        note = st.text_input(
            "Note",
            key=f"note_{mask}",
            max_chars=LONGEST_NOTE,
            placeholder="The reason, for others to read",
        )
        accept, reject, flag = st.columns(3)
        for place, kind, text in (
            (accept, "accept", "Accept"),
            (reject, "reject", "Reject"),
            (flag, "flag", "Flag, with a note"),
        ):
            if place.button(text, key=f"{kind}_{mask}", width="stretch"):
                if kind == "flag" and not note.strip():
                    raise CleansatError("a flag is a remark: write it as the note first.")
                service.judge(kind, mask, note.strip(), st.session_state.person)
                st.rerun()
        for each in reversed(given):
            st.text(verdict_line(each))


def verdict_line(given: Verdict) -> str:
    """Return a verdict in one line: when, what, who and why."""
    note = f": {given.note}" if given.note else ""
    return f"{given.when:%Y-%m-%d %H:%M} UTC, {given.verdict} by {given.by}{note}"
