// The main picture: the section under a camera, the labels of the patch, and what is being drawn,
// each on a canvas of its own, so that a stroke redraws only the pixels that it touched.

import { BACKGROUND, FOREGROUND, UNLABELLED, UNSURE } from './labels.js';
import {
  css,
  drawArrow,
  drawSketch,
  heat,
  outline,
  patterns,
  rimmed,
  runs,
  tint,
} from './draw.js';
import { TILE } from './tiles.js';

const MOST_ZOOM = 64;
const SLOW = 24;
const REST = 150;
const clamp = (v, low, high) => Math.min(high, Math.max(low, v));

export class View extends EventTarget {
  constructor(host, project, tiles, proposal) {
    super();
    Object.assign(this, { host, project, tiles, proposal });
    this.layers = {};
    for (const name of ['image', 'labels', 'sketch']) {
      const canvas = host.querySelector(`[data-layer=${name}]`);
      this.layers[name] = canvas.getContext('2d', { alpha: name !== 'image' });
    }
    this.stale = new Set();
    Object.assign(this, { resting: true, lastFrame: 0, interval: 0, hurried: false });
    this.camera = { x: project.shape[2] / 2, y: project.shape[1] / 2, zoom: 1, z: 0 };
    this.patch = null;
    this.labels = null;
    this.frames = [];
    this.show = { labels: true, proposal: true, prediction: false, uncertainty: false };
    this.opacity = 0.35;
    this.threshold = 128;
    this.specks = 0;
    this.smooth = true;
    this.sketch = null;
    this.cursor = null;
    this.mosaic = null;
    this.heats = new WeakMap();
    const side = project.patch;
    this.tintImage = new ImageData(side, side);
    this.tintCanvas = new OffscreenCanvas(side, side);
    this.tintContext = this.tintCanvas.getContext('2d');
    this.tiles.addEventListener('tile', ({ detail }) => {
      if (detail.z === this.camera.z) this.redraw('image');
    });
    new ResizeObserver(() => this.resize()).observe(host);
    window.addEventListener('resize', () => this.resize());
    this.resize();
  }

  resize() {
    const { width, height } = this.host.getBoundingClientRect();
    this.rect = this.host.getBoundingClientRect();
    this.density = window.devicePixelRatio || 1;
    for (const context of Object.values(this.layers)) {
      context.canvas.width = Math.max(1, Math.round(width * this.density));
      context.canvas.height = Math.max(1, Math.round(height * this.density));
    }
    this.patterns = patterns(this.layers.labels, this.density);
    this.moved();
  }

  // ---- The camera ----

  /** To be called after each change of the camera. */
  moved() {
    const { camera, project } = this;
    const [depth, height, width] = project.shape;
    camera.zoom = clamp(camera.zoom, Math.min(this.leastZoom(), 1), MOST_ZOOM);
    camera.x = clamp(camera.x, 0, width);
    camera.y = clamp(camera.y, 0, height);
    camera.z = clamp(camera.z, 0, depth - 1);
    const { canvas } = this.layers.image;
    this.scale = camera.zoom * this.density;
    this.left = Math.round(canvas.width / 2 - camera.x * this.scale);
    this.top = Math.round(canvas.height / 2 - camera.y * this.scale);
    for (const name of Object.keys(this.layers)) this.redraw(name);
    this.resting = false;
    this.dispatchEvent(new Event('moved'));
  }

  /** Where frames come slowly (no GPU), the picture is smooth again only when it rests. */
  pace() {
    clearTimeout(this.restTimer);
    this.restTimer = setTimeout(() => {
      if (this.hurried) this.redraw('image');
      Object.assign(this, { hurried: false, interval: 0 });
    }, REST);
    const now = performance.now();
    if (this.interval) this.interval += (now - this.lastFrame - this.interval) / 4;
    else this.interval = 16;
    this.lastFrame = now;
    if (this.interval > SLOW) this.hurried = true;
  }

  leastZoom() {
    const [, height, width] = this.project.shape;
    return Math.min(this.rect.width / width, this.rect.height / height) / 2;
  }

  toVoxel(clientX, clientY) {
    return [
      ((clientX - this.rect.left) * this.density - this.left) / this.scale,
      ((clientY - this.rect.top) * this.density - this.top) / this.scale,
    ];
  }

  toScreen(x, y) {
    return [
      this.rect.left + (this.left + x * this.scale) / this.density,
      this.rect.top + (this.top + y * this.scale) / this.density,
    ];
  }

