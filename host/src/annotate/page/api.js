// The requests of the page. Every answer comes from the program that served the page.

export const NO_ANSWER = 'askem does not answer; is it still running?';

/** A request that failed; `status` is 0 if no answer came. */
export class RequestError extends Error {
  constructor(message, status, body = {}) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

/** The project that the page shows: a server of another one refuses changes. */
let shown = null;

export function show(project) {
  shown = project.id;
}

async function send(method, path, { body, headers = {}, signal, seconds = 30, priority } = {}) {
  const limit = AbortSignal.timeout(seconds * 1000);
  const both = signal ? AbortSignal.any([signal, limit]) : limit;
  const own = method === 'GET' ? {} : { 'X-Askem': '1', 'X-Askem-Project': shown };
  let answer;
  try {
    const all = { ...own, ...headers };
    answer = await fetch(path, { method, body, headers: all, signal: both, priority });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new RequestError(NO_ANSWER, 0);
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  const text = told.error || `askem refused this (status ${answer.status}).`;
  throw new RequestError(text, answer.status, told);
}

/** Reads the body; a connection that breaks meanwhile counts as no answer. */
async function read(answer, how, signal) {
  try {
    return await answer[how]();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new RequestError(NO_ANSWER, 0);
  }
}

const bytes = async (answer, signal) => new Uint8Array(await read(answer, 'arrayBuffer', signal));

export async function project() {
  return read(await send('GET', '/api/project'), 'json');
}

/** Waits up to ten seconds for a state later than `since`. */
export async function state(since) {
  return read(await send('GET', `/api/state?since=${since}`), 'json');
}

export async function labels(id) {
  const answer = await send('GET', `/api/labels?id=${id}`);
  // Without the quotes of the header, as all other answers have it.
  const etag = answer.headers.get('ETag')?.replace(/^W\/|"/g, '');
  return { values: await bytes(answer), etag };
}

/** Answers the new etag once the labels are on the disk. */
export async function putLabels(id, values, etag) {
  const headers = { 'If-Match': etag, 'Content-Type': 'application/octet-stream' };
  const how = { body: values, headers, priority: 'high' };
  return (await read(await send('PUT', `/api/labels?id=${id}`, how), 'json')).etag;
}

export async function setState(id, name) {
  const answer = await send('POST', `/api/patch?id=${id}&state=${name}`, { priority: 'high' });
  return (await read(answer, 'json')).etag;
}

export async function addPatch(z, y, x) {
  return (await read(await send('POST', `/api/patch?z=${z}&y=${y}&x=${x}`), 'json')).id;
}

export async function removePatch(id) {
  await read(await send('DELETE', `/api/patch?id=${id}`), 'text');
}

/** Probabilities of foreground, 0 to 255, or their entropy; null while there is no network. */
export async function prediction({ z, y, x, h, w }, kind, signal) {
  const more = kind === 'uncertainty' ? '&kind=uncertainty' : '';
  const path = `/api/prediction?z=${z}&y=${y}&x=${x}&h=${h}&w=${w}${more}`;
  const answer = await send('GET', path, { signal, seconds: 60, priority: 'low' });
  if (answer.status === 204) return null;
  const version = Number(answer.headers.get('X-Network'));
  return { values: await bytes(answer, signal), version };
}

export async function tile(z, y, x, scale) {
  const answer = await send('GET', `/api/tile?z=${z}&y=${y}&x=${x}&scale=${scale}`);
  return read(answer, 'blob');
}

export async function map() {
  return (await read(await send('GET', '/api/map'), 'json')).patches;
}

/** `next`, `learn` or `cancel`. */
export async function order(name) {
  await read(await send('POST', `/api/${name}`), 'text');
}
