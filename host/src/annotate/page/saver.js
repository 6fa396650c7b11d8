// Brings strokes to the disk: one request a patch at a time, the newest labels only, and a copy in
// the browser's own store until the server says that they are on the disk.

import * as api from './api.js';
import { Labels, pack, unpack } from './labels.js';
import * as storage from './storage.js';

const PAUSE = 2500;

const same = (a, b) => a.length === b.length && a.every((v, i) => v === b[i]);

export class Saver extends EventTarget {
  constructor(project) {
    super();
    this.size = project.patch;
    this.prefix = `askem:${project.id}:labels:`;
    this.patches = new Map();
    this.loading = new Map();
    this.running = new Set();
    this.problems = new Map();
    this.waiters = [];
    this.wakers = new Set();
    /** Whether the browser once had no room for a stroke. */
    this.unkept = false;
    /** Grows with each acknowledged change: tells old news of the server from new ones. */
    this.acknowledged = 0;
  }

  get(id) {
    return this.patches.get(id) ?? null;
  }

  /** The labels of a patch; what the browser kept of an earlier visit comes before the server's. */
  load(id) {
    if (this.patches.has(id)) return Promise.resolve(this.patches.get(id));
    if (!this.loading.has(id)) {
      this.loading.set(id, this.fetch(id).finally(() => this.loading.delete(id)));
    }
    return this.loading.get(id);
  }

  async fetch(id) {
    const { values, etag } = await api.labels(id);
    const patch = new Labels(id, this.size, values, etag);
    const kept = this.kept(id);
    this.patches.set(id, patch);
    if (!kept) return patch;
    if (kept.etag === etag || same(kept.values, values)) {
      patch.values = kept.values;
      patch.wanted = kept.wanted;
      this.changed(patch);
      this.tell('note', { text: 'Strokes of your last visit that had not been saved are back.' });
    } else {
      patch.base = null;
      patch.replace(values, kept.values);
      this.forget(id);
      this.conflict(patch);
    }
    return patch;
  }

  /**
   * `dropped`: a state that was to be told to the server is not told any more. `followed`: nothing
   * of this window was in the way.
   */
  conflict(patch, { dropped = false, followed = false } = {}) {
    this.tell('conflict', { patch, dropped, followed });
  }

  /** Sends what the browser kept of any patch. */
  async restore() {
    const ids = storage.names(this.prefix).map((name) => Number(name.slice(this.prefix.length)));
    for (const id of ids) {
      while (!this.patches.has(id)) {
        try {
          await this.load(id);
        } catch (error) {
          if (error.status === 404) break;
          await this.pause();
        }
      }
      if (!this.patches.has(id)) this.forget(id);
    }
  }

  kept(id) {
    try {
      const { etag, runs, wanted } = JSON.parse(storage.read(this.prefix + id));
      return { etag, wanted: wanted ?? null, values: unpack(runs, this.size * this.size) };
    } catch {
      return null;
    }
  }

  keep(patch) {
    const { etag, wanted, values } = patch;
    try {
      const text = JSON.stringify({ etag, wanted, runs: pack(values) });
      storage.write(this.prefix + patch.id, text);
    } catch {
      if (this.unkept) return;
      this.unkept = true;
      this.tell('note', { text: 'This browser has no room to keep unsaved strokes.' });
    }
  }

  forget(id) {
    storage.remove(this.prefix + id);
  }

  /** To be called after each change of labels or of `wanted`. */
  changed(patch) {
    patch.revision++;
    this.keep(patch);
    this.run(patch);
  }

  /** Sends a stroke that is still under way. */
  interim(patch) {
    patch.revision++;
    this.run(patch);
  }

  async run(patch) {
    if (this.running.has(patch.id)) return;
    this.running.add(patch.id);
    this.tell('state');
    while (patch.unsaved) {
      try {
        await this.step(patch);
        if (this.problems.delete(patch.id)) this.tell('state');
      } catch (error) {
        this.problems.set(patch.id, error);
        this.keep(patch);
        this.tell('state');
        await this.pause();
      }
    }
    this.running.delete(patch.id);
    this.forget(patch.id);
    this.tell('state');
    if (!this.running.size) this.waiters.splice(0).forEach((done) => done());
  }

  async step(patch) {
    if (patch.revision !== patch.saved) {
      const revision = patch.revision;
      const values = patch.values.slice();
      patch.sent = [...patch.sent.slice(-3), values];
      try {
        patch.etag = await api.putLabels(patch.id, values, patch.etag);
      } catch (error) {
        if (error.status !== 412) throw error;
        await this.settle(patch);
        return;
      }
      patch.sent = [];
      patch.base = values;
      patch.saved = revision;
    } else {
      const wanted = patch.wanted;
      patch.etag = (await api.setState(patch.id, wanted)) ?? patch.etag;
      if (patch.wanted === wanted) patch.wanted = null;
    }
    this.acknowledged++;
  }

  /** After a refusal: another window changed the patch, or an answer to this one was lost. */
  async settle(patch) {
    const { values, etag } = await api.labels(patch.id);
    const mine = patch.values.slice();
    patch.etag = etag;
    const ours = patch.sent.some((sent) => same(values, sent)) || same(values, mine);
    patch.sent = [];
    if (ours) return;
    const dropped = patch.wanted !== null;
    patch.replace(values, mine);
    patch.saved = patch.revision;
    patch.wanted = null;
    this.conflict(patch, { dropped });
  }

  /** The server holds other labels than this page, which has nothing unsaved: take them. */
  async refresh(patch) {
    const { values, etag } = await api.labels(patch.id);
    if (patch.unsaved || patch.stroke) return;
    patch.etag = etag;
    if (same(values, patch.values)) return;
    patch.replace(values);
    this.conflict(patch, { followed: true });
  }

  pause() {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.wakers.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, PAUSE);
      this.wakers.add(wake);
    });
  }

  /** Tries at once again: the server is back. */
  wake() {
    for (const wake of [...this.wakers]) wake();
  }

  /** `saved`, `saving`, or `problem` with the error. */
  get state() {
    const [problem] = this.problems.values();
    if (problem) return { kind: 'problem', error: problem };
    return { kind: this.running.size ? 'saving' : 'saved' };
  }

  idle() {
    if (!this.running.size) return Promise.resolve();
    return new Promise((resolve) => this.waiters.push(resolve));
  }

  tell(name, detail = {}) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
