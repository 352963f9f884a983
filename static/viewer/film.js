// The page of one film: its viewer, and the findings of the panel beside it.

import { Viewer } from "./viewer.js";

const links = [...document.querySelectorAll("#findings a[data-label]")];
const filmOnly = document.getElementById("film-only");

export const viewer = new Viewer(document.getElementById("viewer"));

/** Shows the heat map of a finding, or with null the film alone. */
function choose(link) {
  const { label = "", title = "", remark = "" } = link?.dataset ?? {};
  for (const each of [...links, filmOnly]) each?.removeAttribute("aria-current");
  (link ?? filmOnly)?.setAttribute("aria-current", "true");
  viewer.stages[0].reading.set({ label, title });
  viewer.options.set({ overlay: true });
  tell(...(label ? ["Heat map: ", strong(title), remark] : ["Film without a heat map"]));
}

function strong(text) {
  return Object.assign(document.createElement("strong"), { textContent: text });
}

function tell(...words) {
  document.getElementById("shown").replaceChildren(...words);
}

function chooseFrom(event) {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a new tab is a new tab
  event.preventDefault();
  go(event.currentTarget === filmOnly ? null : event.currentTarget);
}

function go(link) {
  history.replaceState(null, "", (link ?? filmOnly).href);
  viewer.stages[0].element.scrollIntoView({ block: "nearest" }); // on a phone the findings stand below the film
  choose(link);
  viewer.lookAgain();
}

viewer.findings.step = (by) => {
  if (!links.length) return;
  const now = links.findIndex((link) => link.hasAttribute("aria-current"));
  go(links[(Math.max(now, by > 0 ? -1 : 0) + by + links.length) % links.length]);
};

for (const link of [...links, filmOnly]) link?.addEventListener("click", chooseFrom);
choose(links.find((link) => link.hasAttribute("aria-current")) ?? null);
viewer.open();
