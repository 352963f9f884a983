// The keys of the viewer. This table is what the page listens to and what its help shows; docs/viewer.md repeats it.

/** [keys, command, what it does, only while the film has the focus] */
export const KEYS = [
  [["W"], "tool-window", "Drag sets the window: sideways its width, up and down its level"],
  [["G"], "tool-pan", "Drag moves the film"],
  [["T"], "tool-measure", "Drag measures a distance"],
  [["M"], "tool-magnify", "Magnifier under the pointer"],
  [["+", "="], "zoom-in", "Larger"],
  [["-"], "zoom-out", "Smaller"],
  [["F", "0"], "fit", "The whole film"],
  [["O"], "one-to-one", "One pixel of the film for one of the screen"],
  [["R"], "turn-right", "Turn by 90 degrees to the right"],
  [["Shift+R"], "turn-left", "Turn by 90 degrees to the left"],
  [["I"], "invert", "Black and white change places"],
  [["1"], "preset-stored", "Window: as stored"],
  [["2"], "preset-whole", "Window: whole range"],
  [["3"], "preset-dark", "Window: dark parts (lungs)"],
  [["4"], "preset-bright", "Window: bright parts (bone, mediastinum)"],
  [["X"], "reset", "Window, zoom and rotation as at the start"],
  [["H"], "overlay", "Heat map on or off"],
  [["]"], "opacity-up", "Heat map stronger"],
  [["["], "opacity-down", "Heat map weaker"],
  [["C"], "contour", "Contour of the heat map on or off"],
  [["S"], "beside", "Film and heat map side by side"],
  [["L"], "linked", "Two films: link or unlink them"],
  [["Shift+F"], "full-screen", "Full screen, and back"],
  [["J"], "next-finding", "Next finding"],
  [["K"], "previous-finding", "Finding before"],
  [["?"], "help", "This help"],
  [["ArrowLeft"], "step-left", "Move the film, or the cross of measuring and magnifier", true],
  [["ArrowRight"], "step-right", "", true],
  [["ArrowUp"], "step-up", "", true],
  [["ArrowDown"], "step-down", "", true],
  [["Shift+ArrowLeft"], "nudge-left", "Window narrower or wider, brighter or darker; the cross by one pixel", true],
  [["Shift+ArrowRight"], "nudge-right", "", true],
  [["Shift+ArrowUp"], "nudge-up", "", true],
  [["Shift+ArrowDown"], "nudge-down", "", true],
  [["Enter"], "place", "Measuring: begin or end a line at the cross", true],
  [["Delete", "Backspace"], "delete-line", "Measuring: delete the last line", true],
  [["Escape"], "drop", "Put down the line in hand, or the cross", true],
];

const COMMANDS = new Map(KEYS.flatMap(([keys, command, , focused]) => keys.map((key) => [key, { command, focused }])));
const TYPED_INTO = "textarea, select, [contenteditable], input:not([type=range], [type=checkbox])";

/** The command of a key event; nothing when the key means something else where it was pressed. */
export function commandOf(event, { shortcuts = true, onFilm = false } = {}) {
  if (meansElse(event)) return undefined;
  const found = COMMANDS.get(nameOf(event));
  if (!found || (found.focused ? !onFilm : !shortcuts)) return undefined;
  return found.command;
}

/** Whether a key was pressed for the browser, for a field or for a dialog. */
export function meansElse(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return true;
  return Boolean(event.target.closest?.(TYPED_INTO) || event.target.closest?.("dialog"));
}

/** `Shift+R`; signs such as ? and + need Shift on some keyboards and not on others. */
function nameOf({ key, shiftKey }) {
  const name = key.length === 1 ? key.toUpperCase() : key;
  return shiftKey && (key.length > 1 || /[A-Z]/.test(name)) ? `Shift+${name}` : name;
}

/** The first key of a command, for tooltips. */
export function keyOf(command) {
  return KEYS.find(([, name]) => name === command)?.[0][0];
}
