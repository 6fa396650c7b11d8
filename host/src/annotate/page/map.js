// The map: the section in small, with the patches and where the network is unsure.

import { css } from './draw.js';
import { TILE } from './tiles.js';

const NEAR = 9;
const PAUSE = 80;

export class VolumeMap {
  constructor({ canvas, view, tiles, go, add }) {
    Object.assign(this, { canvas, view, tiles, go, add });
    this.patches = [];
    this.pool = [];
    this.current = null;
    this.context = canvas.getContext('2d');
    tiles.addEventListener('tile', ({ detail }) => {
      if (detail.scale === this.level && detail.z === view.camera.z) this.redraw();
    });
    view.addEventListener('moved', () => this.redraw());
    new ResizeObserver(() => this.redraw()).observe(canvas.parentElement);
    canvas.addEventListener('click', (event) => this.click(event));
    canvas.addEventListener('keydown', (event) => this.key(event));
  }

  redraw() {
    if (this.waiting) return;
    this.waiting = true;
    setTimeout(() => {
      this.waiting = false;
      this.draw();
    }, PAUSE);
  }

  draw() {
    const { canvas, context, view, tiles } = this;
    const width = canvas.clientWidth;
    if (!width) return;
    const density = window.devicePixelRatio || 1;
    const [, rows, columns] = view.project.shape;
    const height = Math.min(width * 1.2, Math.max(40, (width * rows) / columns));
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(width * density);
    canvas.height = Math.round(height * density);
    this.scale = Math.min(width / columns, height / rows);
    const s = this.scale * density;
    let level = 1;
    while (level < 32 && level * 2 * s <= 1.01) level *= 2;
    this.level = level;
    const step = TILE * level;
    const { z } = view.camera;
    for (let y = 0; y < rows; y += step) {
      for (let x = 0; x < columns; x += step) {
        const tile = tiles.get(z, y, x, level, true);
        if (!tile) continue;
        const size = [tile.width * level * s, tile.height * level * s];
        context.drawImage(tiles.picture(tile), x * s, y * s, ...size);
      }
    }
    context.fillStyle = 'rgb(0 0 0 / 0.35)';
    context.fillRect(0, 0, canvas.width, canvas.height);
    this.drawPool(s, density, z);
    this.drawPatches(s, density, z);
    this.drawWindow(s, density);
  }

  /** Dots that are the larger, the less sure the network is of a patch of the pool. */
  drawPool(s, density, z) {
    const { context, view } = this;
    const half = view.project.patch / 2;
    context.fillStyle = css('uncertainty', 0.85);
    for (const { y, x, rank } of this.pool.filter((one) => one.z === z)) {
      const radius = (0.8 + 3.4 * rank ** 3) * density;
      context.beginPath();
      context.arc((x + half) * s, (y + half) * s, radius, 0, 7);
      context.fill();
    }
  }

  drawPatches(s, density, z) {
    const { context, view } = this;
    const side = view.project.patch * s;
    for (const patch of this.patches.filter((one) => one.z === z)) {
      const x = patch.x * s;
      const y = patch.y * s;
      context.setLineDash(patch.state === 'skipped' ? [3 * density, 3 * density] : []);
      context.lineWidth = (patch.id === this.current ? 3 : 1.5) * density;
      context.strokeStyle = patch.state === 'done' ? css('background') : '#fff';
      if (patch.state === 'done') {
        context.fillStyle = css('background', 0.45);
        context.fillRect(x, y, side, side);
      }
      context.strokeRect(x, y, side, side);
    }
    context.setLineDash([]);
  }

  /** The part of the section that the view shows. */
  drawWindow(s, density) {
    const { context, view } = this;
    const { x, y, zoom } = view.camera;
    const w = view.rect.width / zoom;
    const h = view.rect.height / zoom;
    context.lineWidth = density;
    context.strokeStyle = 'rgb(255 255 255 / 0.55)';
    context.strokeRect((x - w / 2) * s, (y - h / 2) * s, w * s, h * s);
  }

  /** The pool of the last choice; ranks by score say how large a dot is. */
  setPool(pool) {
    const order = [...pool].sort((a, b) => a.score - b.score);
    this.pool = order.map((one, n) => ({ ...one, rank: (n + 1) / order.length }));
    this.redraw();
  }

  setPatches(patches, current) {
    this.patches = patches;
    this.current = current;
    const { z } = this.view.camera;
    const here = patches.filter((one) => one.z === z).length;
    const text = `Map of section z ${z}: ${here} of ${patches.length} patches lie here.`;
    this.canvas.setAttribute('aria-label', `${text} The arrows move the view.`);
    this.redraw();
  }

  click(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = (event.clientX - box.left) / this.scale;
    const y = (event.clientY - box.top) / this.scale;
    const side = this.view.project.patch;
    const { z } = this.view.camera;
    if (event.shiftKey) {
      this.add(z, y - side / 2, x - side / 2);
      return;
    }
    const far = (one) => Math.hypot(one.x + side / 2 - x, one.y + side / 2 - y);
    const reach = Math.max(side / 2, NEAR / this.scale);
    const [nearest] = this.patches
      .filter((one) => one.z === z && far(one) < reach)
      .sort((a, b) => far(a) - far(b));
    if (nearest) this.go(nearest.id);
    else this.view.goTo(x, y, z);
  }

  key(event) {
    const ways = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const way = ways[event.key];
    if (!way) return;
    event.preventDefault();
    event.stopPropagation();
    this.view.pan(way[0] * 100, way[1] * 100);
  }
}
