"""The page to judge masks: the review page of `cleansat review serve`, inside the application."""

from __future__ import annotations

from .parts import failing_in_words, kept_query, open_page
from .service import get_service

HEIGHT = 900
"""Pixels."""


def show() -> None:
    """Show the page."""
    from urllib.parse import urlencode

    import streamlit as st

    service = get_service()
    st.title("Judge")
    with failing_in_words():
        masks = kept_query("masks")
        if not masks.strip():
            st.info("No mask is chosen. Choose masked scenes on the page Scenes, and press Judge.")
            if st.button("Go to Scenes", type="primary"):
                open_page("Scenes")
            return
        key = service.door.key(st.session_state.person)
        st.iframe(f"/review/?{urlencode({'key': key, 'masks': masks})}", height=HEIGHT)
