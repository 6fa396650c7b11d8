// Which pixels a brush, a polygon or a flood covers, and which lie between those of two sections.
// The centre of pixel (x, y) lies at x + 0.5, y + 0.5.

import { FOREGROUND } from './labels.js';

/** Visits pixels whose centres lie within `radius` of the segment, and those it runs through. */
export function capsule(size, x0, y0, x1, y1, radius, visit) {
  const top = Math.max(0, Math.floor(Math.min(y0, y1) - radius));
  const bottom = Math.min(size - 1, Math.floor(Math.max(y0, y1) + radius));
  const left = Math.max(0, Math.floor(Math.min(x0, x1) - radius));
  const right = Math.min(size - 1, Math.floor(Math.max(x0, x1) + radius));
  const dx = x1 - x0;
  const dy = y1 - y0;
  const length2 = dx * dx + dy * dy;
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const px = x + 0.5 - x0;
      const py = y + 0.5 - y0;
      const t = length2 ? Math.min(1, Math.max(0, (px * dx + py * dy) / length2)) : 0;
      const ex = px - t * dx;
      const ey = py - t * dy;
      if (ex * ex + ey * ey <= radius * radius) visit(x, y);
    }
  }
  const steps = Math.max(1, Math.ceil(Math.sqrt(length2) * 2));
  for (let i = 0; i <= steps; i++) {
    const x = Math.floor(x0 + (dx * i) / steps);
    const y = Math.floor(y0 + (dy * i) / steps);
    if (x >= 0 && y >= 0 && x < size && y < size) visit(x, y);
  }
}

/** Visits the pixels whose centres lie inside the closed polygon (nonzero winding). */
export function polygon(size, points, visit) {
  for (let y = 0; y < size; y++) {
    const level = y + 0.5;
    const crossings = [];
    for (let i = 0; i < points.length; i++) {
      const [ax, ay] = points[i];
      const [bx, by] = points[(i + 1) % points.length];
      if (ay <= level === by <= level) continue;
      crossings.push([ax + ((level - ay) / (by - ay)) * (bx - ax), by > ay ? 1 : -1]);
    }
    crossings.sort((a, b) => a[0] - b[0]);
    let winding = 0;
    for (let i = 0; i + 1 < crossings.length; i++) {
      winding += crossings[i][1];
      if (!winding) continue;
      const from = Math.max(0, Math.ceil(crossings[i][0] - 0.5));
      const to = Math.min(size, Math.ceil(crossings[i + 1][0] - 0.5));
      for (let x = from; x < to; x++) visit(x, y);
    }
  }
}

/** Takes areas of one value that are smaller than `least` pixels and makes them the other. */
function absorb(mask, size, value, least, border) {
  const seen = new Uint8Array(mask.length);
  for (let start = 0; start < mask.length; start++) {
    if (seen[start] || mask[start] !== value) continue;
    const area = [start];
    let touches = false;
    seen[start] = 1;
    const reach = (i) => {
      if (seen[i] || mask[i] !== value) return;
      seen[i] = 1;
      area.push(i);
    };
    for (let n = 0; n < area.length; n++) {
      const i = area[n];
      const x = i % size;
      if (x === 0 || x === size - 1 || i < size || i >= size * (size - 1)) touches = true;
      if (x > 0) reach(i - 1);
      if (x < size - 1) reach(i + 1);
      if (i >= size) reach(i - size);
      if (i < size * (size - 1)) reach(i + size);
    }
    if (area.length < least && (border || !touches)) for (const i of area) mask[i] = 1 - value;
  }
}

/** Takes specks of fewer than `least` pixels out of a mask and fills holes that are as small. */
export function clean(mask, size, least) {
  if (least < 2) return;
  absorb(mask, size, 1, least, true);
  absorb(mask, size, 0, least, false);
}

/** The mean over 3 x 3 pixels: a wand on raw grey values would fill specks. */
export function smooth(grey, size) {
  const out = new Float32Array(size * size);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      let sum = 0;
      let count = 0;
      for (let v = Math.max(0, y - 1); v <= Math.min(size - 1, y + 1); v++) {
        for (let u = Math.max(0, x - 1); u <= Math.min(size - 1, x + 1); u++) {
          sum += grey[v * size + u];
          count++;
        }
      }
      out[y * size + x] = sum / count;
    }
  }
  return out;
}

