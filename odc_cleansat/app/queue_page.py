"""The page of the queue: which masks are being made, how far they are, and who waits for which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..addresses import without_places
from .parts import failing_in_words, link_page, look_again, run_part_again
from .refining import BY_DATES
from .service import Service, get_service
from .words import plain

if TYPE_CHECKING:
    from ..batch.jobs import Job


LISTED = 30
"""Jobs that are over and still listed."""

EVERY = 0.5
"""Seconds between two looks at the queue."""

OVER = {
    "done": ":material/check_circle: {made}",
    "found": ":material/check_circle: was {made} already",
    "failed": ":material/error: failed",
    "withdrawn": ":material/cancel: withdrawn, nothing of it is left",
}


def show() -> None:
    """Show the page."""
    import streamlit as st

    for text in st.session_state.pop("refused", []):
        st.warning(plain(f"Not taken: {text}"))
    st.caption("Masks are made in the background. You may close this page; nothing is lost.")
    st.fragment(_jobs)()


def _jobs() -> None:
    import streamlit as st

    service = get_service()
    look_again(EVERY)
    with failing_in_words():
        jobs = service.queue.jobs()
        for job in [job for job in jobs if not job.is_over]:
            _active(service, job)
        over = [job for job in jobs if job.is_over][:LISTED]
        if not jobs:
            st.info("Nothing is being masked. Choose scenes on the page Scenes, and press Mask.")
        for job in over:
            _over(service, job)


def _active(service: Service, job: Job) -> None:
    import streamlit as st

    name, button = st.columns([5, 1], vertical_alignment="center")
    person = st.session_state.person
    who = ", ".join("you" if each == person else each for each in job.persons) or "nobody any more"
    name.progress(
        job.done / job.total if job.total else 0.0,
        text=plain(f"{_named(job)}: {progress_text(job)}, for {who}"),
    )
    if job.part:
        with name:
            link_page("Look", "Look at your area, which is masked", show=f"{job.scene}.-")
    with button:
        offer_withdrawal(service, job)


def offer_withdrawal(service: Service, job: Job) -> None:
    """Let a person who waits for a mask think better of it; in a fragment."""
    import streamlit as st

    person = st.session_state.person
    if person in job.persons and st.button("Withdraw", key=f"withdraw_{job.mask}"):
        service.queue.withdraw(job.mask, person)
        run_part_again()


def _named(job: Job) -> str:
    if job.dates:
        return f"{job.label}, {BY_DATES[job.dates]}"
    return job.label if job.light else f"{job.label}, without light"


def progress_text(job: Job) -> str:
    """Return how far a job is, in words."""
    if job.state == "waiting":
        return "next" if job.place == 1 else f"number {job.place} of those that wait"
    if job.state == "indexing":
        return "being put into the datacube"
    if not job.persons:
        return "stopping"
    if not job.total:
        return "begins"
    if job.dates:
        return f"{100 * job.done // job.total} %"
    return f"{job.done} of {job.total} window{'s' * (job.total != 1)}"


def _over(service: Service, job: Job) -> None:
    import streamlit as st

    name, button = st.columns([5, 1], vertical_alignment="center")
    took = ""
    if job.state == "done" and job.begun and job.ended:
        took = f" in {(job.ended - job.begun).total_seconds():.0f} s"
    what = OVER[job.state].format(made="refined" if job.dates else "masked")
    name.markdown(f"{what}{took}: {plain(_named(job))}")
    if job.reason:
        name.error(sentence(job.reason))
    for text in job.warnings:
        name.warning(sentence(text))
    if job.state in ("done", "found"):
        with button:
            link_page("Look", show=f"{job.scene}.{job.mask}")
    elif button.button("Ask again", key=f"again_{job.mask}"):
        _ask_again(service, job, st.session_state.person)
        run_part_again()


def _ask_again(service: Service, job: Job, person: str) -> None:
    if job.dates:
        service.refine(job.scene, person, hindsight=job.dates == "hindsight")
    else:
        service.ask([job.scene], person, light=job.light)


def sentence(text: str) -> str:
    """Return what a worker said, as a sentence without places."""
    told = without_places(text)
    return plain(told[:1].upper() + told[1:])
