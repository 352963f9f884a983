// Distances on a film: their length, and how they are drawn.

import { toFilm, toScreen } from "./geometry.js";

const REACH = 12; // CSS pixels around an end in which it can be taken hold of
const TICK = 5; // CSS pixels to each side of an end
const SHORTEST = 4; // CSS pixels; less is a click, no line

/** The length of a line {from, to} (fractions of the film): in mm where the spacing is known, else in film pixels. */
export function length({ from, to }, film, spacing) {
  const { row, column } = spacing ?? { row: 1, column: 1 };
  return Math.hypot((to.x - from.x) * film.width * column, (to.y - from.y) * film.height * row);
}

/** A length as a sentence says it. At the detector things are larger than in the body: the beam spreads. */
export function lengthText(line, film, spacing) {
  const value = length(line, film, spacing);
  if (!spacing) return `${Math.round(value)} pixels`;
  return `${value.toFixed(1)} mm${spacing.calibrated ? "" : " at the detector"}`;
}

const pixelsOf = ({ x, y }, film) => ({ x: x * film.width, y: y * film.height });
const onScreen = (point, film, matrix) => toScreen(matrix, pixelsOf(point, film));

/** Fractions of the film at a CSS point, never outside the film. */
export function fractionAt(film, matrix, point) {
  const { x, y } = toFilm(matrix, point);
  const share = (place, size) => Math.min(Math.max(place / size, 0), 1);
  return { x: share(x, film.width), y: share(y, film.height) };
}

/** The line and which of its ends ("from", "to") lie within reach of a CSS point; null when there is none. */
export function endNear(lines, film, matrix, point) {
  const ends = lines.flatMap((line) => ["from", "to"].map((end) => ({ line, end })));
  const away = ({ line, end }) => distance(onScreen(line[end], film, matrix), point);
  const nearest = ends.sort((one, other) => away(one) - away(other))[0];
  return nearest && away(nearest) <= REACH ? nearest : null;
}

const distance = (one, other) => Math.hypot(one.x - other.x, one.y - other.y);

export function isClick(line, film, matrix) {
  return distance(onScreen(line.from, film, matrix), onScreen(line.to, film, matrix)) < SHORTEST;
}

/** All lines with their number and length; the context takes CSS pixels. */
export function drawLines(context, { lines, film, spacing }, matrix, colour) {
  lines.forEach((line, k) => {
    const [from, to] = [line.from, line.to].map((point) => onScreen(point, film, matrix));
    haloed(context, ruler(from, to), colour);
    label(context, `${k + 1}: ${lengthText(line, film, spacing)}`, to, from, colour);
  });
}

/** The path of a line with a tick across each end. */
function ruler(from, to) {
  const size = distance(from, to) || 1;
  const [dx, dy] = [(-(to.y - from.y) / size) * TICK, ((to.x - from.x) / size) * TICK];
  const path = new Path2D();
  path.moveTo(from.x, from.y);
  path.lineTo(to.x, to.y);
  for (const { x, y } of [from, to]) {
    path.moveTo(x - dx, y - dy);
    path.lineTo(x + dx, y + dy);
  }
  return path;
}

/** A path that can be seen on black and on white. */
export function haloed(context, path, colour) {
  for (const [style, thick] of [["rgb(0 0 0 / 70%)", 4], [colour, 1.5]]) {
    Object.assign(context, { strokeStyle: style, lineWidth: thick, lineCap: "round" });
    context.stroke(path);
  }
}

/**
 * Where a text of some width begins: beside the end of a line, on the side that leads away from it; where the pane has no
 * room there, above that end, or below it at the upper edge. All in CSS pixels.
 */
export function besideEnd(at, from, width, room) {
  const beside = at.x < from.x ? at.x - 10 - width : at.x + 10;
  const x = Math.max(Math.min(beside, room - width - 4), 4);
  if (x === beside) return { x, y: at.y };
  return { x, y: at.y < 28 ? at.y + 18 : at.y - 18 };
}

function label(context, text, at, from, colour) {
  Object.assign(context, { font: "600 13px system-ui, sans-serif", textAlign: "left" });
  Object.assign(context, { textBaseline: "middle", lineJoin: "round", lineWidth: 4, strokeStyle: "rgb(0 0 0 / 75%)" });
  const { x, y } = besideEnd(at, from, context.measureText(text).width, context.canvas.clientWidth);
  context.strokeText(text, x, y);
  context.fillStyle = colour;
  context.fillText(text, x, y);
}
