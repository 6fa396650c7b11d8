// What the pointer or the keyboard's cursor does to labels. Points are in pixels of the patch.

import { BACKGROUND, FOREGROUND, UNLABELLED, UNSURE } from './labels.js';
import { capsule, flood, polygon, smooth } from './raster.js';

export const CLASSES = { foreground: FOREGROUND, background: BACKGROUND, unsure: UNSURE };
const SEND_EVERY = 1000;
const MOST_SIZE = 200;

export class Tools extends EventTarget {
  constructor({ view, saver, tiles, proposal }) {
    super();
    Object.assign(this, { view, saver, tiles, proposal });
    this.size = view.project.patch;
    this.tool = 'brush';
    this.class = 'foreground';
    this.diameter = 10;
    this.tolerance = 14;
    this.keep = false;
    this.alsoBackground = false;
    this.action = null;
    this.greys = new Map();
  }

  get labels() {
    return this.view.labels;
  }

  tell(name, detail = {}) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  choose(tool) {
    if (tool !== 'polygon') this.settle();
    if (tool !== this.tool) this.view.sketch = null;
    this.tool = tool;
    this.tell('changed');
  }

  resize(diameter) {
    this.diameter = Math.min(MOST_SIZE, Math.max(1, Math.round(diameter)));
    this.tell('changed');
  }

  /** Grows or shrinks the brush by about an eighth, at least by a pixel. */
  resizeBy(steps) {
    const step = Math.max(1, Math.round(this.diameter / 8));
    this.resize(this.diameter + Math.sign(steps) * step);
  }

  /** Why nothing can be painted just now, as a sentence; null if it can. */
  refusal() {
    const { view } = this;
    if (!view.patch) return 'Choose a patch first.';
    if (!view.labels) return 'The labels of this patch have not come yet.';
    if (view.onPatchSection) return null;
    const { z } = view.camera;
    return `This is section z ${z}; the patch lies in z ${view.patch.z}. Home goes back to it.`;
  }

  // ---- The pointer ----

  /** Begins at a point; says whether the tool takes the pointer. */
  down(point, { erase = false, keep = false } = {}) {
    const refusal = this.tool === 'add' ? null : this.refusal();
    if (refusal) {
      this.tell('refused', { text: refusal });
      return false;
    }
    if (!this.view.show.labels) this.tell('hidden');
    const value = erase || this.tool === 'eraser' ? UNLABELLED : CLASSES[this.class];
    const how = { value, keep: keep !== this.keep && value !== UNLABELLED };
    if (this.tool === 'add') {
      this.tell('add', { point });
    } else if (this.tool === 'wand') {
      this.wand(point, how);
    } else if (this.tool === 'polygon') {
      this.knot(point, how);
    } else if (this.tool === 'lasso' || this.tool === 'accept') {
      this.action = { kind: this.tool, ...how, points: [point] };
      this.sketch();
    } else {
      this.labels.begin();
      this.action = { kind: 'stroke', ...how, last: point, sent: performance.now() };
      this.segment(point, point);
    }
    return true;
  }

  move(points) {
    const { action } = this;
    if (!action) return;
    if (action.kind === 'stroke') {
      for (const point of points) {
        this.segment(action.last, point);
        action.last = point;
      }
      this.flush();
      if (performance.now() - action.sent > SEND_EVERY) {
        action.sent = performance.now();
        action.interim = true;
        this.saver.interim(this.labels);
      }
    } else if (action.kind === 'polygon') {
      action.next = points.at(-1);
      this.sketch();
    } else {
      action.points.push(...points);
      this.sketch();
    }
  }

  up() {
    const { action } = this;
    if (!action || action.kind === 'polygon') return;
    this.action = null;
    if (action.kind === 'stroke') {
      this.flush();
      this.finish();
      return;
    }
    this.view.sketch = null;
    this.view.redraw('sketch');
    if (action.kind === 'accept') this.accept(action.points);
    else this.fill(action);
  }

  /** Ends a stroke under way; what else is being drawn is taken back. */
  settle() {
    if (this.action?.kind === 'stroke') this.up();
    else this.cancel();
  }

  /** Takes back what is under way; says whether there was anything. */
  cancel() {
    if (!this.action) return false;
    if (this.action.kind === 'stroke') {
      this.labels.cancel();
      this.view.refreshLabels();
      // Part of it may be on the disk already.
      if (this.action.interim) this.saver.changed(this.labels);
    }
    this.action = null;
    this.view.sketch = null;
    this.view.redraw('sketch');
    return true;
  }

  // ---- Strokes ----

  put(x, y, { value, keep }) {
    const i = y * this.size + x;
    if (keep && this.labels.values[i] !== UNLABELLED) return;
    if (!this.labels.set(i, value)) return;
    const { dirty } = this;
    if (!dirty) {
      this.dirty = { x0: x, y0: y, x1: x, y1: y };
      return;
    }
    if (x < dirty.x0) dirty.x0 = x;
    if (x > dirty.x1) dirty.x1 = x;
    if (y < dirty.y0) dirty.y0 = y;
    if (y > dirty.y1) dirty.y1 = y;
  }

