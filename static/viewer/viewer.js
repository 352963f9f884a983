// The viewer of a page: its films, what is in hand, buttons and keys.

import { COMMANDS } from "./commands.js";
import { Controls } from "./controls.js";
import { commandOf } from "./keys.js";
import { Stage } from "./stage.js";
import { link, Options } from "./state.js";

const MARGIN = 16; // CSS pixels between the viewer and the screen's edge

export class Viewer {
  options = new Options();
  findings = { step() {} }; // set by the page: how to go to the next finding

  constructor(root) {
    this.root = root;
    this.stages = [...root.querySelectorAll(".stage")].map(
      (element) => new Stage(element, this.options, (pane) => this.activate(pane)),
    );
    this.active = this.stages.at(-1).panes.at(-1);
    this.help = root.querySelector(".help");
    this.lightbox = root.querySelector(".lightbox");
    if (this.stages.length === 2) link(this.readings, () => this.options.linked);
    this.controls = new Controls(this);
    document.addEventListener("keydown", (event) => this.#press(event));
    document.addEventListener("visibilitychange", () => document.hidden || this.lookAgain());
    document.documentElement.classList.add("scripted");
    for (const type of ["resize", "scroll"]) addEventListener(type, () => this.#hold(), { passive: true });
  }

  get readings() {
    return this.stages.map((stage) => stage.reading);
  }

  /** The films that a command of no single pane is for. */
  get targets() {
    return this.options.linked ? this.readings : [this.active.reading];
  }

  open() {
    return Promise.all(this.stages.map((stage) => stage.open()));
  }

  lookAgain() {
    for (const stage of this.stages) stage.lookAgain();
  }

  /** After a change of the view: a pane that is not shown can be nobody's. */
  keepActiveShown() {
    if (!this.active.port.width) this.active = this.stages.at(-1).panes.at(-1);
  }

  /** Keys and buttons are for this pane from now on. */
  activate(pane) {
    if (this.active === pane) return;
    this.active = pane;
    this.controls.refresh();
  }

  run(command) {
    COMMANDS[command](this);
  }

  /** A viewer that is taller than the screen sticks with its lower edge, so that all of it can be reached. */
  #hold() {
    const above = Math.min(MARGIN, innerHeight - this.root.offsetHeight - MARGIN);
    this.root.style.top = `${above}px`;
  }

  #press(event) {
    const onFilm = Boolean(event.target.closest?.(".pane"));
    const command = commandOf(event, { shortcuts: this.options.shortcuts, onFilm });
    if (!command) return;
    event.preventDefault();
    this.run(command);
  }
}
