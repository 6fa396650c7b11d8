// Starts the page: reads the project, builds the parts, joins them to buttons, sliders and keys.

import * as api from './api.js';
import { keyTable } from './commands.js';
import { Cursor, Keys } from './keys.js';
import { VolumeMap } from './map.js';
import * as network from './network.js';
import { Panel } from './panel.js';
import { Pointer } from './pointer.js';
import { Proposal } from './proposal.js';
import { Saver } from './saver.js';
import { Session } from './session.js';
import { Clock, DEFAULTS, Settings, slider, theme } from './settings.js';
import { TILE, Tiles } from './tiles.js';
import { Tools } from './tools.js';
import { View } from './view.js';

const $ = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const percent = (v) => `${v} %`;

/** The cookie has the token by now; the address is shown, copied and kept in the history. */
function forgetToken() {
  const address = new URL(location.href);
  if (!address.searchParams.has('token')) return;
  address.searchParams.delete('token');
  history.replaceState(null, '', address);
}

/** Reads the project; until askem answers, says so. */
async function firstAnswer() {
  for (;;) {
    try {
      return await api.project();
    } catch (error) {
      $('save-state').dataset.kind = 'problem';
      $('save-state').textContent = `${error.message} Trying again.`;
      await sleep(2000);
    }
  }
}

const project = await firstAnswer();
api.show(project);
forgetToken();
const settings = new Settings();
const held = { space: false, erase: false, used: false };
const latencies = [];
const tiles = new Tiles(project.shape);
const proposal = new Proposal(project);
const saver = new Saver(project);
const view = new View($('view'), project, tiles, proposal);
const tools = new Tools({ view, saver, tiles, proposal });
const session = new Session({ project, view, saver, tools, proposal });
const clock = new Clock(project);
const panel = new Panel({ tiles, saver, go: (id) => session.go(id) });
const map = new VolumeMap({
  canvas: $('map'),
  view,
  tiles,
  go: (id) => session.go(id),
  add: (z, y, x) => session.add(z, y, x),
});

// ---- Sentences ----

let noteTimer = 0;

function note(text) {
  // Shown first: what was hidden when its text changed is not read out.
  $('note').hidden = false;
  $('note').textContent = text;
  clearTimeout(noteTimer);
  noteTimer = setTimeout(() => ($('note').hidden = true), 3000 + 50 * text.length);
}

/** Why news of the server do not come; null if they do. */
let silence = null;

function showSaving() {
  const { kind, error } = saver.state;
  const line = $('save-state');
  let text = kind;
  if (kind === 'problem') {
    text = `not saved: ${error.message} (kept in this browser, trying again)`;
    if (error.status === 0) text = `${error.message} Your last stroke is kept here; trying again.`;
  } else if (silence) {
    text = `${silence} Trying again.`;
  }
  line.dataset.kind = silence ? 'problem' : kind;
  if (line.textContent !== text) line.textContent = text;
}

// ---- Redrawing of the panels ----

function update() {
  const { project: now, patch: current, list, neighbours } = session;
  panel.update({ project: now, current, list, clock, neighbours });
  map.setPatches(now.patches, session.id);
  $('undo').disabled = !session.labels?.undoSteps.length;
  $('redo').disabled = !session.labels?.redoSteps.length;
  $('view').setAttribute(
    'aria-label',
    current ? `Picture of ${$('patch-title').textContent}, section z ${current.z}` : 'Picture',
  );
}

function showLabels(id) {
  panel.overlay(id);
  if (id === session.id) panel.shares(session.labels);
  update();
}

/** What the network is asked for: the patch in view first, then the next one. */
function wantProposals() {
  const { patch } = session;
  if (!patch) return proposal.want([]);
  const list = [{ kind: 'prediction', patch, z: patch.z }];
  const kinds = ['prediction', 'uncertainty'].filter((kind) => view.show[kind]);
  for (const kind of kinds) list.unshift({ kind, patch, z: view.camera.z });
  const next = session.byId.get(session.nextOpen);
  if (next) list.push({ kind: 'prediction', patch: next, z: next.z, once: true });
  return proposal.want(list);
}