  /** Zooms by a factor; the voxel under the given point, or in the middle, stays there. */
  zoomAt(factor, clientX, clientY) {
    const { camera, rect } = this;
    const [x, y] = this.toVoxel(
      clientX ?? rect.x + rect.width / 2,
      clientY ?? rect.y + rect.height / 2,
    );
    const zoom = clamp(camera.zoom * factor, Math.min(this.leastZoom(), 1), MOST_ZOOM);
    camera.x = x + (camera.x - x) * (camera.zoom / zoom);
    camera.y = y + (camera.y - y) * (camera.zoom / zoom);
    camera.zoom = zoom;
    this.moved();
  }

  pan(dx, dy) {
    this.camera.x -= dx / this.camera.zoom;
    this.camera.y -= dy / this.camera.zoom;
    this.moved();
  }

  goTo(x, y, z) {
    Object.assign(this.camera, { x, y, z });
    this.moved();
  }

  section(z) {
    this.camera.z = z;
    this.moved();
  }

  /** The patch in the middle, with an eighth of its side around it. */
  fit() {
    if (!this.patch) return;
    const side = this.project.patch;
    const room = Math.min(this.rect.width, this.rect.height - 72);
    this.camera.zoom = Math.max(0.05, room / (side * 1.25));
    this.goTo(this.patch.x + side / 2, this.patch.y + side / 2, this.patch.z);
  }

  get onPatchSection() {
    return this.patch !== null && this.camera.z === this.patch.z;
  }

  /** Whether any of the patch is within the window. */
  get patchInSight() {
    if (!this.patch) return true;
    const side = this.project.patch;
    const [left, top] = this.toScreen(this.patch.x, this.patch.y);
    const [right, bottom] = this.toScreen(this.patch.x + side, this.patch.y + side);
    const { rect } = this;
    return right > rect.left && bottom > rect.top && left < rect.right && top < rect.bottom;
  }

  // ---- What is shown ----

  setPatch(patch, labels) {
    this.patch = patch;
    this.labels = labels;
    this.redraw('image');
    this.refreshLabels();
  }

  /** All labels of the patch may have changed. */
  refreshLabels() {
    const last = this.project.patch - 1;
    // Where all is labelled, background needs no mark of its own.
    this.dotted = this.labels?.has(UNLABELLED) ?? false;
    if (this.labels) this.tintRect({ x0: 0, y0: 0, x1: last, y1: last });
    else this.tintContext.clearRect(0, 0, last + 1, last + 1);
    this.redraw('labels');
  }

  tintRect(rect) {
    tint(this.tintImage, this.labels.values, this.project.patch, rect);
    const { x0, y0, x1, y1 } = rect;
    this.tintContext.putImageData(this.tintImage, 0, 0, x0, y0, x1 - x0 + 1, y1 - y0 + 1);
  }

  /** Draws the labels of these pixels at once. */
  paint(rect) {
    this.tintRect(rect);
    if (this.stale.has('labels')) return;
    this.drawLabels(rect);
  }

  redraw(name) {
    if (!this.stale.size) requestAnimationFrame(() => this.frame());
    this.stale.add(name);
  }

  frame() {
    const names = [...this.stale];
    this.stale.clear();
    if (!this.resting) this.pace();
    this.resting = true;
    if (names.includes('image')) this.drawImage();
    if (names.includes('labels')) this.drawLabels(null);
    if (names.includes('sketch')) this.drawSketch();
  }

  toX = (x) => this.left + x * this.scale;
  toY = (y) => this.top + y * this.scale;

  /** Tiles of one scale that lie within the window. */
  tilesAt(scale) {
    const { canvas } = this.layers.image;
    const [, height, width] = this.project.shape;
    const step = TILE * scale;
    const first = (v) => Math.max(0, Math.floor(v / step) * step);
    const right = Math.min(width, (canvas.width - this.left) / this.scale);
    const bottom = Math.min(height, (canvas.height - this.top) / this.scale);
    const list = [];
    for (let y = first(-this.top / this.scale); y < bottom; y += step) {
      for (let x = first(-this.left / this.scale); x < right; x += step) list.push([y, x]);
    }
    const { x: cx, y: cy } = this.camera;
    const far = ([y, x]) => Math.hypot(y + step / 2 - cy, x + step / 2 - cx);
    return list.sort((a, b) => far(a) - far(b));
  }

