// Window and level: how the 16-bit grey of a film becomes the 8-bit grey of a screen.

const GREYS = 65536;
const BINS = 1024; // of a histogram
const DRAG = 1 / 200; // of a window's width, or its share of e, for each CSS pixel

export const STORED = Object.freeze({ centre: GREYS / 2, width: GREYS });
export const NARROWEST = 1; // grey values; PS3.3 C.11.2.1.2 allows no less

/** A window that can be used: one of zero width becomes the narrowest, a threshold. */
export function limited({ centre, width }) {
  return { centre: clamp(centre, 0, GREYS), width: clamp(width, NARROWEST, 2 * GREYS) };
}

function clamp(value, least, most) {
  return Math.min(Math.max(Number.isFinite(value) ? value : least, least), most);
}

/** Screen grey in [0, 1] of a film grey in [0, 65535]: the linear window of DICOM PS3.3 C.11.2.1.2.1. */
export function shade(grey, { centre, width }) {
  if (width <= 1) return grey > centre - 0.5 ? 1 : 0;
  return clamp((grey - (centre - 0.5)) / (width - 1) + 0.5, 0, 1);
}

/** The lookup table of a window: 65,536 opaque grey pixels, as words of an ImageData. */
export function lookup(window, inverted) {
  const table = new Uint32Array(GREYS);
  for (let grey = 0; grey < GREYS; grey++) {
    const level = Math.round(255 * shade(grey, window));
    table[grey] = 0xff000000 | ((inverted ? 255 - level : level) * 0x010101);
  }
  return table;
}

/** The window after a drag by (dx, dy) CSS pixels: to the right is wider, down is darker. */
export function dragged({ centre, width }, dx, dy) {
  return limited({ centre: centre + dy * width * DRAG, width: width * Math.exp(dx * DRAG) });
}

/** How many of the greys fall into each of 1024 equal bins. */
export function histogram(grey) {
  const bins = new Float64Array(BINS);
  for (const value of grey) bins[value >> 6]++;
  return bins;
}

/** The first bin of the brighter part when bins are parted in two with the least variance within (Otsu, 1979). */
export function otsu(bins) {
  const total = sum(bins, 0, BINS, () => 1);
  const mass = sum(bins, 0, BINS, (bin) => bin);
  let [count, below, best, threshold] = [0, 0, 0, 0];
  for (let bin = 0; bin < BINS - 1; bin++) {
    count += bins[bin];
    below += bin * bins[bin];
    if (count === 0 || count === total) continue;
    const between = (mass * (count / total) - below) ** 2 / (count * (total - count));
    if (between > best) [best, threshold] = [between, bin + 1];
  }
  return threshold;
}

function sum(bins, from, to, weight) {
  let total = 0;
  for (let bin = from; bin < to; bin++) total += bins[bin] * weight(bin);
  return total;
}

/** The bin below which the `share` of all that lies in bins [from, to) ends; `from` when they are empty. */
function percentile(bins, from, to, share) {
  const count = share * sum(bins, from, to, () => 1);
  let bin = from;
  for (let seen = bins[from]; seen < count && bin < to - 1; ) seen += bins[++bin];
  return bin;
}

/** The window from the darkest grey of one bin to the brightest of another. */
function spanning(dark, bright) {
  const [low, high] = [dark, bright + 1].map((bin) => (GREYS / BINS) * bin);
  return limited({ centre: (low + high) / 2, width: high - low });
}

/** Windows of one film, by name. All but the stored one come from the histogram of its own greys. */
export function presets(grey) {
  const bins = histogram(grey);
  bins[0] = bins[BINS - 1] = 0; // collimated borders and burnt-in letters are no anatomy
  if (!sum(bins, 0, BINS, () => 1)) return { stored: STORED, whole: STORED, dark: STORED, bright: STORED };
  const middle = otsu(bins) || BINS;
  const [darkest, brightest] = [0.01, 0.99].map((share) => percentile(bins, 0, BINS, share));
  return {
    stored: STORED,
    whole: spanning(darkest, brightest),
    dark: spanning(darkest, middle < BINS ? percentile(bins, middle, BINS, 0.5) : brightest),
    bright: spanning(percentile(bins, 0, middle, 0.5), brightest),
  };
}