function showProposal() {
  const { patch } = session;
  const answer = patch && proposal.get('prediction', patch);
  let text = 'none yet';
  if (answer) text = answer.version >= proposal.version ? 'up to date' : 'being renewed';
  else if (proposal.version) text = 'being computed';
  $('proposal-state').textContent = text;
}

let shownSection = -1;

function moved() {
  const { zoom, z } = view.camera;
  const depth = project.shape[0];
  $('zoom').textContent = percent(Math.round(zoom * 100));
  for (const input of [$('section'), $('map-slider')]) {
    input.max = depth - 1;
    input.value = z;
    input.setAttribute('aria-valuetext', `z ${z} of 0–${depth - 1}`);
    input.style.setProperty('--share', `${(100 * z) / Math.max(1, depth - 1)}%`);
  }
  const own = view.patch ? view.patch.z : z;
  const away = z === own ? '' : ` (${z > own ? '+' : '−'}${Math.abs(z - own)})`;
  $('section-text').textContent = `z ${z} of 0–${depth - 1}${away}`;
  $('map-section').textContent = `section z ${z}`;
  $('home').classList.toggle('primary', z !== own || !view.patchInSight);
  if (shownSection === z) return;
  shownSection = z;
  wantProposals();
  map.setPatches(session.project.patches, session.id);
}

// ---- Tools ----

function showTools() {
  for (const button of document.querySelectorAll('[data-tool]')) {
    button.setAttribute('aria-pressed', button.dataset.tool === tools.tool);
  }
  for (const button of document.querySelectorAll('[data-class]')) {
    button.setAttribute('aria-pressed', button.dataset.class === tools.class);
  }
  for (const part of document.querySelectorAll('[data-for]')) {
    part.hidden = !part.dataset.for.split(' ').includes(tools.tool);
  }
  $('keep').setAttribute('aria-pressed', tools.keep);
  view.redraw('sketch');
}

function chooseClass(name) {
  tools.class = name;
  if (['eraser', 'accept', 'pan', 'add'].includes(tools.tool)) tools.choose('brush');
  tools.tell('changed');
}

function toggleShow(name) {
  view.show[name] = !view.show[name];
  $(`show-${name}`)?.setAttribute('aria-pressed', view.show[name]);
  if (name === 'labels' && !view.show.labels) note('The labels are hidden. I shows them again.');
  view.redraw('labels');
  wantProposals();
}

function toggleKeep() {
  tools.keep = !tools.keep;
  showTools();
}

function moveSection(way) {
  if (tools.action?.kind === 'stroke') tools.up();
  view.section(view.camera.z + way);
}

async function order(name) {
  try {
    await saver.idle();
    await api.order(name);
  } catch (error) {
    note(error.message);
  }
}

const sliders = {
  'brush-size': slider(settings, 'brush-size', (v) => `${v} px`, (v) => {
    if (tools.diameter !== v) tools.resize(v);
  }),
  tolerance: slider(settings, 'tolerance', String, (v) => (tools.tolerance = v)),
  threshold: slider(settings, 'threshold', percent, (v) => {
    view.threshold = Math.ceil((v / 100) * 255);
    view.redraw('labels');
  }),
  specks: slider(settings, 'specks', (v) => (v < 2 ? 'none' : `< ${v} px`), (v) => {
    view.specks = v;
    view.redraw('labels');
  }),
  opacity: slider(settings, 'opacity', percent, (v) => {
    view.opacity = v / 100;
    view.redraw('labels');
  }),
};

function adjust() {
  tiles.adjust(settings.get('contrast'), settings.get('brightness'), settings.get('gamma'));
  view.redraw('image');
  map.redraw();
}

for (const [id, show] of [['contrast', percent], ['brightness', percent], ['gamma', String]]) {
  sliders[id] = slider(settings, id, show, adjust);
}

function resetPicture() {
  for (const id of ['opacity', 'contrast', 'brightness', 'gamma']) sliders[id](DEFAULTS[id]);
}

