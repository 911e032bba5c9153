"""Who sits before the page."""

from __future__ import annotations

import getpass
import time

from .door import LONGEST_NAME, ClosedError, named_by_header
from .service import get_service


def who() -> str:
    """Return the name of the person, who is asked to sign in where that is needed.

    Without a proxy and without sign-in, people say themselves who they are. That is meant for one person on one
    machine.
    """
    from streamlit.runtime.scriptrunner import get_script_run_ctx

    found, run = _named(), get_script_run_ctx()
    if run is not None:
        get_service().door.enter(run.session_id)
    return found


def _named() -> str:
    import streamlit as st

    settings = get_service().settings
    if settings.user_header is not None:
        try:
            return named_by_header(st.context.headers.get_all(settings.user_header))
        except ClosedError as error:
            st.error(str(error))
            st.stop()
    if settings.sign_in is not None:
        return _signed_in()
    if "name" not in st.session_state:
        st.session_state.name = _of_this_machine()
    with st.sidebar:
        name = st.text_input(
            "Your name", key="name", max_chars=LONGEST_NAME, help="Verdicts carry it."
        )
    return str(name).strip() or "somebody"


def _signed_in() -> str:
    import streamlit as st

    if not st.user.is_logged_in:
        st.title("Cloud masks")
        st.write("Sign in to see scenes and masks.")
        st.button("Sign in", type="primary", on_click=st.login)
        st.stop()
    with st.sidebar:
        found = str(st.user.get("email") or st.user.get("name") or st.user.get("sub") or "")
        st.text(f"Signed in as {found}")
        st.button("Sign out", on_click=_leave, args=(found,))
    if not found or len(found) > LONGEST_NAME:
        st.error("Your sign-in has no name that verdicts could carry; ask whoever runs it.")
        st.stop()
    begun = st.session_state.setdefault("begun", time.time())
    if get_service().door.has_left(found, begun):
        # Streamlit asks who is there only when a page is opened.
        st.error("You have signed out in another window. Reload this page to sign in again.")
        st.stop()
    return found


def _leave(person: str) -> None:
    """Sign somebody out, and let nothing be opened by the addresses that they have seen."""
    import streamlit as st

    get_service().door.leave(person)
    st.logout()


def _of_this_machine() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"
