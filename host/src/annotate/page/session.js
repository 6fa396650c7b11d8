// The patch in view and its way through the states: go, done, skip, undo, and what others did.

import * as api from './api.js';
import { BACKGROUND, FOREGROUND, UNLABELLED } from './labels.js';
import { between, clean } from './raster.js';

/** How many sections away labels may lie that are interpolated. */
const REACH = 8;
/** Milliseconds for which another window is not named again while it paints on. */
const QUIET = 60_000;

export class Session extends EventTarget {
  constructor({ project, view, saver, tools, proposal }) {
    super();
    Object.assign(this, { view, saver, tools, proposal });
    this.id = null;
    /** When another window was last named, by the patch that it painted. */
    this.named = new Map();
    this.take(project);
    tools.addEventListener('stroke', ({ detail }) => this.stroked(detail.labels));
    saver.addEventListener('conflict', ({ detail }) => this.replaced(detail));
  }

  tell(name, detail = {}) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  note(text) {
    this.tell('note', { text });
  }

  // ---- The project ----

  take(project) {
    this.project = project;
    for (const patch of project.patches) {
      const labels = this.saver.get(patch.id);
      if (labels?.wanted) patch.state = labels.wanted;
      // The server may not have the last strokes yet.
      if (labels) patch.touched = labels.values.some((value) => value !== UNLABELLED);
    }
    this.byId = new Map(project.patches.map((patch) => [patch.id, patch]));
    const own = project.patches.filter((patch) => patch.query === null).map((patch) => patch.id);
    const asked = project.query.ids.filter((id) => this.byId.has(id));
    this.list = [...asked, ...own.filter((id) => !asked.includes(id))];
    this.view.frames = project.patches;
    this.view.redraw('labels');
  }

  get patch() {
    return this.byId.get(this.id) ?? null;
  }

  get labels() {
    return this.saver.get(this.id);
  }

  /** Reads the list of patches anew, and the labels that another window has changed. */
  async refresh() {
    const { acknowledged } = this.saver;
    const before = this.project.query.number;
    const project = await api.project();
    if (project.id !== this.project.id) {
      location.reload();
      return;
    }
    this.take(project);
    if (acknowledged === this.saver.acknowledged) await this.follow(project.patches);
    if (project.query.number !== before) {
      this.note(`Query ${project.query.number + 1}: ${project.query.ids.length} new patches.`);
    }
    const left = !this.patch || (project.query.number !== before && this.patch.state !== 'open');
    if (left) this.goFirst();
    else this.view.patch = this.patch;
    this.tell('changed');
  }

  /** Takes over what other windows have painted: the server now has labels with these etags. */
  async follow(strokes) {
    for (const { id, etag } of strokes) {
      const labels = this.saver.get(id);
      const settled = labels && !labels.unsaved && !labels.stroke;
      if (settled && etag && labels.etag !== etag) await this.saver.refresh(labels);
    }
  }

  goFirst() {
    const open = this.list.find((id) => this.byId.get(id).state === 'open');
    this.go(open ?? this.list[0] ?? null);
  }

  // ---- Which patch is in view ----

  async go(id) {
    this.tools.settle();
    this.id = id;
    const { patch } = this;
    this.view.setPatch(patch, patch && this.saver.get(id));
    this.view.fit();
    this.tell('moved');
    if (!patch) return;
    this.tools.prepare(patch).catch(() => {});
    await this.reread(id);
    this.foresee();
  }

  /** Fetches what the next patch will need. */
  foresee() {
    const next = this.byId.get(this.nextOpen);
    if (!next) return;
    this.saver.load(next.id).catch(() => {});
    this.tools.prepare(next).catch(() => {});
  }

  /** Shows the labels of the patch if it is still in view; tries again while they do not come. */
  async reread(id) {
    try {
      const labels = await this.saver.load(id);
      if (this.id !== id) return;
      this.view.setPatch(this.patch, labels);
      this.tell('labels', { id });
    } catch (error) {
      if (this.id !== id) return;
      this.note(error.message);
      if (error.status !== 404) setTimeout(() => this.id === id && this.reread(id), 2500);
    }
  }

  /** The next or previous patch of the list. */
  step(way) {
    const { list } = this;
    if (!list.length) return;
    const at = list.indexOf(this.id);
    const next = at < 0 ? 0 : (at + way + list.length) % list.length;
    this.go(list[next]);
  }

  /** The next open patch after the one in view, if there is any. */
  get nextOpen() {
    const at = this.list.indexOf(this.id);
    const order = [...this.list.slice(at + 1), ...this.list.slice(0, Math.max(0, at))];
    return order.find((id) => this.byId.get(id).state === 'open') ?? null;
  }

