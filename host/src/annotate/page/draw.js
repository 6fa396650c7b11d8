// How labels and proposals look: colours, hatches, and outlines along the edges of pixels.
// Foreground has an outline, background dots, unsure a hatch, so that none rests on colour alone.
// Also what lies over the picture for a moment: a lasso or polygon being drawn, what the wand would
// take, where a new patch would lie, the keyboard's cursor, and the arrow to a patch out of sight.

import { BACKGROUND, FOREGROUND, UNSURE } from './labels.js';

export const COLOURS = {
  foreground: [230, 159, 0],
  background: [86, 180, 233],
  unsure: [240, 228, 66],
  prediction: [0, 214, 150],
  uncertainty: [255, 105, 200],
};

export const css = (name, alpha = 1) => `rgb(${COLOURS[name].join(' ')} / ${alpha})`;

const packed = (name, alpha) => {
  const [r, g, b] = COLOURS[name];
  return ((alpha << 24) | (b << 16) | (g << 8) | r) >>> 0;
};

const TINTS = new Uint32Array(256);
TINTS[FOREGROUND] = packed('foreground', 255);
TINTS[BACKGROUND] = packed('background', 130);
TINTS[UNSURE] = packed('unsure', 110);

/** Colours the pixels of `rect` of an image of labels. */
export function tint(image, values, size, { x0, y0, x1, y1 }) {
  const out = new Uint32Array(image.data.buffer);
  for (let y = y0; y <= y1; y++) {
    for (let x = x0; x <= x1; x++) out[y * size + x] = TINTS[values[y * size + x]];
  }
}

/** A canvas of one colour; its opacity follows the square of the values: doubt stays pale. */
export function heat(values, width, height, name) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d');
  const image = context.createImageData(width, height);
  const out = new Uint32Array(image.data.buffer);
  for (let i = 0; i < out.length; i++) out[i] = packed(name, Math.round(values[i] ** 2 / 340));
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Adds the edges between pixels inside and outside to the path, within `rect` of pixels. */
export function outline(path, inside, { x0, y0, x1, y1 }, toX, toY) {
  for (let y = y0; y <= y1 + 1; y++) {
    let start = -1;
    for (let x = x0; x <= x1 + 1; x++) {
      const edge = x <= x1 && inside(x, y - 1) !== inside(x, y);
      if (edge && start < 0) start = x;
      if (!edge && start >= 0) {
        path.moveTo(toX(start), toY(y));
        path.lineTo(toX(x), toY(y));
        start = -1;
      }
    }
  }
  for (let x = x0; x <= x1 + 1; x++) {
    let start = -1;
    for (let y = y0; y <= y1 + 1; y++) {
      const edge = y <= y1 && inside(x - 1, y) !== inside(x, y);
      if (edge && start < 0) start = y;
      if (!edge && start >= 0) {
        path.moveTo(toX(x), toY(start));
        path.lineTo(toX(x), toY(y));
        start = -1;
      }
    }
  }
}

/** Adds the pixels inside to the path, one rectangle a run. */
export function runs(path, inside, { x0, y0, x1, y1 }, toX, toY) {
  for (let y = y0; y <= y1; y++) {
    let start = -1;
    for (let x = x0; x <= x1 + 1; x++) {
      const here = x <= x1 && inside(x, y);
      if (here && start < 0) start = x;
      if (!here && start >= 0) {
        path.rect(toX(start), toY(y), toX(x) - toX(start), toY(y + 1) - toY(y));
        start = -1;
      }
    }
  }
}

function pattern(context, side, paint) {
  const canvas = new OffscreenCanvas(side, side);
  const own = canvas.getContext('2d');
  paint(own, side);
  return context.createPattern(canvas, 'repeat');
}

/** Stripes from the lower left to the upper right that join at the edges of the pattern. */
function stripes(own, side, width, colour) {
  own.strokeStyle = colour;
  own.lineWidth = width;
  own.beginPath();
  for (const shift of [-side, 0, side]) {
    own.moveTo(shift - 2, side + 2);
    own.lineTo(shift + side + 2, -2);
  }
  own.stroke();
}

