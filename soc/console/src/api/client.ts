import type { Problem } from './types';

/** Every failure of a call: an answer that is no success, or no answer at all (status 0). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly problem: Problem,
    readonly method: string,
    readonly path: string,
    readonly requestId: string,
    /** Seconds to wait, where the server said so. */
    readonly retryAfter?: number,
  ) {
    super(problem.detail || problem.title || (status === 0 ? 'no connection' : `HTTP ${status}`));
  }
  /** The server's word for the case, where it has one. */
  get code(): string {
    return this.problem.code ?? '';
  }
  /** A reading call changes nothing; a failed writing call was refused whole, unless no answer came. */
  get dataSafe(): boolean {
    return this.method === 'GET' || this.status >= 400;
  }
}

export const BASE = '/api/v1';

export type Query = Record<string, string | number | boolean | undefined | null>;

/** The whole address of a call, for links; get, post and their like take the path and the query as they are. */
export function buildPath(path: string, query?: Query): string {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(query ?? {})) {
    if (v !== undefined && v !== null && v !== '') q.set(k, String(v));
  }
  const s = q.toString();
  return BASE + path + (s ? `?${s}` : '');
}

let onUnauthorized: () => void = () => undefined;
/** Names what happens when the session has ended; the shell leads to the sign-in page and back. */
export function whenUnauthorized(f: () => void): void {
  onUnauthorized = f;
}

let seenAs = '';
/** Whose view every reading call asks for; '' for one's own. The server never shows more than the caller's own. */
export function seeAs(username: string): void {
  seenAs = username;
}
/** What belongs to the caller whatever view is asked for. */
const OWN = /^\/(me|auth|ui|branding|access|users|units|roles|reach|settings|setup)\b/;

/** Calls by POST that only read: their question is too long for an address. */
const POST_READS = /^\/graph\/(neighbours|trace)$/;

let confirmIdentity: () => Promise<boolean> = () => Promise.resolve(false);
/** Names what happens when a change wants a fresh proof of who is there: true sends the call again. */
export function whenConfirming(f: () => Promise<boolean>): void {
  confirmIdentity = f;
}

/** Server clock minus this machine's, in milliseconds, from the Date header: an SLA clock must not trust the desk's. */
let skew = 0;
export function serverNow(): number {
  return Date.now() + skew;
}
function learnClock(res: Response): void {
  const date = Date.parse(res.headers.get('Date') ?? '');
  if (!Number.isNaN(date)) {
    const d = date + 500 - Date.now();
    // The header has whole seconds; smaller differences are its rounding.
    skew = Math.abs(d) > 2000 ? d : 0;
  }
}

interface Options {
  query?: Query;
  body?: unknown;
  /** Sent as it is, with this content type, in place of body. */
  raw?: { data: BodyInit; type: string };
  /** What to answer with; JSON where it is not named. */
  accept?: string;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

export async function request(method: string, path: string, o: Options = {}): Promise<Response> {
  const headers: Record<string, string> = { Accept: o.accept ?? 'application/json', ...o.headers };
  // A cross-site form cannot set a header: the server takes this one as proof of our own page.
  if (method !== 'GET') headers['X-Requested-With'] = 'icewatch';
  if ((method === 'GET' || POST_READS.test(path)) && seenAs && !OWN.test(path)) headers['X-Icewatch-See-As'] = seenAs;
  let body: BodyInit | undefined;
  if (o.raw) {
    body = o.raw.data;
    headers['Content-Type'] = o.raw.type;
  } else if (o.body !== undefined) {
    body = JSON.stringify(o.body);
    headers['Content-Type'] = 'application/json';
  }
  let res: Response;
  try {
    res = await fetch(buildPath(path, o.query), { method, headers, body, signal: o.signal, credentials: 'same-origin' });
  } catch (e) {
    if (e instanceof DOMException && e.name === 'AbortError') throw e;
    throw new ApiError(0, {}, method, path, '');
  }
  learnClock(res);
  if (res.ok) return res;
  let problem: Problem = {};
  const text = await res.text().catch(() => '');
  try {
    problem = JSON.parse(text) as Problem;
  } catch {
    problem = { detail: text.slice(0, 300) };
  }
  const id = problem.request_id || res.headers.get('X-Request-Id') || '';
  if (res.status === 401 && !path.startsWith('/auth/')) onUnauthorized();
  if (res.status === 403 && problem.code === 'confirmation_required' && (await confirmIdentity())) return request(method, path, o);
  throw new ApiError(res.status, problem, method, path, id, Number(res.headers.get('Retry-After')) || undefined);
}

async function json<T>(res: Response): Promise<T> {
  if (res.status === 204) return undefined as T;
  const text = await res.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

export async function get<T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> {
  return json<T>(await request('GET', path, { query, signal }));
}
export async function post<T>(path: string, body: unknown = {}, query?: Query): Promise<T> {
  return json<T>(await request('POST', path, { body, query }));
}
export async function patch<T>(path: string, body: unknown): Promise<T> {
  return json<T>(await request('PATCH', path, { body }));
}
export async function put<T>(path: string, body: unknown, query?: Query): Promise<T> {
  return json<T>(await request('PUT', path, { body, query }));
}
export async function del<T = void>(path: string, query?: Query): Promise<T> {
  return json<T>(await request('DELETE', path, { query }));
}
/** Uploads a file and tells how much of it (0 to 1) the server has. */
export async function uploadWatched<T>(path: string, query: Query, file: Blob, progress: (share: number) => void, signal?: AbortSignal): Promise<T> {
  const answer = await new Promise<XMLHttpRequest>((done, fail) => {
    const x = new XMLHttpRequest();
    x.open('POST', buildPath(path, query));
    x.setRequestHeader('Accept', 'application/json');
    x.setRequestHeader('Content-Type', 'application/octet-stream');
    x.setRequestHeader('X-Requested-With', 'icewatch');
    x.upload.onprogress = (e) => e.lengthComputable && progress(e.loaded / e.total);
    x.onload = () => done(x);
    x.onerror = () => fail(new ApiError(0, {}, 'POST', path, ''));
    x.onabort = () => fail(new DOMException('', 'AbortError'));
    signal?.addEventListener('abort', () => x.abort(), { once: true });
    x.send(file);
  });
  // fetch has no progress of what it sends; what was answered goes the way of every other answer.
  if (answer.status < 300) return JSON.parse(answer.responseText) as T;
  let problem: Problem = {};
  try {
    problem = JSON.parse(answer.responseText) as Problem;
  } catch {
    problem = { detail: answer.responseText.slice(0, 300) };
  }
  if (answer.status === 401) onUnauthorized();
  if (answer.status === 403 && problem.code === 'confirmation_required' && (await confirmIdentity())) return uploadWatched(path, query, file, progress, signal);
  throw new ApiError(answer.status, problem, 'POST', path, problem.request_id ?? '');
}
export async function upload<T>(path: string, query: Query, data: BodyInit, type: string): Promise<T> {
  return json<T>(await request('POST', path, { query, raw: { data, type } }));
}
