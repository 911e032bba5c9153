"""The script that Streamlit runs for each person: it shows the page that is asked for.

To Python this script is then the main module of the process, which each new worker of the queue imports under another name.
A page would end the worker. So nothing is imported or done but for a person.
"""

from __future__ import annotations

from importlib import resources

# Streamlit leaves wide margins, which tables and maps need. It shows no focus of its links, and lets that go to what is hidden.
STYLE = """
.stMainBlockContainer { padding: 4rem clamp(0.8rem, 2vw, 2rem) 2rem }
a:focus-visible { outline: 3px solid currentColor !important; outline-offset: -2px }
[data-testid=stSidebar][data-collapsed=true] * { visibility: hidden !important }
"""


def main() -> None:
    """Show the page that is asked for."""
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
    from odc_cleansat.app.where import ask_where

    with resources.files("odc_cleansat.app").joinpath("icon.png").open("rb") as file:
        picture = Image.open(file).copy()
    st.set_page_config(
        page_title="Cloud masks",
        page_icon=picture,
        layout="wide",
        initial_sidebar_state="collapsed",
    )
    st.html(f"<style>{STYLE}</style>")
    listed = [
        ("Scenes", scenes_page.show, ":material/search:", "scenes"),
        ("Look", view_page.show, ":material/layers:", "look"),
        ("Judge", judge_page.show, ":material/gavel:", "judge"),
        ("Recall", recall_page.show, ":material/download:", "recall"),
        ("Composite", composite_page.show, ":material/stacks:", "composite"),
        ("Queue", queue_page.show, ":material/hourglass:", "queue"),
    ]
    pages = [
        st.Page(show, title=title, icon=icon, url_path=path, default=title == "Scenes")
        for title, show, icon, path in listed
    ]
    st.session_state.pages = {page.title: page for page in pages}
    person = who()
    page = st.navigation(pages, position="top")
    st.session_state.person = person
    st.title(page.title)
    ask_where(page.title)
    page.run()


if __name__ == "__main__":
    main()