  // ---- Answers ----

  /** `done` makes what is left background, as the server does; then comes the next open patch. */
  answer(state) {
    const { patch, labels } = this;
    if (!patch) return;
    if (!labels) {
      this.note('The labels of this patch have not come yet.');
      return;
    }
    this.tools.settle();
    labels.begin();
    if (state === 'done') {
      labels.values.forEach((value, i) => value === UNLABELLED && labels.set(i, BACKGROUND));
    }
    labels.commit({ before: patch.state, after: state });
    this.setState(labels, state);
    this.tell('labels', { id: patch.id });
    const next = this.nextOpen;
    if (next !== null) this.go(next);
    else {
      this.view.refreshLabels();
      this.note('All patches of this query are answered. Ask for the next, or go back to correct.');
    }
  }

  setState(labels, state) {
    const patch = this.byId.get(labels.id);
    labels.wanted = state;
    if (patch) patch.state = state;
    this.saver.changed(labels);
    this.tell('changed');
  }

  /** A stroke has ended: a patch that it leaves unfinished is open again. */
  stroked(labels) {
    const patch = this.byId.get(labels.id);
    const unfinished = patch.state === 'done' && labels.has(UNLABELLED);
    patch.touched = true;
    if (unfinished || patch.state === 'skipped') this.setState(labels, 'open');
    else this.saver.changed(labels);
    this.tell('labels', { id: labels.id });
  }

  undo() {
    this.replay('undo', 'before');
  }

  redo() {
    this.replay('redo', 'after');
  }

  replay(way, side) {
    if (this.tools.cancel() || !this.labels) return;
    const { labels } = this;
    const step = labels[way]();
    if (!step) {
      this.note(`Nothing to ${way} in this patch.`);
      return;
    }
    this.view.refreshLabels();
    if (step.state) this.setState(labels, step.state[side]);
    else this.stroked(labels);
    this.tell('labels', { id: labels.id });
  }

  /** Another window's labels have taken the place of ours. */
  replaced({ patch: labels, dropped, followed }) {
    const inView = labels.id === this.id;
    if (inView) {
      if (!followed) this.tools.cancel();
      this.view.setPatch(this.patch, labels);
    }
    const patch = this.byId.get(labels.id);
    if (patch) patch.touched = labels.values.some((value) => value !== UNLABELLED);
    const which = inView || !patch ? 'this patch' : `a patch in section z ${patch.z}`;
    const back = labels.redoSteps.length ? ' Redo there brings your own strokes back.' : '';
    const isNews = Date.now() - (this.named.get(labels.id) ?? 0) > QUIET;
    this.named.set(labels.id, Date.now());
    if (isNews || !followed) {
      this.note(`Another window changed ${which}; its labels are shown now.${back}`);
    }
    this.tell('labels', { id: labels.id });
    if (dropped) this.refresh().catch(() => {});
  }

  // ---- Patches of the person's own, and neighbouring sections ----

  async add(z, y, x) {
    const [, height, width] = this.project.shape;
    const within = (v, most) => Math.round(Math.min(most - this.project.patch, Math.max(0, v)));
    try {
      const id = await api.addPatch(z, within(y, height), within(x, width));
      await this.refresh();
      this.tools.choose('brush');
      await this.go(id);
    } catch (error) {
      this.note(error.message);
    }
  }

  async remove() {
    try {
      await api.removePatch(this.id);
      await this.refresh();
    } catch (error) {
      this.note(error.message);
    }
  }

  /** Takes foreground over from the section before or after: its labels, else its proposal. */
  async copy(way) {
    const { patch, labels } = this;
    const z = patch ? patch.z + way : -1;
    if (!labels || z < 0 || z >= this.project.shape[0]) {
      this.note('There is no such section.');
      return;
    }
    const same = (one) => one.z === z && one.y === patch.y && one.x === patch.x && one.touched;
    const twin = this.project.patches.find(same);
    try {
      const source = twin
        ? await this.copyLabels(twin.id)
        : await this.copyProposal({ z, y: patch.y, x: patch.x });
      const refusal = this.tools.refusal();
      if (this.id !== patch.id || refusal) return this.note(refusal ?? 'The patch was left.');
      if (!source) return this.note('There is no network yet to propose anything there.');
      this.tools.take(null, (i) => (source(i) ? FOREGROUND : UNLABELLED));
      const what = twin ? 'Labels' : 'The proposal';
      this.note(`${what} of section z ${z} copied where nothing was labelled.`);
    } catch (error) {
      this.note(error.message);
    }
  }

  async copyLabels(id) {
    const { values } = await this.saver.load(id);
    return (i) => values[i] === FOREGROUND;
  }

