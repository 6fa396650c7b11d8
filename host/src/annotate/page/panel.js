// The card of the patch in view: where it is, what is labelled, and the query's other patches.

import { duration } from './settings.js';
import { COLOURS } from './draw.js';
import { BACKGROUND, FOREGROUND, UNSURE } from './labels.js';
import { TILE } from './tiles.js';

const $ = (id) => document.getElementById(id);
const percent = (share) => `${share > 0 && share < 0.01 ? '<1' : Math.round(share * 100)} %`;
const AGAIN = 4000;
const STATES = { open: 'open', done: 'done', skipped: 'skipped' };

/** Scrolls the list, and nothing else, until the item shows. */
function reveal(list, item) {
  const [box, own] = [list.getBoundingClientRect(), item.getBoundingClientRect()];
  if (own.top < box.top) list.scrollTop -= box.top - own.top + 6;
  if (own.bottom > box.bottom) list.scrollTop += own.bottom - box.bottom + 6;
}

export class Panel {
  constructor({ tiles, saver, go }) {
    Object.assign(this, { tiles, saver, go });
    this.buttons = new Map();
    this.pictures = new Map();
    this.seen = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) this.picture(Number(target.dataset.id));
      }
    });
  }

  /** Everything but the pixels: after changes of the project or of the patch in view. */
  update({ project, current, list, clock, neighbours }) {
    this.project = project;
    this.byId = new Map(project.patches.map((patch) => [patch.id, patch]));
    const place = list.indexOf(current?.id);
    const own = current?.query === null;
    let title = `Patch ${place + 1} of ${project.query.ids.length}`;
    if (!current) title = 'No patch';
    else if (own) title = 'Your own patch';
    else if (place < 0) title = `A patch of query ${current.query + 1}`;
    $('patch-title').textContent = title;
    $('patch-state').textContent = current ? STATES[current.state] : '';
    $('patch-state').dataset.state = current?.state ?? '';
    $('patch-place').textContent = current
      ? `Section z ${current.z}, row ${current.y}, column ${current.x}`
      : 'Ask for patches, or add one of your own.';
    for (const id of ['done', 'skip', 'accept']) $(id).disabled = !current;
    this.copies(current, project.shape[0]);
    this.interpolation(neighbours);
    $('back').disabled = $('next-patch').disabled = list.length < 2;
    $('remove-patch').hidden = !(own && current && !current.touched);
    this.list(list, current);
    this.progress(project, clock);
  }

  /** The buttons that copy from the section before and after. */
  copies(current, depth) {
    for (const [id, way] of [['copy-before', -1], ['copy-after', 1]]) {
      const z = current ? current.z + way : -1;
      const there = z >= 0 && z < depth;
      const text = 'the labels of the same place if there are any, else the proposal';
      $(id).disabled = !there;
      $(id).textContent = there ? `z ${z}` : 'none';
      $(id).title = there ? `Copy foreground from section z ${z}: ${text}` : 'No such section';
      $(id).setAttribute('aria-label', there ? `Copy from section z ${z}` : 'No such section');
    }
  }

  /** The button that fills in between two labelled sections, or says why it can't. */
  interpolation({ below, above, missing }) {
    const button = $('interpolate');
    const name = missing ? 'Interpolate' : `Interpolate between z ${below.z} and z ${above.z}`;
    button.disabled = Boolean(missing);
    button.title = missing ?? `${name} where nothing is labelled (T)`;
    button.setAttribute('aria-label', name);
  }

  progress(project, clock) {
    const { ids, number } = project.query;
    const states = ids.map((id) => this.byId.get(id)?.state);
    const answered = states.filter((state) => state && state !== 'open').length;
    const left = ids.length - answered;
    $('query-progress').textContent = ids.length
      ? `Query ${number + 1}: ${answered} of ${ids.length}`
      : 'No query yet';
    const each = project.seconds_per_patch;
    const spent = clock.of(number);
    const parts = spent ? [`${duration(spent)} spent`] : [];
    if (left && each) parts.push(`about ${duration(left * each)} left`);
    $('query-time').textContent = parts.join(', ');
    $('query-meter').style.width = ids.length ? `${(100 * answered) / ids.length}%` : '0';
    this.finished = ids.length > 0 && left === 0;
    $('next-query').classList.toggle('primary', this.finished || !ids.length);
    $('done').classList.toggle('primary', !this.finished);
    $('next-query').textContent = this.finished ? 'Query finished: next patches' : 'Next patches';
  }

  /** The shares of the labels of the patch in view. */
  shares(labels) {
    const shares = labels?.shares() ?? { foreground: 0, background: 0, unsure: 0, unlabelled: 1 };
    $('shares').replaceChildren(
      ...['foreground', 'background', 'unsure'].map((name) => {
        const part = document.createElement('i');
        part.style.width = `${shares[name] * 100}%`;
        part.dataset.class = name;
        return part;
      }),
    );
    const parts = ['foreground', 'background'].map((name) => `${percent(shares[name])} ${name}`);
    if (shares.unsure) parts.push(`${percent(shares.unsure)} unsure`);
    $('patch-shares').textContent = labels
      ? `${parts.join(', ')}, ${percent(shares.unlabelled)} left`
      : 'Reading the labels';
  }

  list(list, current) {
    const host = $('patches');
    const wanted = new Set(list);
    for (const [id, button] of this.buttons) {
      if (wanted.has(id)) continue;
      button.parentElement.remove();
      this.buttons.delete(id);
    }
    list.forEach((id, n) => {
      const patch = this.byId.get(id);
      const button = this.buttons.get(id) ?? this.make(id);
      const item = button.parentElement;
      if (host.children[n] !== item) host.insertBefore(item, host.children[n] ?? null);
      const name = patch.query === null ? 'Own patch' : `Patch ${n + 1}`;
      button.setAttribute('aria-label', `${name}, section z ${patch.z}, ${STATES[patch.state]}`);
      button.title = `${name}: ${STATES[patch.state]}`;
      button.dataset.state = patch.state === 'open' && patch.touched ? 'begun' : patch.state;
      button.toggleAttribute('data-own', patch.query === null);
      if (id === current?.id) {
        const was = button.hasAttribute('aria-current');
        button.setAttribute('aria-current', 'true');
        if (!was) reveal(host, item);
      } else button.removeAttribute('aria-current');
    });
  }

  make(id) {
    const item = document.createElement('li');
    const button = document.createElement('button');
    button.type = 'button';
    button.dataset.id = id;
    button.append(document.createElement('canvas'));
    button.addEventListener('click', () => this.go(id));
    item.append(button);
    this.buttons.set(id, button);
    $('patches').append(item);
    this.seen.observe(button);
    return button;
  }

  /** Draws a small picture of the patch once its tiles are here. */
  async picture(id) {
    const patch = this.byId.get(id);
    const button = this.buttons.get(id);
    if (!patch || !button) return;
    if (patch.touched) this.saver.load(id).then(() => this.overlay(id), () => {});
    const canvas = button.firstElementChild;
    const side = this.project.patch;
    let scale = 1;
    while (side / (scale * 2) >= 96 && scale < 32) scale *= 2;
    canvas.width = canvas.height = Math.ceil(side / scale);
    const context = canvas.getContext('2d', { willReadFrequently: true });
    const step = TILE * scale;
    const first = (v) => Math.floor(v / step) * step;
    for (let y = first(patch.y); y < patch.y + side; y += step) {
      for (let x = first(patch.x); x < patch.x + side; x += step) {
        const tile = await this.tiles.wait(patch.z, y, x, scale);
        if (!tile.grey) {
          setTimeout(() => this.picture(id), AGAIN);
          return;
        }
        const at = [(x - patch.x) / scale, (y - patch.y) / scale];
        context.drawImage(this.tiles.picture(tile), ...at);
      }
    }
    this.pictures.set(id, context.getImageData(0, 0, canvas.width, canvas.height));
    this.overlay(id);
  }

  /** Draws the labels, as far as this page knows them, over the small picture. */
  overlay(id) {
    const picture = this.pictures.get(id);
    const labels = this.saver.get(id);
    const button = this.buttons.get(id);
    if (!picture || !button) return;
    const { width, height } = picture;
    const out = new ImageData(picture.data.slice(), width, height);
    const step = labels ? labels.size / width : 0;
    const names = { [FOREGROUND]: 'foreground', [BACKGROUND]: 'background', [UNSURE]: 'unsure' };
    for (let i = 0; labels && i < width * height; i++) {
      const row = Math.floor(Math.floor(i / width) * step);
      const name = names[labels.values[row * labels.size + Math.floor((i % width) * step)]];
      if (!name) continue;
      const weight = name === 'background' ? 0.25 : 0.6;
      for (let c = 0; c < 3; c++) {
        const j = i * 4 + c;
        out.data[j] = out.data[j] * (1 - weight) + COLOURS[name][c] * weight;
      }
    }
    button.firstElementChild.getContext('2d').putImageData(out, 0, 0);
  }
}