/** The patterns for a density of the screen's pixels. */
export function patterns(context, density) {
  const px = (n) => Math.round(n * density);
  return {
    hatch: pattern(context, px(9), (own, side) => {
      stripes(own, side, 3 * density, 'rgb(0 0 0 / 0.4)');
      stripes(own, side, 1.8 * density, css('unsure'));
    }),
    dots: pattern(context, px(14), (own, side) => {
      own.fillStyle = 'rgb(0 0 0 / 0.75)';
      own.beginPath();
      own.arc(side / 2, side / 2, 2.4 * density, 0, 7);
      own.fill();
      own.fillStyle = css('background');
      own.beginPath();
      own.arc(side / 2, side / 2, 1.3 * density, 0, 7);
      own.fill();
    }),
    dashes: pattern(context, px(12), (own, side) => {
      stripes(own, side, px(6), css('prediction'));
    }),
  };
}

/** Strokes the path in a style over a wider dark line. */
export function rimmed(context, style, width, rim) {
  context.lineCap = 'square';
  context.lineWidth = width + rim;
  context.strokeStyle = 'rgb(0 0 0 / 0.45)';
  context.stroke();
  context.lineWidth = width;
  context.strokeStyle = style;
  context.stroke();
}

/** Draws the view's `sketch`, { points, knots, square, mask, colour }, and its `cursor`. */
export function drawSketch(view, context) {
  const { density, patch, sketch, cursor } = view;
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  const at = patch ?? { x: 0, y: 0 };
  const toX = (x) => view.toX(at.x + x);
  const toY = (y) => view.toY(at.y + y);
  const line = (width) => rimmed(context, '#fff', width * density, 2 * density);
  const { points = [], knots, square, mask, colour } = sketch ?? {};
  if (points.length) {
    context.beginPath();
    points.forEach(([x, y]) => context.lineTo(toX(x), toY(y)));
    context.fillStyle = `rgb(${COLOURS[colour ?? 'foreground'].join(' ')} / 0.18)`;
    context.fill();
    line(1.5);
    if (knots) points.forEach(([x, y]) => drawKnot(context, toX(x), toY(y), density));
  }
  if (mask) {
    const side = view.project.patch;
    const all = { x0: 0, y0: 0, x1: side - 1, y1: side - 1 };
    const inside = (x, y) =>
      x >= 0 && y >= 0 && x < side && y < side && mask[y * side + x] === 1;
    context.beginPath();
    outline(context, inside, all, toX, toY);
    line(1);
  }
  if (square) {
    const side = view.project.patch * view.scale;
    context.beginPath();
    context.rect(view.toX(square[0]), view.toY(square[1]), side, side);
    line(1.5);
  }
  if (cursor) {
    const [near, far] = [5 * density, 14 * density];
    const x = Math.round(toX(cursor[0]));
    const y = Math.round(toY(cursor[1]));
    context.beginPath();
    for (const [ux, uy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + ux * near, y + uy * near);
      context.lineTo(x + ux * far, y + uy * far);
    }
    line(2);
  }
}

function drawKnot(context, x, y, density) {
  context.beginPath();
  context.arc(x, y, 4 * density, 0, 7);
  context.fillStyle = '#fff';
  context.fill();
  context.lineWidth = 1.5 * density;
  context.strokeStyle = '#000';
  context.stroke();
}

/** An arrow at the edge of the window, towards a patch that lies outside. */
export function drawArrow(view, context) {
  const { width, height } = context.canvas;
  const half = view.project.patch / 2;
  const dx = view.toX(view.patch.x + half) - width / 2;
  const dy = view.toY(view.patch.y + half) - height / 2;
  const inset = 40 * view.density;
  const share = Math.min((width / 2 - inset) / Math.abs(dx), (height / 2 - inset) / Math.abs(dy));
  context.save();
  context.translate(width / 2 + dx * share, height / 2 + dy * share);
  context.rotate(Math.atan2(dy, dx));
  context.scale(view.density, view.density);
  context.beginPath();
  context.moveTo(18, 0);
  context.lineTo(-10, 13);
  context.lineTo(-10, -13);
  context.closePath();
  context.fillStyle = '#fff';
  context.fill();
  context.lineWidth = 2;
  context.strokeStyle = '#000';
  context.stroke();
  context.restore();
}