  drawImage() {
    const context = this.layers.image;
    const { z } = this.camera;
    context.fillStyle = getComputedStyle(this.host.parentElement).backgroundColor;
    context.fillRect(0, 0, context.canvas.width, context.canvas.height);
    context.imageSmoothingEnabled = (this.smooth && !this.hurried) || this.scale < 1;
    context.imageSmoothingQuality = 'low';
    let fine = 1;
    while (fine < 32 && fine * 2 * this.scale <= 1.01) fine *= 2;
    this.tiles.drop((tile) => tile.z === z && tile.scale === fine);
    const places = this.tilesAt(fine);
    if (places.some(([y, x]) => !this.tiles.get(z, y, x, fine))) {
      for (let scale = 32; scale > fine; scale /= 2) this.drawTiles(scale);
    }
    if (places.length) this.drawMosaic(places, fine);
    if (this.onPatchSection) this.dim(context);
  }

  /** Darkens what lies around the patch. */
  dim(context) {
    const { width, height } = context.canvas;
    const within = (v, most) => Math.min(most, Math.max(0, Math.round(v)));
    const left = within(this.toX(this.patch.x), width);
    const top = within(this.toY(this.patch.y), height);
    const right = within(this.toX(this.patch.x + this.project.patch), width);
    const bottom = within(this.toY(this.patch.y + this.project.patch), height);
    context.fillStyle = 'rgb(0 0 0 / 0.3)';
    context.fillRect(0, 0, width, top);
    context.fillRect(0, bottom, width, height - bottom);
    context.fillRect(0, top, left, bottom - top);
    context.fillRect(right, top, width - right, bottom - top);
  }

  /** Coarse tiles while finer ones are on their way. */
  drawTiles(scale) {
    const context = this.layers.image;
    for (const [y, x] of this.tilesAt(scale)) {
      const tile = this.tiles.peek(this.camera.z, y, x, scale);
      if (!tile) continue;
      const size = [tile.width * scale * this.scale, tile.height * scale * this.scale];
      context.drawImage(this.tiles.picture(tile), this.toX(x), this.toY(y), ...size);
    }
  }

  /** The tiles of the window as one picture: enlarged one by one, they would show seams. */
  drawMosaic(places, scale) {
    const { z } = this.camera;
    const ys = places.map(([y]) => y);
    const xs = places.map(([, x]) => x);
    const [top, left] = [Math.min(...ys), Math.min(...xs)];
    const width = (Math.max(...xs) - left) / scale + TILE;
    const height = (Math.max(...ys) - top) / scale + TILE;
    const key = [z, scale, top, left, width, height, this.tiles.tableVersion].join();
    if (this.mosaic?.key !== key) {
      this.mosaic = { key, canvas: new OffscreenCanvas(width, height), drawn: new Set() };
      this.mosaic.context = this.mosaic.canvas.getContext('2d');
    }
    const { canvas, context, drawn } = this.mosaic;
    for (const [y, x] of places) {
      const tile = this.tiles.peek(z, y, x, scale);
      if (!tile || drawn.has(tile.key)) continue;
      context.drawImage(this.tiles.picture(tile), (x - left) / scale, (y - top) / scale);
      drawn.add(tile.key);
    }
    const size = [width * scale * this.scale, height * scale * this.scale];
    this.layers.image.drawImage(canvas, this.toX(left), this.toY(top), ...size);
  }

  /** Draws the layer of labels; only around `rect` of the patch's pixels where it is given. */
  drawLabels(rect) {
    const context = this.layers.labels;
    const { canvas } = context;
    const side = this.project.patch;
    let area = { x0: 0, y0: 0, x1: side - 1, y1: side - 1 };
    context.save();
    if (rect && this.patch) {
      const pad = Math.ceil(6 / this.scale) + 1;
      const x0 = Math.floor(this.toX(this.patch.x + rect.x0 - pad));
      const y0 = Math.floor(this.toY(this.patch.y + rect.y0 - pad));
      const x1 = Math.ceil(this.toX(this.patch.x + rect.x1 + 1 + pad));
      const y1 = Math.ceil(this.toY(this.patch.y + rect.y1 + 1 + pad));
      context.beginPath();
      context.rect(x0, y0, x1 - x0, y1 - y0);
      context.clip();
      const more = pad * 2;
      area = {
        x0: Math.max(0, rect.x0 - more),
        y0: Math.max(0, rect.y0 - more),
        x1: Math.min(side - 1, rect.x1 + more),
        y1: Math.min(side - 1, rect.y1 + more),
      };
    }
    context.clearRect(0, 0, canvas.width, canvas.height);
    for (const one of Object.values(this.patterns)) {
      one.setTransform(new DOMMatrix([1, 0, 0, 1, this.left, this.top]));
    }
    context.imageSmoothingEnabled = false;
    this.drawFrames(context);
    if (this.patch) {
      this.drawHeats(context);
      if (this.labels && this.show.labels) this.drawPatch(context, area);
      this.drawFrame(context);
    }
    context.restore();
  }