const cursor = new Cursor({
  view,
  tools,
  held,
  tell: (text, quiet) => (quiet ? ($('pointer-state').textContent = text) : note(text)),
});

function toggleCursor() {
  cursor.toggle();
  $('keyboard').setAttribute('aria-pressed', cursor.on);
  view.host.focus();
}

function escape() {
  if (!tools.cancel() && cursor.on) toggleCursor();
}

function enter() {
  if (tools.close()) return;
  const half = project.patch / 2;
  const { x, y, z } = view.camera;
  if (tools.tool === 'add') session.add(z, y - half, x - half);
  else session.answer('done');
}

// ---- Keys and buttons ----

const commands = {
  choose: (tool) => () => tools.choose(tool),
  chooseClass,
  toggleKeep,
  toggleCursor,
  toggleShow,
  threshold: (way) => sliders.threshold(settings.get('threshold') + way * 5),
  moveSection,
  order,
  escape,
  enter,
  help: () => $('keys').showModal(),
};
const keys = new Keys({
  table: keyTable({ session, tools, view, commands }),
  held,
  cursor,
  changed: () => pointer.drawCursor(),
  tapped: () => tools.choose(tools.tool === 'eraser' ? 'brush' : 'eraser'),
  dialog: $('keys'),
  singles: $('keys-on'),
});
const pointer = new Pointer({
  host: $('view'),
  view,
  tools,
  cursor: $('brush-cursor'),
  held,
  latencies,
  act: { section: moveSection, hover },
});

/** The voxel under the pointer and its grey value, in the line below. */
function hover(event) {
  const [x, y] = event ? view.toVoxel(event.clientX, event.clientY).map(Math.floor) : [-1, -1];
  const [, height, width] = project.shape;
  if (x < 0 || y < 0 || x >= width || y >= height) {
    $('pointer-state').textContent = '';
    return;
  }
  const step = (v) => Math.floor(v / TILE) * TILE;
  const tile = tiles.peek(view.camera.z, step(y), step(x), 1);
  const grey = tile ? `, grey ${tile.grey[(y - tile.y) * tile.width + x - tile.x]}` : '';
  $('pointer-state').textContent = `row ${y}, column ${x}${grey}`;
}

const clicks = {
  undo: () => session.undo(),
  redo: () => session.redo(),
  done: () => session.answer('done'),
  skip: () => session.answer('skipped'),
  back: () => session.step(-1),
  'next-patch': () => session.step(1),
  accept: () => tools.accept(),
  'next-query': () => order('next'),
  learn: () => order('learn'),
  cancel: () => order('cancel'),
  keep: toggleKeep,
  keyboard: toggleCursor,
  help: commands.help,
  'keys-close': () => $('keys').close(),
  'zoom-in': () => view.zoomAt(1.25),
  'zoom-out': () => view.zoomAt(0.8),
  'section-down': () => moveSection(-1),
  'section-up': () => moveSection(1),
  home: () => view.fit(),
  'copy-before': () => session.copy(-1),
  'copy-after': () => session.copy(1),
  interpolate: () => session.interpolate(),
  'remove-patch': () => session.remove(),
  'picture-reset': resetPicture,
  'show-proposal': () => toggleShow('proposal'),
  'show-prediction': () => toggleShow('prediction'),
  'show-uncertainty': () => toggleShow('uncertainty'),
  'hint-close': () => {
    $('hint').hidden = true;
    settings.set('hint', false);
    view.host.focus();
  },
};
for (const [id, action] of Object.entries(clicks)) $(id).addEventListener('click', action);
for (const button of document.querySelectorAll('[data-tool]')) {
  button.addEventListener('click', () => tools.choose(button.dataset.tool));
}
for (const button of document.querySelectorAll('[data-class]')) {
  button.addEventListener('click', () => chooseClass(button.dataset.class));
}
for (const input of [$('section'), $('map-slider')]) {
  input.addEventListener('input', () => view.section(Number(input.value)));
}
$('accept-background').addEventListener('change', (event) => {
  tools.alsoBackground = event.target.checked;
});
$('smooth').checked = view.smooth = settings.get('smooth');
$('smooth').addEventListener('change', (event) => {
  settings.set('smooth', (view.smooth = event.target.checked));
  view.redraw('image');
});
$('keys-on').checked = settings.get('singles');
$('keys-on').addEventListener('change', (event) => settings.set('singles', event.target.checked));
theme(settings, $('theme'), () => view.redraw('image'));

