// What the network says of a patch and its surroundings: fetched one request at a time, what is in
// view first, and anew whenever the network has improved.

import * as api from './api.js';
import { clean } from './raster.js';

const MOST_SIDE = 512;
const PAUSE = 700;
const PAUSE_AFTER_FAILURE = 3000;
const KEPT = 24;

export class Proposal extends EventTarget {
  constructor(project) {
    super();
    this.size = project.patch;
    this.shape = project.shape;
    this.version = 0;
    this.answers = new Map();
    this.wanted = [];
    this.running = false;
    this.abort = null;
    document.addEventListener('visibilitychange', () => this.pump());
  }

  /** The patch with a margin of a quarter, as far as the volume and one request reach. */
  region(patch, z) {
    const margin = Math.max(0, Math.min(this.size >> 2, (MOST_SIDE - this.size) >> 1));
    const y = Math.max(0, patch.y - margin);
    const x = Math.max(0, patch.x - margin);
    const h = Math.min(this.shape[1], patch.y + this.size + margin) - y;
    const w = Math.min(this.shape[2], patch.x + this.size + margin) - x;
    return { z, y, x, h, w };
  }

  /** The newest answer there is, perhaps of an earlier network; null if none. */
  get(kind, patch, z = patch.z) {
    return this.answers.get(`${kind}/${patch.id}/${z}`) ?? null;
  }

  /** What is to be fetched, the first first: a list of { kind, patch, z }. */
  want(list) {
    this.wanted = list;
    const [first] = list;
    if (this.abort && first && this.present !== this.name(first) && this.stale(first)) {
      this.abort.abort();
    }
    this.pump();
  }

  improved(version) {
    if (version === this.version) return;
    if (version < this.version) this.answers.clear();
    this.version = version;
    this.pump();
  }

  name({ kind, patch, z }) {
    return `${kind}/${patch.id}/${z}`;
  }

  /** Whether it is to be fetched; what is only prepared for later is fetched once. */
  stale(item) {
    const answer = this.answers.get(this.name(item));
    if (!this.version || document.hidden || (item.once && answer)) return false;
    return !(answer?.version >= this.version);
  }

  async pump() {
    if (this.running) return;
    this.running = true;
    for (let item; (item = this.wanted.find((one) => this.stale(one))); ) {
      const name = this.name(item);
      this.present = name;
      this.abort = new AbortController();
      const asked = this.version;
      let pause = PAUSE;
      try {
        const region = this.region(item.patch, item.z);
        const answer = await this.fetch(region, item.kind, this.abort.signal);
        if (answer) this.keep(name, { region, ...answer, version: answer.version || asked });
        else this.version = 0;
      } catch (error) {
        if (error.name === 'AbortError') continue;
        pause = PAUSE_AFTER_FAILURE;
      }
      this.abort = null;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
    this.running = false;
  }

  /** One request, or several where the region is larger than the server answers at once. */
  async fetch(region, kind, signal) {
    const { z, y, x, h, w } = region;
    const all = new Uint8Array(h * w);
    let version = Infinity;
    for (let top = 0; top < h; top += MOST_SIDE) {
      for (let left = 0; left < w; left += MOST_SIDE) {
        const part = { z, y: y + top, x: x + left };
        part.h = Math.min(MOST_SIDE, h - top);
        part.w = Math.min(MOST_SIDE, w - left);
        const answer = await api.prediction(part, kind, signal);
        if (!answer) return null;
        version = Math.min(version, answer.version);
        for (let row = 0; row < part.h; row++) {
          const line = answer.values.subarray(row * part.w, (row + 1) * part.w);
          all.set(line, (top + row) * w + left);
        }
      }
    }
    return { values: all, version };
  }

  keep(name, answer) {
    this.answers.delete(name);
    this.answers.set(name, answer);
    while (this.answers.size > KEPT) this.answers.delete(this.answers.keys().next().value);
    this.dispatchEvent(new CustomEvent('answer', { detail: { name, answer } }));
  }

  /**
   * 1 where the patch is foreground by the newest answer: where the probability reaches the
   * threshold, without specks of fewer than `least` pixels. Null if there is no answer.
   */
  mask(patch, threshold, least) {
    const answer = this.get('prediction', patch);
    if (!answer) return null;
    const key = `${threshold}/${least}`;
    if (answer.maskKey === key) return answer.mask;
    const { region, values } = answer;
    const side = this.size;
    const mask = new Uint8Array(side * side);
    for (let y = 0; y < side; y++) {
      const from = (patch.y - region.y + y) * region.w + patch.x - region.x;
      for (let x = 0; x < side; x++) mask[y * side + x] = values[from + x] >= threshold ? 1 : 0;
    }
    clean(mask, side, least);
    Object.assign(answer, { mask, maskKey: key });
    return mask;
  }
}
