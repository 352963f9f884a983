// Where a film lies on the screen. A view says it without pixels, so that films and screens of other sizes can share
// it: zoom in multiples of "the whole film fits", the middle in fractions of the film, quarter turns.

export const FIT = Object.freeze({ zoom: 1, x: 0.5, y: 0.5, turns: 0 });
const [LEAST, MOST] = [0.5, 64]; // zoom
const COSINES = [1, 0, -1, 0]; // of quarter turns, clockwise on the screen

const within = (value, least, most) => Math.min(Math.max(value, least), most);

/** CSS pixels for each film pixel when the whole film fits into the port. */
export function fitScale(film, turns, port) {
  const [width, height] = turns % 2 ? [film.height, film.width] : [film.width, film.height];
  return Math.min(port.width / width, port.height / height);
}

/** The matrix [a, b, c, d, e, f] (as a canvas takes it) from film pixels to CSS pixels of the port. */
export function matrixOf(film, view, port) {
  const scale = view.zoom * fitScale(film, view.turns, port);
  const [cosine, sine] = [COSINES[view.turns] * scale, COSINES[(view.turns + 3) % 4] * scale];
  const [x, y] = [view.x * film.width, view.y * film.height];
  return [cosine, sine, -sine, cosine, port.width / 2 - cosine * x + sine * y, port.height / 2 - sine * x - cosine * y];
}

/** CSS pixels for each film pixel. */
export const scaleOf = ([a, b]) => Math.hypot(a, b);

/** Film pixels -> CSS pixels. */
export function toScreen([a, b, c, d, e, f], { x, y }) {
  return { x: a * x + c * y + e, y: b * x + d * y + f };
}

/** CSS pixels -> film pixels. */
export function toFilm([a, b, c, d, e, f], { x, y }) {
  const area = a * d - b * c;
  return { x: (d * (x - e) - c * (y - f)) / area, y: (a * (y - f) - b * (x - e)) / area };
}

/** The matrix enlarged `factor` times around a CSS point, which stays where it is. */
export function enlarged([a, b, c, d, e, f], point, factor) {
  const shift = (start, fixed) => fixed + (start - fixed) * factor;
  return [a * factor, b * factor, c * factor, d * factor, shift(e, point.x), shift(f, point.y)];
}

/** The view whose middle is a film point; the middle never leaves the film, so that the film cannot be lost. */
function centred(film, view, { x, y }) {
  return { ...view, x: within(x / film.width, 0, 1), y: within(y / film.height, 0, 1) };
}

export function panned(film, view, port, dx, dy) {
  const middle = { x: port.width / 2 - dx, y: port.height / 2 - dy };
  return centred(film, view, toFilm(matrixOf(film, view, port), middle));
}

/** Zoomed by a factor; the film point under the CSS point `at` stays there. */
export function zoomed(film, view, port, at, factor) {
  const zoom = within(view.zoom * factor, LEAST, MOST);
  const matrix = enlarged(matrixOf(film, view, port), at, zoom / view.zoom);
  return centred(film, { ...view, zoom }, toFilm(matrix, { x: port.width / 2, y: port.height / 2 }));
}

/** The view in which one film pixel takes one pixel of the screen. */
export function oneToOne(film, view, port, ratio) {
  return { ...view, zoom: within(1 / (ratio * fitScale(film, view.turns, port)), LEAST, MOST) };
}

export const turned = (view, quarters) => ({ ...view, turns: (view.turns + quarters + 4) % 4 });

/** What of the film lies in a rectangle of the screen, in film pixels: {left, top, right, bottom}. */
export function visible(film, matrix, { left, top, right, bottom }) {
  const corners = [{ x: left, y: top }, { x: right, y: bottom }].map((corner) => toFilm(matrix, corner));
  const [xs, ys] = [corners.map(({ x }) => x), corners.map(({ y }) => y)];
  return {
    left: within(Math.min(...xs), 0, film.width), right: within(Math.max(...xs), 0, film.width),
    top: within(Math.min(...ys), 0, film.height), bottom: within(Math.max(...ys), 0, film.height),
  };
}
