// The labels of one patch, its strokes, and their undo.

export const BACKGROUND = 0;
export const FOREGROUND = 1;
export const UNSURE = 254;
export const UNLABELLED = 255;

const MOST_STEPS = 300;

export class Labels {
  constructor(id, size, values, etag) {
    this.id = id;
    this.size = size;
    this.values = values;
    this.etag = etag;
    /** What the server acknowledged last; null if strokes of an earlier visit came on top. */
    this.base = values.slice();
    this.undoSteps = [];
    this.redoSteps = [];
    /** Counts changes; `saved` is the revision that is on the disk. */
    this.revision = 0;
    this.saved = 0;
    /** A state to be told to the server after the labels: `done`, `skipped`, `open` or null. */
    this.wanted = null;
    /** What was sent since the last acknowledgement: an answer may have been lost. */
    this.sent = [];
    this.seen = new Uint8Array(size * size);
    this.stroke = null;
  }

  get unsaved() {
    return this.revision !== this.saved || this.wanted !== null;
  }

  begin() {
    if (this.stroke) this.commit();
    this.stroke = { indices: [], before: [] };
  }

  /** Sets a pixel within the stroke; says whether it changed. */
  set(index, value) {
    const old = this.values[index];
    if (old === value) return false;
    if (!this.seen[index]) {
      this.seen[index] = 1;
      this.stroke.indices.push(index);
      this.stroke.before.push(old);
    }
    this.values[index] = value;
    return true;
  }

  /** Ends the stroke as one step of undo; says whether there was anything. `state`: see `undo`. */
  commit(state = null) {
    const { indices, before } = this.stroke ?? { indices: [], before: [] };
    this.stroke = null;
    for (const i of indices) this.seen[i] = 0;
    if (!indices.length && !state) return false;
    this.undoSteps.push({
      indices: Uint32Array.from(indices),
      before: Uint8Array.from(before),
      after: Uint8Array.from(indices, (i) => this.values[i]),
      state,
    });
    if (this.undoSteps.length > MOST_STEPS) this.undoSteps.shift();
    this.redoSteps.length = 0;
    return true;
  }

  /** Takes the stroke under way back. */
  cancel() {
    if (!this.stroke) return;
    const { indices, before } = this.stroke;
    indices.forEach((i, n) => {
      this.values[i] = before[n];
      this.seen[i] = 0;
    });
    this.stroke = null;
  }

  /** Takes the last step back and returns it; its `state` says what to tell the server. */
  undo() {
    if (this.stroke) this.commit();
    const step = this.undoSteps.pop();
    if (!step) return null;
    step.indices.forEach((i, n) => (this.values[i] = step.before[n]));
    this.redoSteps.push(step);
    return step;
  }

  redo() {
    if (this.stroke) this.commit();
    const step = this.redoSteps.pop();
    if (!step) return null;
    step.indices.forEach((i, n) => (this.values[i] = step.after[n]));
    this.undoSteps.push(step);
    return step;
  }

  /** Takes other labels over; redo then brings back what `mine` had changed since `base`. */
  replace(values, mine = null) {
    this.cancel();
    this.undoSteps.length = 0;
    this.redoSteps.length = 0;
    const { base } = this;
    this.values = values;
    this.base = values.slice();
    if (!mine) return;
    const own = (i) => mine[i] !== values[i] && mine[i] !== (base ? base[i] : UNLABELLED);
    const indices = [...mine.keys()].filter(own);
    if (!indices.length) return;
    this.redoSteps.push({
      indices: Uint32Array.from(indices),
      before: Uint8Array.from(indices, (i) => values[i]),
      after: Uint8Array.from(indices, (i) => mine[i]),
      state: null,
    });
  }

  has(value) {
    return this.values.includes(value);
  }

  /** The shares of pixels of each kind. */
  shares() {
    const counts = { foreground: 0, background: 0, unsure: 0, unlabelled: 0 };
    const names = { [FOREGROUND]: 'foreground', [BACKGROUND]: 'background', [UNSURE]: 'unsure' };
    for (const value of this.values) counts[names[value] ?? 'unlabelled']++;
    for (const name of Object.keys(counts)) counts[name] /= this.values.length;
    return counts;
  }
}

/** Runs of equal values as [value, length, value, length, ...]: labels are few and long. */
export function pack(values) {
  const runs = [];
  for (let i = 0; i < values.length; ) {
    let j = i + 1;
    while (j < values.length && values[j] === values[i]) j++;
    runs.push(values[i], j - i);
    i = j;
  }
  return runs;
}

export function unpack(runs, length) {
  const values = new Uint8Array(length);
  let at = 0;
  for (let i = 0; i + 1 < runs.length; i += 2) {
    values.fill(runs[i], at, at + runs[i + 1]);
    at += runs[i + 1];
  }
  if (at !== length) throw new Error(`expected ${length} labels, found ${at}`);
  return values;
}
