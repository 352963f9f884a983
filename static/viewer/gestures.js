// Mouse, pen and fingers on a pane.

import { TOOLS } from "./tools.js";

const BUTTONS = { 1: "pan", 2: "zoom" }; // the middle and the right button have one tool, whatever is in hand
const WHEEL = 1 / 500; // share of e for each CSS pixel of a turned wheel
const LINE = 16; // CSS pixels, where a wheel counts lines

export class Gestures {
  #touching = new Map(); // pointer id -> CSS point in the pane
  #tool = null;

  /** `activate`: called when a hand comes to this pane. */
  constructor(pane, activate) {
    this.pane = pane;
    const { host } = pane;
    const on = (type, handler) => host.addEventListener(type, handler);
    on("pointerdown", (event) => (activate(), this.#press(event)));
    on("pointermove", (event) => this.#move(event));
    for (const type of ["pointerup", "pointercancel"]) on(type, (event) => this.#release(event));
    on("pointerleave", (event) => event.pointerType === "mouse" && !this.#touching.size && pane.point(null));
    on("contextmenu", (event) => event.preventDefault());
    on("dblclick", () => pane.options.tool !== "measure" && pane.fit());
    host.addEventListener("wheel", (event) => this.#turn(event), { passive: false });
  }

  #pointOf(event) {
    const { left, top } = this.pane.host.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  }

  #press(event) {
    if (!this.pane.reading.film || event.target.closest("button")) return;
    this.pane.host.setPointerCapture(event.pointerId);
    this.#touching.set(event.pointerId, this.#pointOf(event));
    if (this.#touching.size > 1) return this.#drop(); // a second finger makes it a pinch
    this.#tool = TOOLS[BUTTONS[event.button] ?? this.pane.options.tool];
    this.#tool.press?.(this.pane, this.#pointOf(event));
  }

  #move(event) {
    const at = this.#pointOf(event);
    const before = this.#touching.get(event.pointerId);
    if (!before) return this.#hover(event, at);
    if (this.#touching.size === 2) this.#pinch(event.pointerId, at);
    else this.#tool?.move(this.pane, { at, dx: at.x - before.x, dy: at.y - before.y });
    this.#touching.set(event.pointerId, at);
  }

  #hover(event, at) {
    if (event.pointerType !== "touch" && this.pane.options.tool === "magnify") this.pane.point(at);
    else if (this.pane.crossed && event.pointerType === "mouse") this.pane.point(null); // the mouse takes over
  }

  /** One of two fingers moved to `at`: what was between them stays between them. */
  #pinch(moving, at) {
    const [, still] = [...this.#touching].find(([id]) => id !== moving);
    const before = this.#touching.get(moving);
    const middle = { x: (still.x + before.x) / 2, y: (still.y + before.y) / 2 };
    const spread = (point) => Math.max(Math.hypot(point.x - still.x, point.y - still.y), 1);
    this.pane.zoom(spread(at) / spread(before), middle);
    this.pane.pan((at.x - before.x) / 2, (at.y - before.y) / 2);
  }

  #release(event) {
    if (!this.#touching.delete(event.pointerId)) return;
    this.#drop();
    if (event.pointerType === "touch") this.pane.point(null);
  }

  #drop() {
    this.#tool?.release?.(this.pane);
    this.#tool = null;
  }

  #turn(event) {
    if (!this.pane.reading.film) return;
    event.preventDefault();
    const turned = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? event.deltaY * LINE : event.deltaY;
    this.pane.zoom(Math.exp(-turned * WHEEL), this.#pointOf(event));
  }
}
