// The grey tiles of the volume: fetched a few at a time, nearest first, and drawn through a table
// of contrast, brightness and gamma.

import * as api from './api.js';

export const TILE = 256;
const AT_ONCE = 3;
const MOST = 400;
const AGAIN = 3000;

export class Tiles extends EventTarget {
  constructor(shape) {
    super();
    this.shape = shape;
    this.tiles = new Map();
    this.queue = [];
    this.underWay = 0;
    this.table = Uint8Array.from({ length: 256 }, (_, i) => i);
    this.tableVersion = 0;
  }

  /** Contrast and brightness in percent (100 and 0 change nothing); gamma brightens if above 1. */
  adjust(contrast, brightness, gamma) {
    for (let i = 0; i < 256; i++) {
      const linear = ((i / 255 - 0.5) * contrast) / 100 + 0.5 + brightness / 100;
      const value = Math.min(1, Math.max(0, linear)) ** (1 / gamma);
      this.table[i] = Math.round(value * 255);
    }
    this.tableVersion++;
  }

  key(z, y, x, scale) {
    return `${z}/${y}/${x}/${scale}`;
  }

  /** The tile if it is here, else null; fetches it then. `drop` spares it with `awaited`. */
  get(z, y, x, scale, awaited = false) {
    const key = this.key(z, y, x, scale);
    let tile = this.tiles.get(key);
    if (!tile) {
      tile = { key, z, y, x, scale, awaited, grey: null, canvas: null, drawn: -1 };
      tile.ready = new Promise((resolve) => (tile.resolve = resolve));
      this.tiles.set(key, tile);
      this.queue.push(tile);
      this.next();
    } else {
      this.tiles.delete(key);
      this.tiles.set(key, tile);
    }
    tile.awaited ||= awaited;
    return tile.grey ? tile : null;
  }

  /** The tile only if it is here already. */
  peek(z, y, x, scale) {
    const tile = this.tiles.get(this.key(z, y, x, scale));
    return tile?.grey ? tile : null;
  }

  async wait(z, y, x, scale) {
    this.get(z, y, x, scale, true);
    const tile = this.tiles.get(this.key(z, y, x, scale));
    await tile.ready;
    return tile;
  }

  /** Forgets requests that have not begun: the view has moved on. */
  drop(wanted) {
    this.queue = this.queue.filter((tile) => {
      if (tile.awaited || wanted(tile)) return true;
      this.tiles.delete(tile.key);
      tile.resolve();
      return false;
    });
  }

  next() {
    while (this.underWay < AT_ONCE && this.queue.length) {
      const tile = this.queue.shift();
      this.underWay++;
      this.fetch(tile).finally(() => {
        this.underWay--;
        this.next();
      });
    }
  }

  async fetch(tile) {
    try {
      const blob = await api.tile(tile.z, tile.y, tile.x, tile.scale);
      const image = await createImageBitmap(blob);
      const canvas = new OffscreenCanvas(image.width, image.height);
      const context = canvas.getContext('2d', { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      const { data } = context.getImageData(0, 0, image.width, image.height);
      tile.width = image.width;
      tile.height = image.height;
      tile.grey = new Uint8Array(image.width * image.height);
      for (let i = 0; i < tile.grey.length; i++) tile.grey[i] = data[i * 4];
      this.trim();
    } catch {
      setTimeout(() => this.forget(tile), AGAIN);
    }
    tile.resolve();
    this.dispatchEvent(new CustomEvent('tile', { detail: tile }));
  }

  /** A tile that failed is asked for again when it is next drawn. */
  forget(tile) {
    this.tiles.delete(tile.key);
    this.dispatchEvent(new CustomEvent('tile', { detail: tile }));
  }

  trim() {
    for (const [key, tile] of this.tiles) {
      if (this.tiles.size <= MOST) break;
      if (tile.grey) this.tiles.delete(key);
    }
  }

  /** The tile as a canvas, with the present contrast, brightness and gamma. */
  picture(tile) {
    if (tile.drawn === this.tableVersion) return tile.canvas;
    tile.canvas ??= new OffscreenCanvas(tile.width, tile.height);
    const context = tile.canvas.getContext('2d');
    const image = context.createImageData(tile.width, tile.height);
    const out = new Uint32Array(image.data.buffer);
    for (let i = 0; i < out.length; i++) {
      out[i] = (this.table[tile.grey[i]] * 0x010101) | 0xff000000;
    }
    context.putImageData(image, 0, 0);
    tile.drawn = this.tableVersion;
    return tile.canvas;
  }

  /** The grey values of a square at full size. */
  async square(z, y, x, size) {
    const grey = new Uint8Array(size * size);
    const first = (v) => Math.floor(v / TILE) * TILE;
    for (let ty = first(y); ty < y + size; ty += TILE) {
      for (let tx = first(x); tx < x + size; tx += TILE) {
        const tile = await this.wait(z, ty, tx, 1);
        if (!tile.grey) throw new Error('The picture of this patch has not come yet.');
        const top = Math.max(y, ty);
        const bottom = Math.min(y + size, ty + tile.height);
        const left = Math.max(x, tx);
        const right = Math.min(x + size, tx + tile.width);
        for (let row = top; row < bottom; row++) {
          const from = (row - ty) * tile.width + left - tx;
          grey.set(tile.grey.subarray(from, from + right - left), (row - y) * size + left - x);
        }
      }
    }
    return grey;
  }
}
