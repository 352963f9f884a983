// A film on the page: what it is shown in, and its way here from the desk.

import { Gestures } from "./gestures.js";
import { fetchMaps } from "./heat.js";
import { Pane } from "./pane.js";
import { ask, fetchFilm, Gone, previewFilm } from "./pixels.js";
import { Reading } from "./state.js";

const DELETED = "This film was deleted from the desk. What this page has loaded of it stays until you leave the page.";
const LOOK_AGAIN_MS = 5000; // between two questions whether the film is still there

export class Stage {
  #asked = 0;

  /** `activate`: called with the pane to which a hand comes. */
  constructor(element, options, activate) {
    this.element = element;
    this.reading = new Reading(spacingOf(element.dataset));
    this.panes = [...element.querySelectorAll(".pane")].map(
      (host) => new Pane(host, this.reading, options, host.classList.contains("beside")),
    );
    for (const pane of this.panes) {
      new Gestures(pane, () => activate(pane));
      pane.host.addEventListener("focus", () => activate(pane));
    }
    this.notice = element.querySelector(".stage-notice");
    this.notice.querySelector("button").addEventListener("click", () => this.open());
  }

  /** Loads what is not here yet: the preview first, then maps and all pixels; says what did not come. */
  async open() {
    this.notice.hidden = true;
    const parts = [this.#showPreview(), this.#loadPixels(), this.#loadMaps()];
    const missing = (await Promise.allSettled(parts)).filter((part) => part.status === "rejected");
    if (missing.length) this.#explain(missing.map((part) => part.reason));
  }

  /** Says so when the film has been deleted meanwhile. A desk that cannot be reached says nothing about the film. */
  async lookAgain() {
    if (Date.now() - this.#asked < LOOK_AGAIN_MS) return;
    this.#asked = Date.now();
    await ask(this.element.dataset.alive, { method: "HEAD" }).catch((error) => {
      if (error instanceof Gone) this.#explain([error]);
    });
  }

  async #showPreview() {
    const film = await previewFilm(this.element.querySelector("img.film"));
    if (!this.reading.film) this.#show(film);
  }

  async #loadPixels() {
    if (this.reading.film?.full) return;
    const film = await fetchFilm(this.element.dataset.pixels).catch((error) => {
      throw error instanceof Gone ? error : new Error("in full detail", { cause: error });
    });
    this.#show(film);
    this.element.dataset.detail = "full";
  }

  async #loadMaps() {
    if (this.reading.maps) return;
    const maps = await fetchMaps(this.element.dataset.maps).catch((error) => {
      throw error instanceof Gone ? error : new Error("with its heat maps", { cause: error });
    });
    this.reading.set({ maps });
  }

  #show(film) {
    this.reading.set({ film });
    this.element.classList.add("drawn");
  }

  #explain(reasons) {
    const gone = reasons.some((reason) => reason instanceof Gone);
    const missing = reasons.map((reason) => reason.message).filter((text) => /^(in|with) /.test(text));
    const sentence = gone ? DELETED : `The film could not be loaded ${missing.join(" and ") || "as a preview"}.`;
    this.notice.querySelector("p").textContent = sentence;
    this.notice.querySelector("button").hidden = gone;
    this.notice.hidden = false;
  }
}

/** Pixel spacing {row, column} in mm; null where it is unknown. */
function spacingOf({ spacing, calibrated }) {
  if (!spacing) return null;
  const [row, column] = spacing.split(" ").map(Number);
  return { row, column, calibrated: calibrated === "true" };
}
