// The card of the network: what it is doing, how its loss falls, and how the rounds went.

import { duration } from './settings.js';

const $ = (id) => document.getElementById(id);
const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 264;
const HEIGHT = 56;

function node(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** A small line chart; with `dots`, a mark at each point. `low` and `high` bound the values. */
function chart(svg, points, { dots = false, low, high }) {
  svg.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
  const xs = points.map(([x]) => x);
  const left = Math.min(...xs);
  const span = Math.max(...xs) - left || 1;
  const toX = (x) => 4 + ((x - left) / span) * (WIDTH - 40);
  const toY = (y) => HEIGHT - 4 - ((y - low) / (high - low || 1)) * (HEIGHT - 10);
  const grid = [low, (low + high) / 2, high].map((y) =>
    node('line', { x1: 0, x2: WIDTH - 32, y1: toY(y), y2: toY(y), class: 'grid' }),
  );
  const path = points.map(([x, y]) => `${toX(x).toFixed(1)},${toY(y).toFixed(1)}`).join(' ');
  const line = node('polyline', { points: path, class: 'line' });
  const marks = dots
    ? points.map(([x, y]) => node('circle', { cx: toX(x), cy: toY(y), r: 3, class: 'mark' }))
    : [];
  const text = (y, at) => {
    const label = node('text', { x: WIDTH - 3, y: at });
    label.textContent = Number(y.toFixed(2));
    return label;
  };
  const labels = [text(high, toY(high) + 5), text(low, toY(low) + 2)];
  svg.replaceChildren(...grid, line, ...marks, ...labels);
}

const caption = (figure, text) => (figure.querySelector('figcaption').textContent = text);

/** Draws a state of the server. */
export function show(state) {
  const { work, network, losses, curve, stop } = state;
  const busy = work.kind === 'learning' || work.kind === 'choosing';
  const parts = [work.text];
  if (work.done !== null && work.done !== undefined) parts.push(`${Math.round(work.done * 100)} %`);
  if (work.seconds_left) parts.push(`${duration(work.seconds_left)} left`);
  $('work-state').textContent = parts.join(' · ');
  if ($('work-state').dataset.kind !== work.kind) $('work-news').textContent = work.text;
  $('work-state').dataset.kind = work.kind;
  $('work-meter').hidden = !busy;
  $('work-meter').firstElementChild.style.width = `${(work.done ?? 0) * 100}%`;
  $('learn').disabled = $('next-query').disabled = busy;
  $('next-query').title = state.next_ready
    ? 'They are chosen already'
    : 'Asks the network as it is now for the patches that would help it most';
  $('cancel').disabled = !busy;
  $('network-state').textContent = network.version
    ? `${network.steps} steps, ${patches(network.labelled_patches)}`
    : 'not trained yet';

  $('loss-figure').hidden = losses.length < 2;
  if (losses.length > 1) {
    const values = losses.map(([, loss]) => loss);
    chart($('loss'), losses, { low: 0, high: Math.max(...values) });
    caption($('loss-figure'), `Loss ${values.at(-1).toFixed(3)}, from ${values[0].toFixed(3)}`);
  }
  const rounds = curve.filter((round) => round.unseen_jaccard !== null);
  $('curve-figure').hidden = !rounds.length;
  if (rounds.length) {
    const points = rounds.map((round) => [round.labelled, round.unseen_jaccard]);
    chart($('curve'), points, { dots: true, low: 0, high: 1 });
    const [labelled, jaccard] = points.at(-1);
    const text = `Jaccard ${jaccard.toFixed(2)} on unseen patches, ${labelled} labelled`;
    caption($('curve-figure'), text);
  }
  $('stop').hidden = !stop;
  if (stop) {
    const advice = stop.advice === 'could_stop' ? ' You could stop here.' : '';
    $('stop').textContent = stop.text + advice;
    $('stop').dataset.advice = stop.advice;
  }
}

const patches = (n) => `${n} patch${n === 1 ? '' : 'es'}`;
