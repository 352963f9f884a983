// Single letters: to the films beside this one, and to answer the chosen finding.

import { recall } from "../viewer/kept.js";
import { meansElse } from "../viewer/keys.js";

const VERDICTS = { a: "agree", d: "disagree", u: "unsure" };
const CHOSEN = "#findings a[aria-current=true] + form.answer";

function target(letter) {
  const key = letter.toLowerCase();
  if (key === "n" || key === "p") return document.querySelector(`.beside a[data-key=${key}]`);
  return VERDICTS[key] && document.querySelector(`${CHOSEN} button[value=${VERDICTS[key]}]`);
}

/** The viewer's help has the switch for all single keys; a film that was not read has no viewer, and keeps to it. */
function switchedOff() {
  const onThisPage = document.getElementById("shortcuts")?.checked;
  return (onThisPage ?? recall().shortcuts) === false;
}

addEventListener("keydown", (event) => {
  if (switchedOff() || event.repeat || meansElse(event) || document.querySelector("dialog[open]")) return;
  target(event.key)?.click();
});
