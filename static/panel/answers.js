// Saves each answer as soon as it is given, says so, and keeps what could not be saved until it can.

import { SignedOut, signInBeside, validateNotReplaced, validateSignedIn } from "../signed-out.js";
import { Gone } from "../viewer/pixels.js";

const forms = [...document.querySelectorAll("form.answer")];
const unsaved = new Map(); // form -> what the desk does not have yet, as FormData
let queue = Promise.resolve(); // one answer at a time, in the order given: the last must be the one that counts

function save(form, verdict = chosen(form)) {
  const sent = fields(form, verdict);
  unsaved.set(form, sent);
  say(form, "Saving");
  queue = queue.then(() => send(form, sent)).then(
    () => saved(form, sent),
    (problem) => failed(form, problem),
  );
}

/** The verdict given last, whether or not the desk has it yet. */
function chosen(form) {
  if (unsaved.has(form)) return unsaved.get(form).get("verdict");
  return form.querySelector(".verdicts [aria-pressed=true]")?.value ?? "";
}

function fields(form, verdict) {
  const all = new FormData(form);
  all.set("verdict", verdict);
  return all;
}

/** Rejects with the sentence that says why the answer was not kept. */
async function send(form, body) {
  // keepalive: an answer given on the way to the next film must still arrive
  const options = { method: "POST", body: new URLSearchParams(body), headers: { Accept: "application/json" }, keepalive: true };
  const answer = await fetch(form.action, options).catch(() => {
    throw new Error("The connection is lost. Your answer stays on this page.");
  });
  if (answer.ok) return;
  await validateSignedIn(answer);
  const told = await answer.json().catch(() => ({}));
  if (answer.status === 404) throw new Gone(told.error);
  validateNotReplaced(told);
  throw new Error(told.error ?? `The desk answered with HTTP ${answer.status}.`);
}

function saved(form, sent) {
  const verdict = sent.get("verdict");
  form.elements.text.defaultValue = sent.get("text");
  for (const button of form.querySelectorAll(".verdicts [aria-pressed]")) {
    button.setAttribute("aria-pressed", String(button.value === verdict));
  }
  mark(form, verdict);
  if (unsaved.get(form) !== sent) return; // another answer was given meanwhile, and is on its way
  unsaved.delete(form);
  say(form, isTyped(form) ? "Not saved yet" : "Saved");
}

/** The verdict beside the finding's name in the list; `waits`: the desk does not have it. */
function mark(form, verdict, waits = false) {
  for (const button of form.querySelectorAll(".verdicts [aria-pressed]")) {
    button.classList.toggle("waits", waits && button.value === verdict);
  }
  const withdraw = form.querySelector(".withdraw");
  if (!withdraw) return; // the whole film takes no verdict
  if (!verdict && document.activeElement === withdraw) form.elements.text.focus();
  withdraw.hidden = !verdict;
  const mine = waits ? `${verdict || "answer"} (not saved)` : verdict;
  const others = form.dataset.others && `${form.dataset.others} more`;
  form.parentElement.querySelector(".said").textContent = [mine, others].filter(Boolean).join(", ");
}

function failed(form, problem) {
  mark(form, chosen(form), true);
  if (problem instanceof Gone) unsaved.delete(form); // nobody need be kept from leaving
  const again = Object.assign(document.createElement("button"), { type: "button", className: "plain", textContent: "Try again" });
  again.addEventListener("click", () => save(form));
  const why = problem instanceof SignedOut ? signInBeside(problem.address) : [`${problem.message} `];
  say(form, "Not saved. ", ...why, ...(problem instanceof Gone ? [] : [again]));
  form.querySelector(".state").classList.add("bad");
}

function say(form, ...words) {
  const state = form.querySelector(".state");
  state.classList.remove("bad");
  state.replaceChildren(...words);
}

function isTyped(form) {
  return form.elements.text.value !== form.elements.text.defaultValue;
}

for (const form of forms) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    save(form, event.submitter?.value);
  });
  form.elements.text.addEventListener("input", () => say(form, isTyped(form) ? "Not saved yet" : ""));
  form.elements.text.addEventListener("change", () => save(form));
}
addEventListener("online", () => [...unsaved.keys()].forEach((form) => save(form)));
addEventListener("pagehide", () => {
  for (const form of forms.filter(isTyped)) send(form, fields(form, chosen(form))).catch(() => {});
});
addEventListener("beforeunload", (event) => {
  if (unsaved.size) event.preventDefault();
});
