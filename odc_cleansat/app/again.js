// Asks for a part of a page anew from time to time, but not while somebody clicks or types: Streamlit answers a request that
// comes between a click and the page that it opens by a blank page. It stops once another page is shown.

const QUIET = 2000; // milliseconds after a click or key

export default function ({ data, setTriggerValue }) {
  const path = window.location.pathname;
  let touched = 0;
  const touch = () => { touched = Date.now(); };
  const events = ["pointerdown", "keydown", "popstate"];
  for (const each of events) window.addEventListener(each, touch, true);
  const timer = setInterval(() => {
    if (window.location.pathname !== path) clearInterval(timer);
    else if (!document.hidden && Date.now() - touched > QUIET) setTriggerValue("again", Date.now());
  }, 1000 * data.seconds);
  return () => {
    clearInterval(timer);
    for (const each of events) window.removeEventListener(each, touch, true);
  };
}
