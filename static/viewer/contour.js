// The line at which a raster crosses a threshold: marching squares (Lorensen and Cline, 1987, in two dimensions).

// Sides that the line crosses, by which corners lie above: 1 upper left, 2 upper right, 4 lower right, 8 lower left.
const [TOP, RIGHT, BOTTOM, LEFT] = [0, 1, 2, 3];
const CROSSED = [
  [], [[LEFT, TOP]], [[TOP, RIGHT]], [[LEFT, RIGHT]],
  [[RIGHT, BOTTOM]], [[LEFT, TOP], [RIGHT, BOTTOM]], [[TOP, BOTTOM]], [[LEFT, BOTTOM]],
  [[BOTTOM, LEFT]], [[TOP, BOTTOM]], [[TOP, RIGHT], [BOTTOM, LEFT]], [[RIGHT, BOTTOM]],
  [[LEFT, RIGHT]], [[TOP, RIGHT]], [[LEFT, TOP]], [],
];

/**
 * Line pieces [x0, y0, x1, y1] of the contour, in raster pixels; values stand in the middle of their pixels. Beyond its
 * rim the raster counts as empty, so that every contour is closed.
 */
export function contour(raster, threshold) {
  const { width, height } = raster;
  const stride = width + 2;
  const above = rimmed(raster, threshold);
  const pieces = [];
  for (let y = -1; y < height; y++) {
    for (let x = -1; x < width; x++) {
      const at = (y + 1) * stride + x + 1;
      const which = above[at] + 2 * above[at + 1] + 4 * above[at + stride + 1] + 8 * above[at + stride];
      if (which !== 0 && which !== 15) pieces.push(...crossings(raster, threshold, x, y, CROSSED[which]));
    }
  }
  return pieces;
}

/** 1 where the raster reaches the threshold, with a rim of zeros. */
function rimmed({ width, height, values }, threshold) {
  const above = new Uint8Array((width + 2) * (height + 2));
  for (let y = 0, k = 0; y < height; y++) {
    for (let at = (y + 1) * (width + 2) + 1, end = at + width; at < end; ) above[at++] = values[k++] >= threshold;
  }
  return above;
}

/** The pieces in the cell whose upper left corner is (x, y). */
function crossings({ width, height, values }, threshold, x, y, sides) {
  const isOutside = ([column, row]) => column < 0 || row < 0 || column >= width || row >= height;
  const corner = ([column, row]) => (isOutside([column, row]) ? 0 : values[row * width + column]);
  const corners = [[x, y], [x + 1, y], [x + 1, y + 1], [x, y + 1]].map(corner);
  return sides.map((ends) =>
    ends.flatMap((side) => {
      const [dx, dy] = crossing(corners, side, threshold);
      return [x + dx + 0.5, y + dy + 0.5];
    }),
  );
}

/** Where a side of a cell is crossed, from its upper left corner: interpolated between the side's two ends. */
function crossing(corners, side, threshold) {
  const [before, after] = [corners[side], corners[(side + 1) % 4]];
  const share = (threshold - before) / (after - before);
  return [[share, 0], [1, share], [1 - share, 1], [0, 1 - share]][side];
}
