// The tools that a drag is one of: {press, move, release}, each told the pane and CSS points in it.

import { endNear, isClick } from "./measure.js";
import { dragged } from "./window.js";

const ZOOM_DRAG = 1 / 150; // share of e for each CSS pixel

export const TOOLS = {
  window: {
    move({ reading }, { dx, dy }) {
      reading.set({ window: dragged(reading.window, dx, dy), preset: "" });
    },
  },
  pan: {
    move: (pane, { dx, dy }) => pane.pan(dx, dy),
  },
  zoom: {
    press: (pane, start) => (pane.zoomStart = start),
    move: (pane, { dy }) => pane.zoom(Math.exp(-dy * ZOOM_DRAG), pane.zoomStart),
  },
  magnify: {
    press: (pane, start) => pane.point(start),
    move: (pane, { at }) => pane.point(at),
  },
  measure: {
    press: (pane, start) => takeEnd(pane, start) ?? beginLine(pane, start),
    move: (pane, { at }) => moveEnd(pane, at),
    release: endLine,
  },
};

function takeEnd(pane, start) {
  const { lines, film } = pane.reading;
  const near = endNear(lines, film, pane.matrix, start);
  if (near) pane.held = near;
  return near;
}

/** The new line's end is held. Lengths are of the whole film, so there are none before it has come. */
export function beginLine(pane, start) {
  if (!pane.reading.film.full) return;
  const point = pane.at(start);
  const line = { from: point, to: point };
  pane.held = { line, end: "to" };
  pane.reading.set({ lines: [...pane.reading.lines, line] });
}

export function moveEnd(pane, at) {
  if (!pane.held) return;
  const { line, end } = pane.held;
  const moved = { ...line, [end]: pane.at(at) };
  pane.held.line = moved;
  pane.reading.set({ lines: pane.reading.lines.map((each) => (each === line ? moved : each)) });
}

export function endLine(pane) {
  if (pane.held && isClick(pane.held.line, pane.reading.film, pane.matrix)) dropHeld(pane);
  pane.held = null;
}

export function dropHeld(pane) {
  if (pane.held) pane.reading.set({ lines: pane.reading.lines.filter((each) => each !== pane.held.line) });
  pane.held = null;
}
