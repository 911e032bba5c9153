// Asks for a part of a page anew from time to time, but not while somebody clicks or types, or Streamlit is at work: it answers
// a request that comes between a click and the page that it opens by a blank page. It stops once another page is shown.

const QUIET = 2000; // milliseconds after a click or key
const FIRST = 150; // milliseconds until the first time: work that was asked for just now begins soon

const AT_WORK = ["rerunRequested", "running", "stopRequested"];

export default function ({ data, setTriggerValue }) {
  const path = window.location.pathname;
  let touched = 0;
  const touch = () => { touched = Date.now(); };
  const events = ["pointerdown", "keydown", "popstate"];
  for (const each of events) window.addEventListener(each, touch, true);
  const ask = () => {
    const state = document.querySelector("[data-testid=stApp]")?.dataset.testScriptState;
    if (window.location.pathname !== path) clearInterval(timer);
    else if (document.hidden || Date.now() - touched < QUIET || AT_WORK.includes(state)) return;
    else setTriggerValue("again", Date.now());
  };
  const timer = setInterval(ask, 1000 * data.seconds);
  const first = setTimeout(ask, FIRST);
  return () => {
    clearInterval(timer);
    clearTimeout(first);
    for (const each of events) window.removeEventListener(each, touch, true);
  };
}