  drawFrames(context) {
    const side = this.project.patch * this.scale;
    context.lineWidth = this.density;
    for (const { z, y, x, id, state } of this.frames) {
      if (z !== this.camera.z || id === this.patch?.id) continue;
      context.strokeStyle = state === 'done' ? css('background', 0.85) : 'rgb(255 255 255 / 0.6)';
      context.setLineDash(state === 'skipped' ? [4, 6] : []);
      context.strokeRect(Math.round(this.toX(x)) + 0.5, Math.round(this.toY(y)) + 0.5, side, side);
    }
    context.setLineDash([]);
  }

  drawHeats(context) {
    for (const kind of ['prediction', 'uncertainty']) {
      const answer = this.show[kind] && this.proposal.get(kind, this.patch, this.camera.z);
      if (!answer) continue;
      const { x, y, w, h } = answer.region;
      let canvas = this.heats.get(answer);
      if (!canvas) this.heats.set(answer, (canvas = heat(answer.values, w, h, kind)));
      context.drawImage(canvas, this.toX(x), this.toY(y), w * this.scale, h * this.scale);
    }
  }

  drawPatch(context, area) {
    const { patch, scale } = this;
    const side = this.project.patch;
    const { values } = this.labels;
    const toX = (x) => this.toX(patch.x + x);
    const toY = (y) => this.toY(patch.y + y);
    const is = (label) => (x, y) =>
      x >= 0 && y >= 0 && x < side && y < side && values[y * side + x] === label;
    const fill = (label, style) => {
      context.beginPath();
      runs(context, is(label), area, toX, toY);
      context.fillStyle = style;
      context.fill();
    };
    if (this.onPatchSection) {
      context.globalAlpha = this.opacity;
      context.drawImage(this.tintCanvas, toX(0), toY(0), side * scale, side * scale);
      context.globalAlpha = Math.min(1, this.opacity * 2);
      if (this.dotted && scale * 4 > this.density) fill(BACKGROUND, this.patterns.dots);
      context.globalAlpha = Math.min(1, this.opacity * 2.5);
      fill(UNSURE, this.patterns.hatch);
      context.globalAlpha = 1;
      this.drawProposal(context, area, toX, toY);
    }
    context.beginPath();
    outline(context, is(FOREGROUND), area, toX, toY);
    context.globalAlpha = this.onPatchSection ? 1 : 0.5;
    this.stroke(context, css('foreground'), 2);
    context.globalAlpha = 1;
  }

  /** The proposal for the patch as a mask; null if there is none. */
  accepted() {
    return this.proposal.mask(this.patch, this.threshold, this.specks);
  }

  /** What accepting would add: the proposal where nothing is labelled yet. */
  drawProposal(context, area, toX, toY) {
    const mask = this.show.proposal && this.accepted();
    if (!mask) return;
    const side = this.project.patch;
    const { values } = this.labels;
    const inside = (x, y) =>
      x >= 0 && y >= 0 && x < side && y < side &&
      values[y * side + x] === UNLABELLED && mask[y * side + x] === 1;
    context.beginPath();
    outline(context, inside, area, toX, toY);
    this.stroke(context, this.patterns.dashes, 2);
  }

  /** Strokes the path with a dark rim; thinner where pixels are small. */
  stroke(context, style, most) {
    const width = this.camera.zoom < 2 ? Math.min(1, most) : most;
    rimmed(context, style, width * this.density, 2 * this.density);
  }

  drawFrame(context) {
    const side = this.project.patch * this.scale;
    const x = Math.round(this.toX(this.patch.x));
    const y = Math.round(this.toY(this.patch.y));
    const d = this.density;
    context.lineJoin = 'miter';
    context.setLineDash(this.onPatchSection ? [] : [10 * d, 7 * d]);
    context.strokeStyle = 'rgb(0 0 0 / 0.65)';
    context.lineWidth = 4 * d;
    context.strokeRect(x - d, y - d, side + 2 * d, side + 2 * d);
    context.strokeStyle = '#fff';
    context.lineWidth = 2 * d;
    context.strokeRect(x - d, y - d, side + 2 * d, side + 2 * d);
    context.setLineDash([]);
    if (!this.patchInSight) drawArrow(this, context);
  }

  drawSketch() {
    const context = this.layers.sketch;
    context.canvas.hidden = !this.sketch && !this.cursor;
    if (!context.canvas.hidden) drawSketch(this, context);
  }
}
