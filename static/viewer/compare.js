// The page of two films side by side: each has its own finding; zoom, position and window are shared while linked.

import { Viewer } from "./viewer.js";

export const viewer = new Viewer(document.getElementById("viewer"));
const lists = [...document.querySelectorAll("select[data-side]")];

/** Shows the heat map of the finding that a film's list names. */
function choose(list) {
  const { value, dataset } = list.selectedOptions[0];
  viewer.readings[lists.indexOf(list)].set({ label: value, title: dataset.title ?? "" });
  const address = new URL(location.href);
  address.searchParams.set(list.name, value);
  history.replaceState(null, "", address);
}

/** The next finding of the film in hand; of both where they are linked and know it. */
viewer.findings.step = (by) => {
  const list = lists[viewer.readings.indexOf(viewer.active.reading)];
  list.selectedIndex = (list.selectedIndex + by + list.length) % list.length;
  choose(list);
  if (viewer.options.linked) follow(list);
};

/** The other film shows the same finding, where its model has it. */
function follow(list) {
  const other = lists.find((each) => each !== list);
  if (![...other.options].some((option) => option.value === list.value)) return;
  other.value = list.value;
  choose(other);
}

for (const list of lists) {
  list.addEventListener("change", () => {
    choose(list);
    viewer.lookAgain();
  });
  choose(list);
}
viewer.open();
