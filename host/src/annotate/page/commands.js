// All keys: what they are called, what they do, and whether they repeat while held.

/** Groups of [keys, text, action, repeats]; rows without an action are only listed. */
export function keyTable({ session, tools, view, commands }) {
  const { choose, chooseClass, toggleShow, moveSection, threshold } = commands;
  const pan = (x, y) => () => view.pan(x * 80, y * 80);
  return [
    ['Paint', [
      [['1'], 'Foreground', () => chooseClass('foreground')],
      [['2'], 'Background', () => chooseClass('background')],
      [['3'], 'Unsure: ignored in training', () => chooseClass('unsure')],
      [['r'], 'Brush', choose('brush')],
      [['e'], 'Eraser; held: erase for now (or the right button)'],
      [['l'], 'Lasso: draw around and fill', choose('lasso')],
      [['g'], 'Polygon: click corners, Enter closes', choose('polygon')],
      [['Backspace'], 'Take the last corner back', () => tools.dropKnot()],
      [['w'], 'Wand: similar grey values', choose('wand')],
      [['['], 'Smaller brush (or Alt + wheel)', () => tools.resizeBy(-1), true],
      [[']'], 'Larger brush', () => tools.resizeBy(1), true],
      [['x'], 'Keep labels: do not paint over them (or hold Shift)', commands.toggleKeep],
      [['Ctrl+z'], 'Undo', () => session.undo(), true],
      [['Ctrl+Shift+z', 'Ctrl+y'], 'Redo', () => session.redo(), true],
      [['Escape'], 'Take back what is being drawn', commands.escape],
    ]],
    ['Patches', [
      [['Enter'], 'Done: what is left becomes background', commands.enter],
      [['s'], 'Skip', () => session.answer('skipped')],
      [['ArrowRight', 'n'], 'Next patch', () => session.step(1), true],
      [['ArrowLeft', 'b'], 'Patch before', () => session.step(-1), true],
      [['d'], 'Add a patch of your own: click where, or Enter for the middle', choose('add')],
      [['q'], 'Ask for the next patches', () => commands.order('next')],
    ]],
    ['Proposal', [
      [['a'], 'Accept all where nothing is labelled', () => tools.accept()],
      [['Shift+a'], 'Accept all, and its background too', () => tools.accept(null, true)],
      [['c'], 'Accept inside a lasso', choose('accept')],
      [['t'], 'Interpolate between labelled sections', () => session.interpolate()],
      [['{', '}'], 'Lower or raise the threshold'],
      [['o'], 'Outline of the proposal', () => toggleShow('proposal')],
      [['p'], 'Prediction of the network', () => toggleShow('prediction')],
      [['u'], 'Uncertainty of the network', () => toggleShow('uncertainty')],
      [['i'], 'Hide or show all labels', () => toggleShow('labels')],
    ]],
    ['View', [
      [['+', '-'], 'Zoom (or the wheel)'],
      [['Home', 'f'], 'Back to the patch and its section', () => view.fit()],
      [[',', 'PageUp'], 'Section before (or Shift + wheel)', () => moveSection(-1), true],
      [['.', 'PageDown'], 'Section after', () => moveSection(1), true],
      [['h'], 'Move the picture (or hold Space, or the middle button)', choose('pan')],
      [['Shift+Arrows'], 'Move the picture'],
      [['k'], 'Paint with the keyboard: arrows (Shift: by eight), Space', commands.toggleCursor],
      [['?'], 'This list', commands.help],
    ]],
    [null, [
      [['{'], '', () => threshold(-1), true],
      [['}'], '', () => threshold(1), true],
      [['+', '='], '', () => view.zoomAt(1.25), true],
      [['-'], '', () => view.zoomAt(0.8), true],
      [['Shift+ArrowLeft'], '', pan(1, 0), true],
      [['Shift+ArrowRight'], '', pan(-1, 0), true],
      [['Shift+ArrowUp'], '', pan(0, 1), true],
      [['Shift+ArrowDown'], '', pan(0, -1), true],
    ]],
  ];
}
