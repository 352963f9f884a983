// Where films come from: chosen, dropped with their folders, pasted, or taken by the camera.

const CLUTTER = /^(\.|thumbs\.db$|desktop\.ini$)/i; // what systems put beside files

/** Calls `take` with the files of every choice, drop and paste on the page. */
export function watch(form, take) {
  for (const input of form.querySelectorAll("input[type=file]")) {
    input.required = false; // the script sends as soon as files are chosen
    input.addEventListener("change", () => {
      take(tidy([...input.files]));
      input.value = ""; // the same file may be chosen again
    });
  }
  watchDrops(form, take);
  addEventListener("paste", (event) => take([...event.clipboardData.files].map(named)));
}

/** Films may be dropped anywhere: a browser would leave the page to show one that misses the zone. */
function watchDrops(form, take) {
  let inside = 0; // elements entered and not left
  const mark = (change) => {
    inside = Math.max(0, inside + change);
    form.classList.toggle("over", inside > 0);
  };
  addEventListener("dragenter", () => mark(+1));
  addEventListener("dragleave", () => mark(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", async (event) => {
    event.preventDefault();
    mark(-inside);
    take(tidy(await dropped(event.dataTransfer)));
  });
}

/** The files of a drop, those in folders too. All entries are asked for at once: the browser soon forgets them. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry());
  if (entries.some((entry) => !entry)) return [...transfer.files];
  return (await Promise.all(entries.map(filesOf))).flat();
}

/** What the browser may not read becomes an empty file of that name, which the desk refuses by name. */
function filesOf(entry) {
  return readEntry(entry).catch(() => [new File([], entry.name)]);
}

async function readEntry(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // 100 at most
    if (!some.length) break;
    found.push(...some);
  }
  found.sort((a, b) => inOrder(a.name, b.name));
  return (await Promise.all(found.map(filesOf))).flat();
}

/** Without clutter; those of a chosen folder by their paths. */
function tidy(files) {
  const films = files.filter((file) => !CLUTTER.test(file.name));
  return films.sort((a, b) => inOrder(a.webkitRelativePath, b.webkitRelativePath));
}

const inOrder = new Intl.Collator(undefined, { numeric: true }).compare;

/** Browsers call every pasted picture image.png. */
function named(file) {
  const time = new Date().toLocaleTimeString([], { hour12: false });
  return file.name === "image.png" ? new File([file], `pasted ${time}.png`, { type: file.type }) : file;
}
