// One place on the page that shows a film: its canvas, and the words in its corners.

import { enlarged, FIT, matrixOf, oneToOne, panned, scaleOf, zoomed } from "./geometry.js";
import { drawLines, fractionAt, haloed } from "./measure.js";
import { GreyLayer } from "./pixels.js";

const LOUPE = { radius: 95, factor: 2.5 }; // CSS pixels; times what is beneath

export class Pane {
  cursor = null; // CSS pixels; where the magnifier or the measuring cross stands
  crossed = false; // whether the cursor was moved by keys, and so is drawn
  #frame = 0;
  #grey = new GreyLayer();
  #loupe = new GreyLayer();

  /** `plain`: the film alone, whatever finding is chosen. */
  constructor(host, reading, options, plain = false) {
    Object.assign(this, { host, reading, options, plain, canvas: host.querySelector("canvas") });
    this.context = this.canvas.getContext("2d");
    this.mark = getComputedStyle(host).getPropertyValue("--mark");
    for (const state of [reading, options]) state.addEventListener("change", () => this.schedule());
    new ResizeObserver(() => this.schedule()).observe(host);
  }

  get port() {
    return { width: this.host.clientWidth, height: this.host.clientHeight };
  }

  get matrix() {
    return matrixOf(this.reading.film, this.reading.view, this.port);
  }

  /** Draws once before the next frame, however many changes there are. */
  schedule() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.draw();
    });
  }

  draw() {
    const { width, height } = this.port;
    if (!this.reading.film || !width || !height) return;
    const ratio = this.#fitCanvas(width, height);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.context.clearRect(0, 0, width, height);
    this.#drawFilm(this.#grey, this.matrix, { left: 0, top: 0, right: width, bottom: height }, ratio);
    if (this.reading.film.full) drawLines(this.context, this.reading, this.matrix, this.mark);
    if (this.cursor && this.options.tool === "magnify") this.#drawLoupe(ratio);
    if (this.cursor && this.crossed) this.#drawCross();
    this.#tell();
  }

  /** The canvas has as many pixels as the screen shows of it. Returns the screen's pixels for each CSS pixel. */
  #fitCanvas(width, height) {
    const ratio = window.devicePixelRatio;
    const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== across) this.canvas.width = across;
    if (this.canvas.height !== down) this.canvas.height = down;
    return ratio;
  }

  #drawFilm(layer, matrix, region, ratio) {
    const { film, table, heat } = this.reading;
    layer.draw(this.context, film, table, matrix, region, ratio);
    if (heat && this.options.overlay && !this.plain) heat.draw(this.context, film, matrix, this.options);
  }

  #drawLoupe(ratio) {
    const { x, y } = this.cursor;
    const { radius, factor } = LOUPE;
    const [context, rim] = [this.context, new Path2D()];
    rim.arc(x, y, radius, 0, 2 * Math.PI);
    context.save();
    context.clip(rim);
    context.clearRect(x - radius, y - radius, 2 * radius, 2 * radius);
    const region = { left: x - radius, top: y - radius, right: x + radius, bottom: y + radius };
    this.#drawFilm(this.#loupe, enlarged(this.matrix, this.cursor, factor), region, ratio);
    context.restore();
    haloed(context, rim, this.mark);
  }

  #drawCross() {
    const { x, y } = this.cursor;
    const cross = new Path2D(`M${x - 14} ${y}h10m8 0h10M${x} ${y - 14}v10m0 8v10`);
    haloed(this.context, cross, this.mark);
  }

  /** The words in the corners; written only when they change, for they cost a layout. */
  #tell() {
    const { window, inverted, film } = this.reading;
    const percent = (value) => `${Math.round(value / 655.36)} %`;
    const zoom = Math.round(100 * scaleOf(this.matrix) * devicePixelRatio);
    const words = [`Level ${percent(window.centre)}`, `width ${percent(window.width)}`, inverted && "inverted"];
    this.#write("window", words.filter(Boolean).join(" · "));
    this.#write("zoom", film.full ? `${zoom} %` : "Loading full detail");
    this.#write("what", this.#told());
  }

  /** What is laid over the film. */
  #told() {
    const { title, heat } = this.reading;
    const { overlay, contour, threshold } = this.options;
    if (!title || !overlay || this.plain) return "Film alone";
    if (!heat || !contour || heat.peak >= threshold) return title;
    return `${title} · nothing reaches the contour at ${threshold} %`;
  }

  #write(name, text) {
    const place = this.host.querySelector(`[data-corner=${name}]`);
    if (place.textContent !== text) place.textContent = text;
  }

  // --- what hands do ---

  look(view) {
    this.reading.set({ view });
  }

  pan(dx, dy) {
    this.look(panned(this.reading.film, this.reading.view, this.port, dx, dy));
  }

  /** Around the CSS point `at`, by default the middle. */
  zoom(factor, at = { x: this.port.width / 2, y: this.port.height / 2 }) {
    this.look(zoomed(this.reading.film, this.reading.view, this.port, at, factor));
  }

  fit() {
    this.look({ ...FIT, turns: this.reading.view.turns });
  }

  oneToOne() {
    this.look(oneToOne(this.reading.film, this.reading.view, this.port, devicePixelRatio));
  }

  /** Fractions of the film at a CSS point. */
  at(point) {
    return fractionAt(this.reading.film, this.matrix, point);
  }

  /** Puts the cursor (CSS pixels, or null) somewhere; `crossed`: by keys, so that it has to be seen. */
  point(cursor, crossed = false) {
    Object.assign(this, { cursor, crossed });
    this.schedule();
  }
}
