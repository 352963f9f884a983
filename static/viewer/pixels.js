// The film's 16-bit pixels, and copies of them at half, a quarter ... of the size: a redraw costs what the screen
// shows, not what the film has, and no canvas is ever larger than about four screens.

import { validateSignedIn } from "../signed-out.js";
import { visible, scaleOf } from "./geometry.js";

const MARGIN = 2; // pixels around what is visible, so that smoothing has neighbours at the rim

/** The film is not on the desk any more. */
export class Gone extends Error {}

/** The answer of the desk. Raises Gone when the film was deleted, SignedOut, or Error for all else that is no answer. */
export async function ask(address, options) {
  const answer = await fetch(address, { headers: { Accept: "application/json" }, ...options });
  await validateSignedIn(answer);
  if (answer.status === 404) throw new Gone(address);
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  return answer;
}

/** A grey film: `grey` is Uint16Array, row by row, 0 black. `full`: these are all its pixels, not a preview's. */
export class Film {
  constructor(width, height, grey, full = true) {
    Object.assign(this, { width, height, full, levels: [{ width, height, grey }] });
  }

  /** The film at 1 / 2^depth of its size; the smallest there is when it cannot be halved so often. */
  level(depth) {
    while (this.levels.length <= depth) this.levels.push(halved(this.levels.at(-1)));
    return this.levels[depth];
  }

  /** A copy whose longer side is at most `side` pixels. */
  small(side) {
    return this.level(Math.max(0, Math.ceil(Math.log2(Math.max(this.width, this.height) / side))));
  }
}

/** Half as wide and high, each pixel the mean of four; an odd last row or column is its own neighbour. */
export function halved({ width, height, grey }) {
  const [columns, rows] = [Math.ceil(width / 2), Math.ceil(height / 2)];
  const half = new Uint16Array(columns * rows);
  for (let row = 0, out = 0; row < rows; row++) {
    const upper = 2 * row * width;
    const lower = Math.min(2 * row + 1, height - 1) * width;
    for (let column = 0; column < columns; column++) {
      const left = 2 * column;
      const right = Math.min(left + 1, width - 1);
      half[out++] = (grey[upper + left] + grey[upper + right] + grey[lower + left] + grey[lower + right] + 2) >> 2;
    }
  }
  return { width: columns, height: rows, grey: half };
}

/** All pixels, from the desk. */
export async function fetchFilm(address) {
  const answer = await ask(address);
  const [width, height] = ["X-Film-Width", "X-Film-Height"].map((name) => Number(answer.headers.get(name)));
  const grey = new Uint16Array(await answer.arrayBuffer()); // little endian, as all machines that run browsers
  if (!grey.length || grey.length !== width * height) throw new Error("the answer is not the whole film");
  return new Film(width, height, grey);
}

/** The preview that stands on the page, until all pixels have come. */
export async function previewFilm(image) {
  await image.decode();
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const words = new Uint32Array(context.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
  return new Film(canvas.width, canvas.height, Uint16Array.from(words, (word) => (word & 255) * 257), false);
}

/** How often the film may be halved before a pixel of the screen would show less than there is. */
export function depthFor(scale) {
  return Math.max(0, Math.floor(Math.log2(1 / scale) + 1e-9));
}

/** Draws the visible part of a film in grey, through a lookup table. One for each place that shows a film. */
export class GreyLayer {
  #canvas = new OffscreenCanvas(1, 1);
  #context = this.#canvas.getContext("2d");
  #image = null;
  #drawn = {};

  /** `region` in CSS pixels; `ratio` screen pixels for each of them. The context takes CSS pixels. */
  draw(context, film, table, matrix, region, ratio) {
    const depth = Math.min(depthFor(scaleOf(matrix) * ratio), 16);
    const level = film.level(depth);
    const crop = cropOf(level, depth, visible(film, matrix, region));
    if (!crop.width || !crop.height) return;
    this.#fill(level, crop, table);
    const step = 2 ** depth;
    context.save();
    context.transform(...matrix);
    // Pixel for pixel there is nothing to smooth, and in software smoothing is most of the time of a redraw.
    context.imageSmoothingEnabled = Math.abs(scaleOf(matrix) * ratio * step - 1) > 1e-6;
    context.drawImage(
      this.#canvas, 0, 0, crop.width, crop.height,
      crop.left * step, crop.top * step, crop.width * step, crop.height * step,
    );
    context.restore();
  }

  #fill(level, crop, table) {
    const drawn = { level, table, ...crop };
    if (Object.entries(drawn).every(([name, value]) => this.#drawn[name] === value)) return;
    this.#drawn = drawn;
    this.#grow(crop);
    const words = new Uint32Array(this.#image.data.buffer);
    paint(level, crop, table, words, this.#image.width);
    this.#context.putImageData(this.#image, 0, 0, 0, 0, crop.width, crop.height);
  }

  #grow({ width, height }) {
    if (this.#image?.width >= width && this.#image?.height >= height) return;
    this.#canvas.width = Math.max(width, this.#image?.width ?? 0);
    this.#canvas.height = Math.max(height, this.#image?.height ?? 0);
    this.#image = new ImageData(this.#canvas.width, this.#canvas.height);
  }
}

/** The part of a level that holds `seen` (film pixels), with a margin. */
export function cropOf(level, depth, seen) {
  const step = 2 ** depth;
  const left = Math.max(0, Math.floor(seen.left / step) - MARGIN);
  const top = Math.max(0, Math.floor(seen.top / step) - MARGIN);
  const right = Math.min(level.width, Math.ceil(seen.right / step) + MARGIN);
  const bottom = Math.min(level.height, Math.ceil(seen.bottom / step) + MARGIN);
  return { left, top, width: right - left, height: bottom - top };
}

/** The crop through the lookup table, into rows of `stride` words. */
export function paint({ width, grey }, crop, table, words, stride) {
  for (let row = 0; row < crop.height; row++) {
    let from = (crop.top + row) * width + crop.left;
    let to = row * stride;
    for (const end = to + crop.width; to < end; ) words[to++] = table[grey[from++]];
  }
}