  segment(from, to) {
    const { action } = this;
    const put = (x, y) => this.put(x, y, action);
    capsule(this.size, ...from, ...to, this.diameter / 2, put);
  }

  /** Brings what has changed to the screen. */
  flush() {
    if (this.dirty) this.view.paint(this.dirty);
    this.dirty = null;
  }

  finish() {
    if (this.labels.commit()) this.tell('stroke', { labels: this.labels });
  }

  /** One whole step, after the stroke under way if there is one: `draw` calls `put`. */
  step(draw) {
    if (this.action?.kind === 'stroke') this.up();
    this.labels.begin();
    draw();
    this.flush();
    this.finish();
  }

  // ---- Areas ----

  fill({ points, value, keep }) {
    if (points.length < 3) return;
    this.step(() => polygon(this.size, points, (x, y) => this.put(x, y, { value, keep })));
  }

  /** Adds a corner of the polygon; near the first corner, it closes. */
  knot(point, how) {
    if (this.action?.kind !== 'polygon') {
      this.action = { kind: 'polygon', ...how, points: [point], next: point };
    } else {
      const { points } = this.action;
      const near = 8 / this.view.camera.zoom;
      const [x, y] = points[0];
      if (points.length > 2 && Math.hypot(point[0] - x, point[1] - y) < near) {
        this.close();
        return;
      }
      points.push(point);
    }
    this.sketch();
  }

  get drawing() {
    return this.action?.kind === 'polygon';
  }

  /** Closes the polygon and fills it. */
  close() {
    const { action } = this;
    if (!this.drawing) return false;
    this.action = null;
    this.view.sketch = null;
    this.view.redraw('sketch');
    this.fill(action);
    return true;
  }

  /** Takes the last corner back. */
  dropKnot() {
    if (!this.drawing) return false;
    this.action.points.pop();
    if (this.action.points.length) this.sketch();
    else this.cancel();
    return true;
  }

  sketch() {
    const { action } = this;
    const knots = action.kind === 'polygon';
    const points = knots && action.next ? [...action.points, action.next] : action.points;
    const colour = action.kind === 'accept' ? 'prediction' : this.class;
    const erasing = action.value === UNLABELLED && action.kind !== 'accept';
    this.view.sketch = { points, knots, colour: erasing ? 'background' : colour };
    this.view.redraw('sketch');
  }

  /** Fetches the grey values for the wand before they are asked for. */
  async prepare(patch) {
    if (this.greys.has(patch.id)) return;
    const grey = await this.tiles.square(patch.z, patch.y, patch.x, this.size);
    this.greys.set(patch.id, smooth(grey, this.size));
    if (this.greys.size > 16) this.greys.delete(this.greys.keys().next().value);
  }

  /** Outlines what the wand would take at a point. */
  preview(point) {
    const [x, y] = point.map(Math.floor);
    const inside = x >= 0 && y >= 0 && x < this.size && y < this.size;
    const grey = this.view.onPatchSection && inside ? this.greys.get(this.view.patch.id) : null;
    const mask = grey && flood(grey, this.size, x, y, this.tolerance);
    this.view.sketch = mask ? { mask } : null;
    this.view.redraw('sketch');
  }

  wand([px, py], how) {
    const x = Math.floor(px);
    const y = Math.floor(py);
    if (x < 0 || y < 0 || x >= this.size || y >= this.size) return;
    const grey = this.greys.get(this.view.patch.id);
    if (!grey) {
      const text = 'The picture of this patch has not come yet; click again in a moment.';
      this.prepare(this.view.patch).catch(() => {});
      this.tell('refused', { text });
      return;
    }
    const inside = flood(grey, this.size, x, y, this.tolerance);
    this.step(() => {
      for (let i = 0; i < inside.length; i++) {
        if (inside[i]) this.put(i % this.size, Math.floor(i / this.size), how);
      }
    });
  }

  // ---- Proposals ----

  /** Takes the proposal over where nothing is labelled, inside the lasso if there is one. */
  accept(lasso = null, alsoBackground = this.alsoBackground) {
    const refusal = this.refusal();
    const mask = refusal ? null : this.view.accepted();
    if (!mask) {
      const none = 'There is no proposal yet: the network needs some foreground and background.';
      this.tell('refused', { text: refusal ?? none });
      return;
    }
    this.take(lasso, (i) => {
      if (mask[i]) return FOREGROUND;
      return alsoBackground ? BACKGROUND : UNLABELLED;
    });
  }

  /** Labels what is not labelled yet with what `source` says of each pixel. */
  take(lasso, source) {
    const visit = (x, y) => {
      const value = source(y * this.size + x);
      if (value !== UNLABELLED) this.put(x, y, { value, keep: true });
    };
    this.step(() => {
      const n = this.size;
      polygon(n, lasso ?? [[0, 0], [n, 0], [n, n], [0, n]], visit);
    });
  }
}
