// What can change on the page, each change told to whoever draws it.

import { TABLES } from "./colour.js";
import { FIT } from "./geometry.js";
import { HeatLayer } from "./heat.js";
import { keep, recall } from "./kept.js";
import { lookup, presets, STORED } from "./window.js";

const HISTOGRAM_SIDE = 512; // pixels; enough for the percentiles of a film
const LIKED = { colours: "inferno", opacity: 60, contour: false, threshold: 50, shortcuts: true };

class State extends EventTarget {
  /** `echo`: whether a linked film shall follow. */
  set(changes, echo = true) {
    Object.assign(this, changes);
    this.dispatchEvent(new CustomEvent("change", { detail: { changes, echo } }));
  }
}

/** How a person looks at films: the tool in hand, and the colours, opacity and contour of heat maps. */
export class Options extends State {
  constructor() {
    super();
    const fine = matchMedia("(pointer: fine)").matches;
    const begun = { tool: fine ? "window" : "pan", overlay: true, beside: false, linked: true };
    Object.assign(this, begun, LIKED, recalled());
    this.addEventListener("change", () => keep(Object.fromEntries(Object.keys(LIKED).map((name) => [name, this[name]]))));
  }
}

/** What was kept, as far as it can be used. */
function recalled() {
  const usable = { colours: (name) => name in TABLES, opacity: isPercent, threshold: isPercent };
  const isFlag = (value) => typeof value === "boolean";
  const known = Object.entries(recall()).filter(([name, value]) => name in LIKED && (usable[name] ?? isFlag)(value));
  return Object.fromEntries(known);
}

const isPercent = (value) => Number.isFinite(value) && value >= 0 && value <= 100;

/** One film as it is being looked at. Lines are {from, to} in fractions of the film. */
export class Reading extends State {
  film = null; // pixels.js: the preview first, then all pixels
  maps = null; // heat.js
  label = ""; // of the finding whose heat map is shown; empty: none
  title = "";
  window = STORED;
  preset = "stored"; // the name of the window; empty: set by hand
  inverted = false;
  view = FIT;
  lines = [];
  #table = {};
  #heat = {};
  #presets = {};

  /** `spacing` in mm, {row, column, calibrated}; null where it is unknown. */
  constructor(spacing) {
    super();
    this.spacing = spacing;
  }

  get table() {
    const { window, inverted } = this;
    if (this.#table.window !== window || this.#table.inverted !== inverted) {
      this.#table = { window, inverted, words: lookup(window, inverted) };
    }
    return this.#table.words;
  }

  /** The layer of the chosen finding's heat map; null when there is none. */
  get heat() {
    const map = this.maps?.byLabel.get(this.label);
    if (!map) return null;
    if (this.#heat.map !== map) this.#heat = { map, layer: new HeatLayer(map, this.maps.box) };
    return this.#heat.layer;
  }

  usePreset(name) {
    if (!this.film) return;
    if (this.#presets.film !== this.film) {
      this.#presets = { film: this.film, windows: presets(this.film.small(HISTOGRAM_SIDE).grey) };
    }
    this.set({ window: this.#presets.windows[name], preset: name }, false);
  }
}

const SHARED = ["view", "window", "preset", "inverted"]; // by linked films

/** While `linked()`, each of two films follows what is done to the other. */
export function link([one, other], linked) {
  for (const [from, to] of [[one, other], [other, one]]) {
    from.addEventListener("change", ({ detail: { changes, echo } }) => {
      const followed = Object.entries(changes).filter(([name]) => SHARED.includes(name));
      if (echo && linked() && followed.length) to.set(Object.fromEntries(followed), false);
    });
  }
}
