// Buttons, sliders and lists around the films.

import { gradient } from "./colour.js";
import { KEYS, keyOf } from "./keys.js";
import { lengthText } from "./measure.js";
import { limited, NARROWEST } from "./window.js";

const PERCENT = 655.36; // film greys
const THRESHOLD = "One grey is the narrowest window: everything is black or white.";
const MAGNIFIED = "At the detector: the beam spreads, so things in the chest are smaller than their shadows.";
const UNKNOWN = "In pixels of the film: the file does not say how large they are.";

export class Controls {
  #frame = 0;

  constructor(viewer) {
    this.viewer = viewer;
    this.root = viewer.root;
    for (const state of [viewer.options, ...viewer.readings]) state.addEventListener("change", () => this.refresh());
    this.#bindButtons();
    this.#bindHeat();
    this.#bindWindow();
    this.#fillHelp();
    this.#show();
  }

  /** Once before the next frame, however many changes there are. */
  refresh() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#show();
    });
  }

  #find(name) {
    return this.root.querySelector(`#${name}`);
  }

  #bindButtons() {
    for (const button of this.root.querySelectorAll("[data-command]")) {
      const key = keyOf(button.dataset.command);
      if (key) button.title = `${button.getAttribute("aria-label") ?? button.textContent.trim()} (${key})`;
      button.addEventListener("click", () => this.viewer.run(button.dataset.command));
    }
  }

  #bindHeat() {
    const { options } = this.viewer;
    this.#find("opacity").addEventListener("input", ({ target }) => options.set({ opacity: Number(target.value) }));
    this.#find("threshold").addEventListener("input", ({ target }) => options.set({ threshold: Number(target.value) }));
    this.#find("colours").addEventListener("change", ({ target }) => options.set({ colours: target.value }));
  }

  #bindWindow() {
    this.#find("preset").addEventListener("change", ({ target }) => {
      if (target.value) this.viewer.run(`preset-${target.value}`);
    });
    for (const name of ["level", "width"]) this.#find(name).addEventListener("change", () => this.#setWindow());
  }

  #setWindow() {
    const [centre, width] = ["level", "width"].map((name) => this.#find(name).valueAsNumber * PERCENT);
    if (Number.isNaN(centre) || Number.isNaN(width)) return this.#showWindow(); // a field that was emptied
    this.viewer.active.reading.set({ window: limited({ centre, width }), preset: "" });
  }

  #fillHelp() {
    const rows = KEYS.filter(([, , text]) => text).map(([keys, command, text, focused]) => {
      const pair = command.match(/^(step|nudge)-/) ? [keys[0].replace("ArrowLeft", "arrow keys")] : keys;
      return row(pair.map((key) => make("kbd", key)), focused ? `${text} (while the film has the focus)` : text);
    });
    const panel = [...document.querySelectorAll("[data-key]")].map(({ dataset }) =>
      row([make("kbd", dataset.key.toUpperCase())], dataset.keyHelp),
    );
    const { help, options } = this.viewer;
    help.querySelector("tbody").replaceChildren(...rows, ...panel);
    help.querySelector("button").addEventListener("click", () => help.close());
    const shortcuts = this.#find("shortcuts");
    shortcuts.addEventListener("change", () => options.set({ shortcuts: shortcuts.checked }));
  }

  #show() {
    this.#showPressed();
    this.#showHeat();
    this.#showWindow();
    this.#showLines();
    this.root.classList.toggle("is-beside", this.viewer.options.beside);
    this.root.dataset.tool = this.viewer.options.tool;
    for (const pane of this.viewer.stages.flatMap((stage) => stage.panes)) {
      pane.host.classList.toggle("zoomed", pane.reading.view.zoom > 1);
      pane.host.classList.toggle("active", this.viewer.readings.length > 1 && pane === this.viewer.active);
    }
  }

  #showPressed() {
    const { options, active } = this.viewer;
    for (const button of this.root.querySelectorAll("[aria-pressed]")) {
      const { command } = button.dataset;
      const tool = command.startsWith("tool-") && command === `tool-${options.tool}`;
      const on = tool || (command === "invert" ? active.reading.inverted : options[command] === true);
      button.setAttribute("aria-pressed", String(on));
    }
    this.#find("shortcuts").checked = options.shortcuts;
  }

  #showHeat() {
    const { options, readings } = this.viewer;
    const none = !readings.some((reading) => reading.label) || !options.overlay;
    this.#find("opacity").value = options.opacity;
    this.#find("opacity-value").textContent = `${options.opacity} %`;
    this.#find("threshold").value = options.threshold;
    this.#find("threshold-value").textContent = `${options.threshold} %`;
    this.#find("opacity").disabled = none;
    this.#find("threshold").disabled = none || !options.contour;
    this.#find("colours").value = options.colours;
    this.root.querySelector(".ramp").style.background = gradient(options.colours);
  }

  #showWindow() {
    const { window, preset } = this.viewer.active.reading;
    this.#find("preset").value = preset;
    for (const [name, value] of [["level", window.centre], ["width", window.width]]) {
      const field = this.#find(name);
      const digits = value < 10 * PERCENT ? 1 : 0;
      if (field !== document.activeElement || preset) field.value = (value / PERCENT).toFixed(digits);
    }
    this.#find("window-note").textContent = window.width <= NARROWEST ? THRESHOLD : "";
  }

  #showLines() {
    const { readings } = this.viewer;
    const items = readings.flatMap((reading) => reading.lines.map((line, k) => this.#line(reading, line, k)));
    const list = this.#find("lines");
    // A button that is replaced under a pressed mouse is not clicked, and one that has the focus loses it.
    const shown = list.children.length === items.length && items.every((item, k) => item.isEqualNode(list.children[k]));
    if (!shown) list.replaceChildren(...items);
    this.#find("measured").hidden = !items.length;
    const measured = readings.filter((reading) => reading.lines.length).map((reading) => reading.spacing);
    const notes = new Set(measured.map((spacing) => (spacing ? (spacing.calibrated ? "" : MAGNIFIED) : UNKNOWN)));
    this.#find("measured-note").textContent = [...notes].join(" ");
  }

  #line(reading, line, k) {
    const { readings } = this.viewer;
    const side = readings.length > 1 ? ["left, ", "right, "][readings.indexOf(reading)] : "";
    const name = `${side}${k + 1}: ${lengthText(line, reading.film, reading.spacing)}`;
    const button = make("button", "Delete");
    button.type = "button";
    button.setAttribute("aria-label", `Delete the line ${name}`);
    button.addEventListener("click", () => reading.set({ lines: reading.lines.filter((_, n) => n !== k) }));
    const item = make("li", `${name} `);
    item.append(button);
    return item;
  }
}

function make(tag, text) {
  return Object.assign(document.createElement(tag), { textContent: text });
}

function row(keys, text) {
  const [made, first] = [make("tr", ""), make("th", "")];
  first.scope = "row";
  first.append(...keys.flatMap((key, k) => (k ? [" or ", key] : [key])));
  made.append(first, make("td", text));
  return made;
}
