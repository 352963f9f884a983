// Everything that can be done in the viewer, by the names that buttons (data-command) and keys use.

import { FIT, turned } from "./geometry.js";
import { beginLine, dropHeld, endLine, moveEnd } from "./tools.js";
import { dragged, STORED } from "./window.js";

const ZOOM = 1.25;
const STEP = 40; // CSS pixels that an arrow key moves the film
const CURSOR_STEP = 10; // CSS pixels that an arrow key moves the cross; 1 with Shift
const NUDGE = 20; // CSS pixels of a drag that Shift and an arrow key stand for
const OPACITY_STEP = 10; // percent
const WAYS = { left: [-1, 0], right: [1, 0], up: [0, -1], down: [0, 1] };
const POINTED = ["measure", "magnify"]; // tools that have a place in the film

const tool = (name) => (viewer) => {
  viewer.active.point(null);
  viewer.options.set({ tool: name });
};
const toggle = (name) => ({ options }) => options.set({ [name]: !options[name] });
const preset = (name) => (viewer) => viewer.targets.forEach((reading) => reading.usePreset(name));
const onPane = (act) => (viewer) => {
  viewer.keepActiveShown();
  if (viewer.active.reading.film) act(viewer.active);
};

export const COMMANDS = {
  "tool-window": tool("window"),
  "tool-pan": tool("pan"),
  "tool-measure": tool("measure"),
  "tool-magnify": tool("magnify"),
  "zoom-in": onPane((pane) => pane.zoom(ZOOM)),
  "zoom-out": onPane((pane) => pane.zoom(1 / ZOOM)),
  fit: onPane((pane) => pane.fit()),
  "one-to-one": onPane((pane) => pane.oneToOne()),
  "turn-right": onPane((pane) => pane.look(turned(pane.reading.view, 1))),
  "turn-left": onPane((pane) => pane.look(turned(pane.reading.view, -1))),
  invert: onPane(({ reading }) => reading.set({ inverted: !reading.inverted })),
  "preset-stored": preset("stored"),
  "preset-whole": preset("whole"),
  "preset-dark": preset("dark"),
  "preset-bright": preset("bright"),
  reset: onPane(({ reading }) => reading.set({ view: FIT, window: STORED, preset: "stored", inverted: false })),
  overlay: toggle("overlay"),
  contour: toggle("contour"),
  beside: (viewer) => viewer.readings.length === 1 && toggle("beside")(viewer),
  linked: (viewer) => viewer.readings.length === 2 && toggle("linked")(viewer),
  "opacity-up": ({ options }) => options.set({ opacity: Math.min(100, options.opacity + OPACITY_STEP) }),
  "opacity-down": ({ options }) => options.set({ opacity: Math.max(0, options.opacity - OPACITY_STEP) }),
  "next-finding": (viewer) => viewer.findings.step(1),
  "previous-finding": (viewer) => viewer.findings.step(-1),
  "full-screen": fillScreen,
  help: ({ help }) => help.showModal(),
  place: onPane(place),
  drop: onPane((pane) => (pane.held ? dropHeld(pane) : pane.point(null))),
  "delete-line": onPane(({ reading }) => reading.set({ lines: reading.lines.slice(0, -1) })),
  "clear-lines": ({ readings }) => readings.forEach((reading) => reading.set({ lines: [] })),
};

function fillScreen({ lightbox }) {
  if (document.fullscreenElement) document.exitFullscreen();
  else lightbox.requestFullscreen?.(); // phones of one maker have none
}

for (const [way, [x, y]] of Object.entries(WAYS)) {
  COMMANDS[`step-${way}`] = onPane((pane) => {
    if (POINTED.includes(pane.options.tool)) moveCursor(pane, x * CURSOR_STEP, y * CURSOR_STEP);
    else pane.pan(-x * STEP, -y * STEP);
  });
  COMMANDS[`nudge-${way}`] = onPane((pane) => {
    if (POINTED.includes(pane.options.tool)) moveCursor(pane, x, y);
    else nudge(pane.reading, x * NUDGE, y * NUDGE);
  });
}

function nudge(reading, dx, dy) {
  reading.set({ window: dragged(reading.window, dx, dy), preset: "" });
}

/** The cross begins in the middle; a line in hand follows it. */
function moveCursor(pane, dx, dy) {
  const { width, height } = pane.port;
  const { x, y } = pane.cursor ?? { x: width / 2, y: height / 2 };
  const inside = (place, size) => Math.min(Math.max(place, 0), size);
  pane.point({ x: inside(x + dx, width), y: inside(y + dy, height) }, true);
  moveEnd(pane, pane.cursor);
}

function place(pane) {
  if (pane.options.tool !== "measure") return;
  if (!pane.cursor) moveCursor(pane, 0, 0);
  else if (pane.held) endLine(pane);
  else beginLine(pane, pane.cursor);
}
