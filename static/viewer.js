// The film on a canvas, with the heat map of the chosen finding laid over it.

const LARGEST_CANVAS = 16_000_000; // pixels; beyond it some browsers draw nothing, and the preview stays

const stage = document.getElementById("stage");
const canvas = document.getElementById("canvas");
const context = canvas.getContext("2d");
const preview = document.getElementById("film");
const opacity = document.getElementById("opacity");
const links = [...document.querySelectorAll("#findings a")];
const filmOnly = document.getElementById("film-only");

const heatmaps = new Map(); // label -> image
let film = preview; // the preview at first, all pixels once they have come
let heatmap = null;

function draw() {
  context.globalAlpha = 1;
  context.drawImage(film, 0, 0, canvas.width, canvas.height);
  if (heatmap) {
    context.globalAlpha = opacity.value / 100;
    context.drawImage(heatmap, 0, 0, canvas.width, canvas.height);
  }
}

function sizeCanvas(width, height) {
  canvas.width = width;
  canvas.height = height;
  draw();
}

async function image(address) {
  const loaded = new Image();
  loaded.src = address;
  await loaded.decode();
  return loaded;
}

async function choose(link) {
  const label = link?.dataset.label ?? "";
  for (const each of [...links, filmOnly]) each.removeAttribute("aria-current");
  (link ?? filmOnly).setAttribute("aria-current", "true");
  opacity.disabled = !label;
  stage.dataset.chosen = label;
  if (label && !heatmaps.has(label)) heatmaps.set(label, image(link.dataset.heatmap));
  const loaded = label ? await heatmaps.get(label) : null;
  if (stage.dataset.chosen !== label) return; // another finding was chosen while this one was loading
  heatmap = loaded;
  if (label) tell("Heat map: ", strong(link.dataset.title), link.dataset.remark);
  else tell("Film without a heat map");
  draw();
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
  const link = event.currentTarget === filmOnly ? null : event.currentTarget;
  history.replaceState(null, "", event.currentTarget.href);
  stage.scrollIntoView({ block: "nearest" }); // on a phone the findings stand below the film
  choose(link).catch(() => tell("The heat map could not be loaded; reload the page."));
}

/** The film at full size, from 16-bit pixels to the 8 bits that a canvas shows. */
async function fullFilm() {
  const answer = await fetch(stage.dataset.pixels);
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  const width = Number(answer.headers.get("X-Film-Width"));
  const height = Number(answer.headers.get("X-Film-Height"));
  if (width * height > LARGEST_CANVAS) return preview;
  const grey = new DataView(await answer.arrayBuffer());
  const shown = new ImageData(width, height);
  const words = new Uint32Array(shown.data.buffer);
  for (let i = 0; i < words.length; i++) {
    words[i] = 0xff000000 | (Math.round(grey.getUint16(2 * i, true) / 257) * 0x010101);
  }
  return createImageBitmap(shown);
}

async function open() {
  await preview.decode();
  sizeCanvas(preview.naturalWidth, preview.naturalHeight);
  await choose(links.find((link) => link.hasAttribute("aria-current")) ?? null);
  canvas.hidden = false;
  stage.classList.add("drawn");
  film = await fullFilm();
  if (film !== preview) sizeCanvas(film.width, film.height);
  stage.dataset.detail = "full";
}

document.documentElement.classList.add("scripted");
for (const link of [...links, filmOnly]) link.addEventListener("click", chooseFrom);
opacity.addEventListener("input", () => {
  document.getElementById("opacity-value").textContent = `${opacity.value} %`;
  draw();
});
open().catch(() => tell("The film could not be loaded in full detail; reload the page."));
