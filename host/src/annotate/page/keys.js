// The keys: what each does, the dialog that lists them, and a cursor that paints without a pointer.

/** Many keyboards have these on Alt or AltGr, which some systems tell as Ctrl and Alt. */
const BRACKETS = /^[[\]{}]$/;

/** The name under which a key press is looked up: `a`, `Shift+a`, `Ctrl+z`, `Home`, `?`. */
function nameOf(event) {
  if (event.altKey) return event.key;
  const letter = /^[a-z]$/i.test(event.key);
  const key = letter ? event.key.toLowerCase() : event.key;
  const shift = event.shiftKey && (letter || key.length > 1) ? 'Shift+' : '';
  return `${event.ctrlKey || event.metaKey ? 'Ctrl+' : ''}${shift}${key === ' ' ? 'Space' : key}`;
}

/** Keys that the control with the focus needs itself. */
function taken(event) {
  const { target } = event;
  if (target.closest('dialog')) return true;
  if (target.closest('button, summary, a')) return event.key === 'Enter' || event.key === ' ';
  if (target.matches('input[type=checkbox]')) return event.key === ' ';
  if (target.matches('input[type=range]')) return /^(Arrow|Page|Home|End)/.test(event.key);
  return false;
}

export class Keys {
  /** `table`: see `keyTable`; a nameless group is not listed. `tapped`: E was pressed alone. */
  constructor({ table, held, cursor, changed, tapped, dialog, singles }) {
    Object.assign(this, { table, held, cursor, changed, tapped, dialog, singles });
    this.commands = new Map();
    for (const [, rows] of table) {
      for (const [keys, , action, repeats] of rows) {
        for (const key of action ? keys : []) this.commands.set(key, { action, repeats });
      }
    }
    document.addEventListener('keydown', (event) => this.down(event));
    document.addEventListener('keyup', (event) => this.up(event));
    window.addEventListener('blur', () => this.release());
    this.list();
  }

  down(event) {
    if (taken(event) || (event.altKey && !BRACKETS.test(event.key))) return;
    const name = nameOf(event);
    const single = !name.startsWith('Ctrl+');
    if (single && !this.singles.checked && /^(Shift\+)?.$/.test(name)) return;
    if (this.cursor.on && this.cursor.key(name, event.repeat)) {
      event.preventDefault();
      return;
    }
    if (name === 'Space') {
      this.held.space = true;
      this.changed();
      event.preventDefault();
      return;
    }
    if (name === 'e' && !event.repeat) {
      Object.assign(this.held, { erase: true, used: false });
      this.pressed = performance.now();
      this.changed();
    }
    const command = this.commands.get(name);
    if (!command) return;
    event.preventDefault();
    if (event.repeat && !command.repeats) return;
    command.action();
  }

  up(event) {
    if (event.key === ' ') {
      this.held.space = false;
      if (this.cursor.on) this.cursor.lift();
    }
    if (event.key.toLowerCase() === 'e') {
      this.held.erase = false;
      if (!this.held.used && performance.now() - this.pressed < 250) this.tapped();
    }
    this.changed();
  }

  release() {
    this.held.space = false;
    this.held.erase = false;
    this.cursor.lift();
    this.changed();
  }

  list() {
    const host = this.dialog.querySelector('#keys-list');
    for (const [title, rows] of this.table.filter(([name]) => name)) {
      const group = document.createElement('section');
      const heading = document.createElement('h3');
      heading.textContent = title;
      const list = document.createElement('dl');
      for (const [keys, text] of rows) {
        const term = document.createElement('dt');
        for (const key of keys) {
          const mark = document.createElement('kbd');
          mark.textContent = pretty(key);
          term.append(mark, ' ');
        }
        const detail = document.createElement('dd');
        detail.textContent = text;
        list.append(term, detail);
      }
      group.append(heading, list);
      host.append(group);
    }
  }
}

const NAMES = { ArrowLeft: '←', ArrowRight: '→', Escape: 'Esc' };

function pretty(key) {
  return key
    .split(/(?<=.)\+(?=.)/)
    .map((part) => NAMES[part] ?? (part.length === 1 ? part.toUpperCase() : part))
    .join(' + ');
}

/** A cursor that the arrows move and the space bar paints with. */
export class Cursor {
  constructor({ view, tools, held, tell }) {
    Object.assign(this, { view, tools, held, tell });
    this.on = false;
    this.painting = false;
    this.at = [view.project.patch / 2, view.project.patch / 2];
  }

  toggle() {
    this.lift();
    this.on = !this.on;
    this.draw();
    this.tell(
      this.on
        ? 'Cursor of the keyboard: arrows move it, Space paints, Enter closes a polygon, K ends it.'
        : 'The keyboard paints no more.',
    );
  }

  key(name, repeated) {
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const far = name.startsWith('Shift+');
    const way = ways[far ? name.slice(6) : name];
    if (way) {
      this.move(way[0] * (far ? 8 : 1), way[1] * (far ? 8 : 1));
      return true;
    }
    if (name === 'Space') {
      if (!repeated) this.press();
      return true;
    }
    return false;
  }

  move(dx, dy) {
    const side = this.view.project.patch;
    const within = (v) => Math.min(side - 0.5, Math.max(0.5, v));
    const [x, y] = this.at.map((v) => Math.floor(v) + 0.5);
    this.at = [within(x + dx), within(y + dy)];
    if (this.painting || this.tools.drawing) this.tools.move([this.at]);
    this.draw();
    this.tell(`Row ${Math.floor(this.at[1])}, column ${Math.floor(this.at[0])}.`, true);
  }

  /** Space: a brush paints while it is held; a lasso begins and ends; else the tool is applied. */
  press() {
    const { tools } = this;
    const lasso = tools.tool === 'lasso' || tools.tool === 'accept';
    if (this.painting && tools.action) {
      if (lasso) this.lift(true);
      return;
    }
    if (!tools.down(this.at, { erase: this.held.erase })) return;
    this.held.used = true;
    tools.flush();
    this.painting = tools.action !== null && !tools.drawing;
    this.draw();
  }

  lift(all = false) {
    const lasso = this.tools.tool === 'lasso' || this.tools.tool === 'accept';
    if (!this.painting || (lasso && !all)) return;
    this.painting = false;
    this.tools.up();
    this.draw();
  }

  draw() {
    this.view.cursor = this.on ? this.at : null;
    this.view.redraw('sketch');
  }
}