/** The pixels joined to (x, y) whose grey differs from it by at most `tolerance`; 1 where so. */
export function flood(grey, size, x, y, tolerance) {
  const inside = new Uint8Array(size * size);
  const seed = grey[y * size + x];
  const open = [y * size + x];
  inside[open[0]] = 1;
  const reach = (i) => {
    if (inside[i] || Math.abs(grey[i] - seed) > tolerance) return;
    inside[i] = 1;
    open.push(i);
  };
  while (open.length) {
    const i = open.pop();
    const column = i % size;
    if (column > 0) reach(i - 1);
    if (column < size - 1) reach(i + 1);
    if (i >= size) reach(i - size);
    if (i < size * (size - 1)) reach(i + size);
  }
  return inside;
}

/**
 * The least of costs[p] + (q - p)^2 over all p, for each place q of a line: the lower envelope of
 * parabolas (Felzenszwalb and Huttenlocher, Distance Transforms of Sampled Functions, 2012).
 */
function envelope(costs, out) {
  const n = costs.length;
  const roots = new Int32Array(n);
  const starts = new Float64Array(n);
  let last = -1;
  for (let q = 0; q < n; q++) {
    if (costs[q] === Infinity) continue;
    let start = -Infinity;
    for (; last >= 0; last--) {
      const p = roots[last];
      start = (costs[q] + q * q - costs[p] - p * p) / (2 * (q - p));
      if (start > starts[last]) break;
    }
    last++;
    roots[last] = q;
    starts[last] = last ? start : -Infinity;
  }
  for (let q = 0, k = 0; q < n; q++) {
    while (k < last && starts[k + 1] < q) k++;
    out[q] = last < 0 ? Infinity : costs[roots[k]] + (q - roots[k]) ** 2;
  }
}

/** The squares of the distances to the nearest pixel that is `value` in the mask; exact. */
function squaredDistances(mask, size, value) {
  const all = Float64Array.from(mask, (one) => (one === value ? 0 : Infinity));
  const costs = new Float64Array(size);
  const out = new Float64Array(size);
  for (const [line, pixel] of [[1, size], [size, 1]]) {
    for (let a = 0; a < size; a++) {
      for (let b = 0; b < size; b++) costs[b] = all[a * line + b * pixel];
      envelope(costs, out);
      for (let b = 0; b < size; b++) all[a * line + b * pixel] = out[b];
    }
  }
  return all;
}

/** How far each pixel lies from the edge of the mask: below 0 inside, at most `size` either way. */
export function signedDistances(mask, size) {
  const toMask = squaredDistances(mask, size, 1);
  const toRest = squaredDistances(mask, size, 0);
  return Float64Array.from(mask, (inside, i) => {
    const far = Math.min(size, Math.sqrt(inside ? toRest[i] : toMask[i]) - 0.5);
    return inside ? -far : far;
  });
}

/**
 * What a square between two labelled ones would be: 1 for foreground, 0 for what is not, and null
 * where either is not known. Each of `sides` has `values`, the `weight` of its distances, and the
 * offset `dy`, `dx` that leads from a pixel of the square to the same place in it.
 */
export function between(sides, size) {
  const fields = sides.map(({ values }) => {
    return signedDistances(values.map((value) => (value === FOREGROUND ? 1 : 0)), size);
  });
  const blend = (x, y) => {
    let sum = 0;
    for (const [n, { values, weight, dy, dx }] of sides.entries()) {
      const [u, v] = [x + dx, y + dy];
      if (u < 0 || v < 0 || u >= size || v >= size) return null;
      if (values[v * size + u] > FOREGROUND) return null;
      sum += weight * fields[n][v * size + u];
    }
    return sum < 0 ? 1 : 0;
  };
  return Array.from({ length: size * size }, (_, i) => blend(i % size, Math.floor(i / size)));
}
