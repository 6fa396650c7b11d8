// What the browser keeps, where it lets pages keep anything.

/** Some browsers refuse even the name: the page then works without. */
function kept() {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}

const store = kept();

/** The text of a name; null if there is none. */
export const read = (name) => store?.getItem(name) ?? null;

/** Throws where there is no room or nothing may be kept. */
export function write(name, text) {
  if (!store) throw new Error('This browser keeps nothing for pages.');
  store.setItem(name, text);
}

export const remove = (name) => store?.removeItem(name);

/** All names that begin with `prefix`. */
export const names = (prefix) =>
  Object.keys(store ?? {}).filter((name) => name.startsWith(prefix));