  async copyProposal({ z, y, x }) {
    const side = this.project.patch;
    const answer = await this.proposal.fetch({ z, y, x, h: side, w: side }, 'prediction');
    if (!answer) return null;
    const mask = answer.values.map((value) => (value >= this.view.threshold ? 1 : 0));
    clean(mask, side, this.view.specks);
    return (i) => mask[i] === 1;
  }

  /** Whether any pixel of a patch is known to be foreground or background. */
  isKnown(patch) {
    const labels = this.saver.get(patch.id);
    return labels ? labels.values.some((value) => value <= FOREGROUND) : patch.known > 0;
  }

  /**
   * The labelled patches { below, above } between which the one in view lies: at its very place if
   * there are such, else those that share most of it, and near ones before far ones. Without them,
   * `missing` says in a sentence what to do.
   */
  get neighbours() {
    const { patch } = this;
    if (!patch) return { missing: 'Choose a patch first.' };
    const side = this.project.patch;
    const near = (way) => this.project.patches.filter((one) => {
      const away = (one.z - patch.z) * way;
      return away > 0 && away <= REACH && shared([patch, one], side) > 0 && this.isKnown(one);
    });
    const [before, after] = [near(-1), near(1)];
    const pairs = before.flatMap((below) => after.map((above) => {
      const area = shared([patch, below, above], side);
      const exact = [below, above].filter((one) => shared([patch, one], side) === side ** 2);
      return { below, above, exact: exact.length, worth: area / (above.z - below.z) };
    }));
    const [best] = pairs
      .filter(({ worth }) => worth > 0)
      .sort((a, b) => b.exact - a.exact || b.worth - a.worth);
    return best ?? { missing: this.whyNoNeighbours(before, after) };
  }

  whyNoNeighbours(before, after) {
    const { z } = this.patch;
    const last = this.project.shape[0] - 1;
    if (z === 0 || z === last) {
      const [which, side, other] = z ? ['last', 'after', z - 1] : ['first', 'before', z + 1];
      const nothing = `Section z ${z} is the ${which}: nothing lies ${side} it.`;
      return last > 0 ? `${nothing} Copy from section z ${other} instead.` : nothing;
    }
    let lacks = 'the patches there share no part of this one';
    if (!before.length || !after.length) {
      const sides = [!before.length && 'before', !after.length && 'after'].filter(Boolean);
      lacks = `there are none within ${REACH} sections ${sides.join(' or ')} it`;
    }
    const needs = `To interpolate, labels of this place are needed before and after section z ${z}`;
    const how = 'go to a section there with , or . and add a patch of your own with D and Enter';
    return `${needs}; ${lacks}. Copy from one side, or ${how}.`;
  }

  /** Fills foreground in between the labels of the sections below and above. */
  async interpolate() {
    const { patch, labels } = this;
    const { below, above, missing } = this.neighbours;
    if (missing) return this.note(missing);
    if (!labels) return this.note('The labels of this patch have not come yet.');
    try {
      const both = await Promise.all([below, above].map(({ id }) => this.saver.load(id)));
      const refusal = this.tools.refusal();
      if (this.id !== patch.id || refusal) return this.note(refusal ?? 'The patch was left.');
      const sides = [below, above].map((one, n) => ({
        values: both[n].values,
        weight: 1 - Math.abs(one.z - patch.z) / (above.z - below.z),
        dy: patch.y - one.y,
        dx: patch.x - one.x,
      }));
      this.fillBetween(between(sides, this.project.patch), `z ${below.z} and z ${above.z}`);
    } catch (error) {
      this.note(error.message);
    }
  }

  /** Takes over what lies `between` two sections, and says what came of it. */
  fillBetween(mask, sections) {
    const { values } = this.labels;
    let text = `Foreground between ${sections} filled where nothing was labelled.`;
    if (mask.every((one) => one === null)) {
      text = `The labels of ${sections} have no place in common here; label more there.`;
    } else if (!mask.includes(1)) {
      text = `Between ${sections}, no foreground is left here: nothing of it overlaps.`;
    } else if (!mask.some((one, i) => one && values[i] === UNLABELLED)) {
      text = `All foreground between ${sections} is labelled already.`;
    } else {
      this.tools.take(null, (i) => (mask[i] ? FOREGROUND : UNLABELLED));
    }
    this.note(text);
  }
}

/** How many pixels of a section all patches cover, seen from above. */
function shared(patches, side) {
  const along = (axis) => {
    const starts = patches.map((patch) => patch[axis]);
    return Math.max(0, side - (Math.max(...starts) - Math.min(...starts)));
  };
  return along('y') * along('x');
}
