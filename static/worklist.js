// Choosing films, and the keys of the list: they count only while the list has the focus (WCAG 2.2, 2.1.4).

const list = document.querySelector(".worklist");
const boxes = () => [...document.querySelectorAll(".worklist input[name=film]")];

function count() {
  const [all, tally, each] = [document.getElementById("all"), document.getElementById("tally"), boxes()];
  const chosen = each.filter((box) => box.checked).length;
  all.checked = chosen === each.length;
  all.indeterminate = chosen > 0 && chosen < each.length;
  tally.textContent = chosen ? `${chosen} chosen` : "";
  document.getElementById("doomed").textContent = doomed(chosen);
}

/** Which films the button would delete. */
function doomed(chosen) {
  const scope = document.getElementById("scope");
  if (scope.value === "all") return `All ${Number(scope.dataset.count).toLocaleString("en")} films of this list,`;
  return chosen ? `The ${chosen} chosen film${chosen === 1 ? "" : "s"},` : "No film is chosen. Chosen films,";
}

function chooseAll(event) {
  for (const box of boxes()) box.checked = event.target.checked;
  count();
}

/** The line that has the focus, and the one `step` lines away. */
function move(step) {
  const lines = [...list.querySelectorAll(".line")];
  const here = lines.findIndex((line) => line.contains(document.activeElement));
  lines[Math.min(Math.max(here + step, 0), lines.length - 1)].querySelector("h2 a").focus();
}

function toggle() {
  document.activeElement.closest(".line")?.querySelector("input[name=film]").click();
}

const KEYS = { ArrowDown: () => move(1), ArrowUp: () => move(-1), j: () => move(1), k: () => move(-1), x: toggle };

function act(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
}

if (list) {
  document.documentElement.classList.add("scripted");
  document.getElementById("all").addEventListener("change", chooseAll);
  list.addEventListener("change", count);
  document.getElementById("scope").addEventListener("change", count);
  list.addEventListener("keydown", act);
  addEventListener("pageshow", count); // a page that the browser restored may have films chosen
}
