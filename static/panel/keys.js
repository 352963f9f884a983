// Single letters: to the films beside this one, and to answer the chosen finding.

const VERDICTS = { a: "agree", d: "disagree", u: "unsure" };
const CHOSEN = "#findings a[aria-current=true] + form.answer";
const TYPING = "input:not([type=range]), textarea, select, [contenteditable]";

function target(key) {
  if (key === "n" || key === "p") return document.querySelector(`.beside a[data-key=${key}]`);
  return VERDICTS[key] && document.querySelector(`${CHOSEN} button[value=${VERDICTS[key]}]`);
}

/** The viewer's help has the switch for all single keys. */
function switchedOff() {
  return document.getElementById("shortcuts")?.checked === false;
}

addEventListener("keydown", (event) => {
  if (switchedOff() || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.target.closest(TYPING)) return;
  target(event.key)?.click();
});
