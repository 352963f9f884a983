// A film on the page: what it is shown in, and its way here from the desk.

import { SignedOut, signInBeside } from "../signed-out.js";
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
    this.#showPreview();
    const parts = await Promise.allSettled([this.#loadPixels(), this.#loadMaps()]);
    const reasons = parts.filter((part) => part.status === "rejected").map((part) => part.reason);
    if (reasons.length) this.#explain(reasons);
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
    const film = await previewFilm(this.element.querySelector("img.film")).catch(() => null);
    if (film && !this.reading.film) this.#show(film); // without it the page waits for all pixels
  }

  async #loadPixels() {
    if (this.reading.film?.full) return;
    this.#show(await named("in full detail", fetchFilm(this.element.dataset.pixels)));
    this.element.dataset.detail = "full";
  }

  async #loadMaps() {
    if (this.reading.maps) return;
    this.reading.set({ maps: await named("with its heat maps", fetchMaps(this.element.dataset.maps)) });
  }

  #show(film) {
    this.reading.set({ film });
    this.element.classList.add("drawn");
  }

  #explain(reasons) {
    const gone = reasons.some((reason) => reason instanceof Gone);
    this.notice.querySelector("p").replaceChildren(...(gone ? [DELETED] : missing(reasons)));
    this.notice.querySelector("button").hidden = gone;
    this.notice.hidden = false;
  }
}

/** What a promise brings; when it fails for no reason that the desk names, an error that says which part is missing. */
async function named(part, promise) {
  try {
    return await promise;
  } catch (error) {
    throw error instanceof Gone || error instanceof SignedOut ? error : new Error(part, { cause: error });
  }
}

/** Words and perhaps a link, on what did not come of a film that is still there. */
function missing(reasons) {
  const out = reasons.find((reason) => reason instanceof SignedOut);
  return out ? signInBeside(out.address) : [`The film could not be loaded ${reasons.map((r) => r.message).join(" and ")}.`];
}

/** Pixel spacing {row, column} in mm; null where it is unknown. */
function spacingOf({ spacing, calibrated }) {
  if (!spacing) return null;
  const [row, column] = spacing.split(" ").map(Number);
  return { row, column, calibrated: calibrated === "true" };
}
