"""The script that Streamlit runs for each person: it shows the page that is asked for."""

from __future__ import annotations

from importlib import resources

import streamlit as st
from PIL import Image

from odc_cleansat.app import (
    composite_page,
    judge_page,
    queue_page,
    recall_page,
    scenes_page,
    view_page,
)
from odc_cleansat.app.person import who

with resources.files("odc_cleansat.app").joinpath("icon.png").open("rb") as file:
    ICON = Image.open(file).copy()
st.set_page_config(
    page_title="Cloud masks", page_icon=ICON, layout="wide", initial_sidebar_state="collapsed"
)

# Streamlit leaves wide margins, which tables and maps need.
st.html("<style>.stMainBlockContainer {padding: 4rem clamp(0.8rem, 2vw, 2rem) 2rem}</style>")

PAGES = [
    st.Page(
        scenes_page.show, title="Scenes", icon=":material/search:", url_path="scenes", default=True
    ),
    st.Page(view_page.show, title="Look", icon=":material/layers:", url_path="look"),
    st.Page(judge_page.show, title="Judge", icon=":material/gavel:", url_path="judge"),
    st.Page(recall_page.show, title="Recall", icon=":material/download:", url_path="recall"),
    st.Page(composite_page.show, title="Composite", icon=":material/stacks:", url_path="composite"),
    st.Page(queue_page.show, title="Queue", icon=":material/hourglass:", url_path="queue"),
]

st.session_state.pages = {page.title: page for page in PAGES}
person = who()
page = st.navigation(PAGES, position="top")
st.session_state.person = person
page.run()
