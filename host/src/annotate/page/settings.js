// What a person has set: kept in the browser, shown by sliders, switches and the theme.

import * as storage from './storage.js';

const KEY = 'askem:settings';

export const DEFAULTS = {
  'brush-size': 10,
  tolerance: 14,
  threshold: 50,
  specks: 16,
  opacity: 35,
  contrast: 100,
  brightness: 0,
  gamma: 1,
  smooth: true,
  theme: 'dark',
  hint: true,
  singles: true,
};

export class Settings {
  constructor() {
    this.values = { ...DEFAULTS };
    try {
      Object.assign(this.values, JSON.parse(storage.read(KEY)));
    } catch {
      storage.remove(KEY);
    }
  }

  get(name) {
    return this.values[name];
  }

  set(name, value) {
    this.values[name] = value;
    try {
      storage.write(KEY, JSON.stringify(this.values));
    } catch {
      // The setting then lasts as long as the page.
    }
  }
}

/** Binds a range to a setting; returns a function that moves the slider. */
export function slider(settings, id, show, changed) {
  const input = document.getElementById(id);
  const output = document.querySelector(`output[for=${id}]`);
  const apply = (value) => {
    input.value = value;
    const real = Number(input.value);
    const text = show(real);
    output.textContent = text;
    input.setAttribute('aria-valuetext', text);
    const share = (real - input.min) / (input.max - input.min);
    input.style.setProperty('--share', `${share * 100}%`);
    settings.set(id, real);
    changed(real);
  };
  input.addEventListener('input', () => apply(input.value));
  apply(settings.get(id));
  return apply;
}

const THEMES = ['dark', 'light', 'system'];

/** The switch between dark, light, and what the system prefers. */
export function theme(settings, button, changed) {
  const light = matchMedia('(prefers-color-scheme: light)');
  const apply = () => {
    const chosen = settings.get('theme');
    const now = chosen === 'system' ? (light.matches ? 'light' : 'dark') : chosen;
    document.documentElement.dataset.theme = now;
    const next = THEMES[(THEMES.indexOf(chosen) + 1) % THEMES.length];
    button.setAttribute('aria-label', `Theme: ${chosen}; change to ${next}`);
    button.title = `Theme: ${chosen}. Click for ${next}.`;
    changed();
  };
  light.addEventListener('change', apply);
  button.addEventListener('click', () => {
    settings.set('theme', THEMES[(THEMES.indexOf(settings.get('theme')) + 1) % THEMES.length]);
    apply();
  });
  apply();
}

/** The time a person has worked at each query: counted while there are pointer or key events. */
export class Clock {
  constructor(project) {
    this.key = `askem:${project.name}:seconds`;
    this.last = 0;
    this.seconds = {};
    try {
      Object.assign(this.seconds, JSON.parse(storage.read(this.key)));
    } catch {
      storage.remove(this.key);
    }
    const alive = () => (this.last = performance.now());
    for (const name of ['pointerdown', 'pointermove', 'keydown', 'wheel']) {
      window.addEventListener(name, alive, { passive: true });
    }
  }

  /** Called once a second. */
  tick(query) {
    if (document.hidden || performance.now() - this.last > 20_000 || !this.last) return;
    this.seconds[query] = this.of(query) + 1;
    try {
      storage.write(this.key, JSON.stringify(this.seconds));
    } catch {
      // The time is then counted for this visit only.
    }
  }

  of(query) {
    return this.seconds[query] ?? 0;
  }
}

/** A length of time in words. */
export function duration(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
