// Single letters: to the films beside this one, and to answer the chosen finding.

import { meansElse } from "../viewer/keys.js";

const VERDICTS = { a: "agree", d: "disagree", u: "unsure" };
const CHOSEN = "#findings a[aria-current=true] + form.answer";

function target(letter) {
  const key = letter.toLowerCase();
  if (key === "n" || key === "p") return document.querySelector(`.beside a[data-key=${key}]`);
  return VERDICTS[key] && document.querySelector(`${CHOSEN} button[value=${VERDICTS[key]}]`);
}

/** The viewer's help has the switch for all single keys. */
function switchedOff() {
  return document.getElementById("shortcuts")?.checked === false;
}

addEventListener("keydown", (event) => {
  if (switchedOff() || event.repeat || meansElse(event) || document.querySelector("dialog[open]")) return;
  target(event.key)?.click();
});
