// The line at which a raster crosses a threshold: marching squares (Lorensen and Cline, 1987, in two dimensions).

// Sides that the line crosses, by which corners lie above: 1 upper left, 2 upper right, 4 lower right, 8 lower left.
const [TOP, RIGHT, BOTTOM, LEFT] = [0, 1, 2, 3];
const CROSSED = [
  [], [[LEFT, TOP]], [[TOP, RIGHT]], [[LEFT, RIGHT]], [[RIGHT, BOTTOM]], [[LEFT, TOP], [RIGHT, BOTTOM]], [[TOP, BOTTOM]],
  [[LEFT, BOTTOM]], [[BOTTOM, LEFT]], [[TOP, BOTTOM]], [[TOP, RIGHT], [BOTTOM, LEFT]], [[RIGHT, BOTTOM]],
  [[LEFT, RIGHT]], [[TOP, RIGHT]], [[LEFT, TOP]], [],
];

/**
 * Line pieces [x0, y0, x1, y1] of the contour, in raster pixels; values stand in the middle of their pixels. Beyond its
 * rim the raster counts as empty, so that every contour is closed.
 */
export function contour({ width, height, values }, threshold) {
  const at = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? 0 : values[y * width + x]);
  const pieces = [];
  for (let y = -1; y < height; y++) {
    for (let x = -1; x < width; x++) {
      const [a, b, c, d] = [at(x, y), at(x + 1, y), at(x + 1, y + 1), at(x, y + 1)];
      const above = (a >= threshold) + 2 * (b >= threshold) + 4 * (c >= threshold) + 8 * (d >= threshold);
      for (const [from, to] of CROSSED[above]) {
        const ends = [from, to].map((side) => crossing([a, b, c, d], side, threshold));
        pieces.push(ends.flatMap(([dx, dy]) => [x + dx + 0.5, y + dy + 0.5]));
      }
    }
  }
  return pieces;
}

/** Where a side of a cell is crossed, from its upper left corner: interpolated between the side's two ends. */
function crossing(corners, side, threshold) {
  const [before, after] = [corners[side], corners[(side + 1) % 4]];
  const share = (threshold - before) / (after - before);
  return [[share, 0], [1, share], [1 - share, 1], [0, 1 - share]][side];
}
