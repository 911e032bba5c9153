"""The page to judge masks: the review page of `cleansat review serve`, inside the application."""

from __future__ import annotations

from .door import JUDGE
from .parts import failing_in_words, kept_query, open_page, read_id
from .service import get_service

HEIGHT = 900
"""Pixels."""


def show() -> None:
    """Show the page."""
    import streamlit as st

    service = get_service()
    with failing_in_words():
        masks = kept_query("masks")
        if not masks.strip():
            st.info("No mask is chosen. Choose masked scenes on the page Scenes, and press Judge.")
            if st.button("Go to Scenes", type="primary"):
                open_page("Scenes")
            return
        chosen = [read_id(text) for text in masks.split(",")]
        for each in chosen[:1]:
            service.mask(each)  # which says what is wrong with the address
        key = service.door.key(st.session_state.person, JUDGE)
        st.iframe(f"/review/{key}/{service.desks.open(chosen)}/", height=HEIGHT)