// After a click, the keys are commands again; who moves by Tab keeps the focus.
document.addEventListener('click', (event) => {
  const control = event.target.closest('.bar button, .rail button, .hud button, .side button');
  if (control && event.detail > 0) view.host.focus({ preventScroll: true });
});
document.addEventListener('pointerup', (event) => {
  if (event.target.matches('input[type=range]')) view.host.focus({ preventScroll: true });
});

// ---- What the parts tell each other ----

view.addEventListener('moved', moved);
tools.addEventListener('changed', () => {
  showTools();
  if (settings.get('brush-size') !== tools.diameter) sliders['brush-size'](tools.diameter);
});
tools.addEventListener('hidden', () => toggleShow('labels'));
tools.addEventListener('refused', ({ detail }) => note(detail.text));
tools.addEventListener('add', ({ detail }) => {
  const { x, y } = view.patch ?? { x: 0, y: 0 };
  const half = project.patch / 2;
  session.add(view.camera.z, y + detail.point[1] - half, x + detail.point[0] - half);
});
session.addEventListener('note', ({ detail }) => note(detail.text));
session.addEventListener('changed', update);
session.addEventListener('labels', ({ detail }) => showLabels(detail.id));
session.addEventListener('moved', () => {
  panel.shares(session.labels);
  update();
  wantProposals();
  showProposal();
});
saver.addEventListener('state', showSaving);
saver.addEventListener('note', ({ detail }) => note(detail.text));
proposal.addEventListener('answer', () => {
  view.redraw('labels');
  showProposal();
});
window.addEventListener('beforeunload', (event) => {
  if (saver.unkept && saver.state.kind !== 'saved') event.preventDefault();
});
setInterval(() => {
  clock.tick(session.project.query.number);
  panel.progress(session.project, clock);
}, 1000);

// ---- News of the server ----

let patchesVersion = -1;

async function news(state) {
  network.show(state);
  proposal.improved(state.network.version);
  showProposal();
  $('problem').hidden = !state.problem;
  $('problem').textContent = state.problem ?? '';
  await session.follow(state.strokes);
  if (state.patches_version === patchesVersion) return;
  const [, pool] = await Promise.all([session.refresh(), api.map()]);
  map.setPool(pool);
  patchesVersion = state.patches_version;
}

async function listen() {
  let version = 0;
  for (let failures = 0; ; ) {
    try {
      const state = await api.state(version);
      version = state.version;
      if (silence) {
        // Perhaps another server than before.
        patchesVersion = -1;
        saver.wake();
      }
      silence = null;
      failures = 0;
      showSaving();
      await news(state);
      await sleep(200);
    } catch (error) {
      if (error.status === undefined) console.error(error);
      else silence = error.message;
      failures++;
      version = 0;
      showSaving();
      await sleep(Math.min(5000, 500 * 2 ** failures));
    }
  }
}

const restored = saver.restore();

// For tests: nothing here changes anything.
window.askem = Object.freeze({
  patchToScreen: (x, y) => view.toScreen(view.patch.x + x + 0.5, view.patch.y + y + 0.5),
  labels: () => session.labels.values.slice(),
  /** Once it can be painted. */
  current: () => (session.labels ? session.id : null),
  network: () => proposal.version,
  idle: () => restored.then(() => saver.idle()),
  strokeLatencies: latencies,
});

$('project-name').textContent = project.name;
document.title = `${project.name} - askem annotate`;
$('hint').hidden = !settings.get('hint');
tools.diameter = settings.get('brush-size');
showTools();
showSaving();
session.goFirst();
view.host.focus();
listen();
