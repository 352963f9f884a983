// Heat maps: what the desk sends, enlarged and coloured as the desk itself does it (Report.heatmap_png).

import { contour } from "./contour.js";
import { coloured } from "./colour.js";
import { ask } from "./pixels.js";

const SIDE = 448; // pixels of the longer side of an enlarged map

/** The maps of a film by label, each {width, height, values: Uint8Array}, and where the film lies in their square. */
export async function fetchMaps(address) {
  const { width, height, box, maps } = await (await ask(address)).json();
  const decode = (text) => ({ width, height, values: Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)) });
  return { box, byLabel: new Map(Object.entries(maps).map(([label, text]) => [label, decode(text)])) };
}

/** The map enlarged smoothly and cut to where the film lies in the square: {width, height, values}. */
export function onFilm(map, box, side = SIDE) {
  const square = rounded(side / Math.max(box.right - box.left, box.bottom - box.top));
  const [left, top] = [rounded(box.left * square), rounded(box.top * square)];
  const width = Math.max(1, rounded(box.right * square)) - left;
  const height = Math.max(1, rounded(box.bottom * square)) - top;
  const across = samples(left, width, map.width / square, map.width);
  const down = samples(top, height, map.height / square, map.height);
  return { width, height, values: interpolated(map, across, down) };
}

/** Halves to even, as Python rounds. */
function rounded(value) {
  const whole = Math.round(value);
  return Math.abs(value % 1) === 0.5 && whole % 2 ? whole - 1 : whole;
}

/** For each of `count` positions: both neighbours among `size` samples, and the share of the second. */
function samples(first, count, step, size) {
  return Array.from({ length: count }, (_, k) => {
    const place = Math.min(Math.max((first + k + 0.5) * step - 0.5, 0), size - 1);
    const before = Math.min(Math.floor(place), Math.max(size - 2, 0));
    return { before, after: Math.min(before + 1, size - 1), share: place - before };
  });
}

function interpolated({ width, values }, across, down) {
  const out = new Uint8Array(across.length * down.length);
  let k = 0;
  for (const { before, after, share } of down) {
    const [upper, lower] = [before * width, after * width];
    for (const x of across) {
      const above = values[upper + x.before] * (1 - x.share) + values[upper + x.after] * x.share;
      const below = values[lower + x.before] * (1 - x.share) + values[lower + x.after] * x.share;
      out[k++] = Math.round(above * (1 - share) + below * share);
    }
  }
  return out;
}

/** The heat map of one finding on one film, drawn anew only when its colours or its threshold change. */
export class HeatLayer {
  #raster;
  #picture = {};
  #outline = {};

  constructor(map, box) {
    this.#raster = onFilm(map, box);
    this.peak = this.#raster.values.reduce((most, value) => Math.max(most, value)) / 2.55; // percent of the scale
  }

  /** `options` are the viewer's: opacity, colours, contour, threshold. */
  draw(context, film, matrix, options) {
    context.save();
    context.transform(...matrix);
    context.globalAlpha = options.opacity / 100;
    context.drawImage(this.#coloured(options.colours), 0, 0, film.width, film.height);
    context.restore();
    if (options.contour) this.#drawContour(context, film, matrix, options.threshold);
  }

  #coloured(colours) {
    if (this.#picture.colours !== colours) this.#picture = { colours, canvas: picture(this.#raster, colours) };
    return this.#picture.canvas;
  }

  #drawContour(context, film, matrix, threshold) {
    const { width, height } = this.#raster;
    const path = new Path2D();
    path.addPath(this.#path(threshold), new DOMMatrix(matrix).scale(film.width / width, film.height / height));
    context.save();
    for (const [style, thick] of [["rgb(0 0 0 / 65%)", 4], ["#ffffff", 1.75]]) {
      Object.assign(context, { strokeStyle: style, lineWidth: thick, lineCap: "round" });
      context.stroke(path);
    }
    context.restore();
  }

  /** The contour at `threshold` percent of the finding's scale, in pixels of the enlarged map. */
  #path(threshold) {
    if (this.#outline.threshold === threshold) return this.#outline.path;
    const path = new Path2D();
    for (const [x0, y0, x1, y1] of contour(this.#raster, 2.55 * threshold)) {
      path.moveTo(x0, y0);
      path.lineTo(x1, y1);
    }
    this.#outline = { threshold, path };
    return path;
  }
}

function picture({ width, height, values }, colours) {
  const canvas = new OffscreenCanvas(width, height);
  const image = new ImageData(new Uint8ClampedArray(coloured(values, colours).buffer), width, height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
