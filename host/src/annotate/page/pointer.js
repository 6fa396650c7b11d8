// Mouse, pen and fingers on the picture: paint, pan, pinch and wheel, and the brush's cursor. Once
// a pen has painted, one finger moves the picture: it may be the palm of the hand.

const RIGHT = 2;
const MIDDLE = 1;
const PEN_ERASER = 5;

export class Pointer {
  constructor({ host, view, tools, cursor, held, latencies, act }) {
    Object.assign(this, { host, view, tools, cursor, held, latencies, act });
    this.fingers = new Map();
    this.mode = null;
    /** Which pointer the tool follows. */
    this.leader = null;
    this.pen = false;
    this.at = null;
    this.wheelRest = 0;
    host.addEventListener('pointerdown', (event) => this.down(event));
    host.addEventListener('pointermove', (event) => this.move(event));
    host.addEventListener('pointerup', (event) => this.up(event));
    host.addEventListener('pointercancel', (event) => this.up(event, true));
    host.addEventListener('pointerleave', () => this.leave());
    host.addEventListener('contextmenu', (event) => event.preventDefault());
    host.addEventListener('dblclick', () => tools.close());
    host.addEventListener('wheel', (event) => this.wheel(event), { passive: false });
    view.addEventListener('moved', () => this.drawCursor());
    tools.addEventListener('changed', () => this.drawCursor());
  }

  /** The pointer's place in pixels of the patch. */
  point(event) {
    const [x, y] = this.view.toVoxel(event.clientX, event.clientY);
    const { x: left, y: top } = this.view.patch ?? { x: 0, y: 0 };
    return [x - left, y - top];
  }

  down(event) {
    if (event.target.closest('button, input, label, a')) return;
    // A palm beside the pen that paints.
    if (this.mode === 'tool' && !this.fingers.has(this.leader)) return;
    this.host.focus({ preventScroll: true });
    event.preventDefault();
    this.at = event;
    this.host.setPointerCapture(event.pointerId);
    if (event.pointerType === 'pen') this.pen = true;
    if (event.pointerType === 'touch') {
      this.fingers.set(event.pointerId, event);
      if (this.fingers.size === 1 && this.pen) {
        this.mode = 'pan';
        return;
      }
      if (this.fingers.size === 2) {
        if (this.mode === 'tool') this.tools.cancel();
        this.mode = 'pinch';
        return;
      }
    }
    if (this.mode) return;
    const { button } = event;
    if (button === MIDDLE || this.held.space || this.tools.tool === 'pan') {
      this.mode = 'pan';
      this.host.dataset.panning = '';
      return;
    }
    const erase = button === RIGHT || button === PEN_ERASER || this.held.erase;
    this.held.used = true;
    const taken = this.tools.down(this.point(event), { erase, keep: event.shiftKey });
    this.mode = taken ? 'tool' : 'none';
    this.leader = event.pointerId;
    this.tools.flush();
    this.measure(event);
  }

  move(event) {
    if (this.mode === 'tool' && event.pointerId !== this.leader) return;
    const before = this.at;
    this.at = event;
    if (this.mode === 'pinch') {
      this.pinch(event);
    } else if (this.mode === 'pan' && before) {
      this.view.pan(event.clientX - before.clientX, event.clientY - before.clientY);
    } else if (this.mode === 'tool' || this.tools.drawing) {
      const all = event.getCoalescedEvents?.() ?? [];
      this.tools.move((all.length ? all : [event]).map((one) => this.point(one)));
      this.measure(event);
    }
    this.drawCursor();
    this.act.hover(event);
  }

  measure(event) {
    if (this.tools.action?.kind !== 'stroke') return;
    this.latencies.push(performance.now() - event.timeStamp);
    if (this.latencies.length > 5000) this.latencies.splice(0, 2500);
  }

  up(event, cancelled = false) {
    this.fingers.delete(event.pointerId);
    if (this.mode === 'tool' && event.pointerId !== this.leader) return;
    if (this.mode === 'tool') {
      if (cancelled) this.tools.cancel();
      else this.tools.up();
    }
    if (this.mode === 'pinch' && this.fingers.size) return;
    this.mode = null;
    delete this.host.dataset.panning;
  }

  leave() {
    if (this.mode) return;
    this.at = null;
    this.drawCursor();
    this.act.hover(null);
  }

  /** Two fingers: the middle between them pans, their distance zooms. */
  pinch(event) {
    const old = this.fingers.get(event.pointerId);
    const [other] = [...this.fingers.values()].filter((one) => one.pointerId !== event.pointerId);
    if (!old) return;
    this.fingers.set(event.pointerId, event);
    if (!other) return;
    const away = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
    this.view.pan((event.clientX - old.clientX) / 2, (event.clientY - old.clientY) / 2);
    const x = (event.clientX + other.clientX) / 2;
    const y = (event.clientY + other.clientY) / 2;
    this.view.zoomAt(away(event) / Math.max(1, away(old)), x, y);
  }

  wheel(event) {
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 30 : 1;
    const delta = (event.deltaY || event.deltaX) * unit;
    if (event.shiftKey || event.altKey) {
      this.wheelRest += delta;
      while (Math.abs(this.wheelRest) >= 50) {
        const way = Math.sign(this.wheelRest);
        this.wheelRest -= way * 100;
        if (this.wheelRest * way < 0) this.wheelRest = 0;
        if (event.altKey) this.tools.resizeBy(-way);
        else this.act.section(way);
      }
      return;
    }
    const speed = event.ctrlKey ? 0.01 : 0.0016;
    this.view.zoomAt(Math.exp(-delta * speed), event.clientX, event.clientY);
  }

  /** A ring of the brush's true size, or the tool's own cursor. */
  drawCursor() {
    const { view, cursor, host, tools, at } = this;
    const round = tools.tool === 'brush' || tools.tool === 'eraser';
    const panning = this.mode === 'pan' || this.mode === 'pinch' || this.held.space;
    const shown = round && at && !panning && view.onPatchSection;
    cursor.hidden = !shown;
    let shape = shown ? 'none' : 'cross';
    if (panning || tools.tool === 'pan') shape = 'pan';
    else if (!view.onPatchSection && tools.tool !== 'add') shape = 'default';
    host.dataset.cursor = shape;
    if (tools.tool === 'add') this.drawSquare();
    if (tools.tool === 'wand') tools.preview(at && !panning ? this.point(at) : [-1, -1]);
    if (!shown) return;
    const side = Math.max(4, tools.diameter * view.camera.zoom);
    const x = at.clientX - view.rect.left - side / 2;
    const y = at.clientY - view.rect.top - side / 2;
    cursor.style.width = cursor.style.height = `${side}px`;
    cursor.style.transform = `translate(${x}px, ${y}px)`;
    const erase = tools.tool === 'eraser' || this.held.erase;
    cursor.dataset.kind = erase ? 'erase' : tools.class;
  }

  /** Where a new patch would lie. */
  drawSquare() {
    const { view, at } = this;
    const half = view.project.patch / 2;
    const place = at && view.toVoxel(at.clientX, at.clientY).map((v) => Math.round(v - half));
    view.sketch = place ? { square: place } : null;
    view.redraw('sketch');
  }
}
