/** How a trace lies on the page: which rows show, where their bars begin and end, what stands out. Pure. */
import type { Span, TraceSummary } from '../api/traces';
import { list } from '../api/types';

/** The spans that show while those in `folded` keep what is below them to themselves. Spans come depth first. */
export function visible(spans: readonly Span[], folded: ReadonlySet<string>): Span[] {
  const out: Span[] = [];
  let below = Infinity;
  for (const s of spans) {
    if (s.depth > below) continue;
    below = folded.has(s.span_id) ? s.depth : Infinity;
    out.push(s);
  }
  return out;
}

/** The spans above this one, the nearest first. */
export function ancestors(spans: readonly Span[], id: string): Span[] {
  const at = spans.findIndex((s) => s.span_id === id);
  const out: Span[] = [];
  let depth = spans[at]?.depth ?? 0;
  for (let i = at - 1; i >= 0 && depth > 0; i--) {
    const s = spans[i] as Span;
    if (s.depth < depth) {
      out.push(s);
      depth = s.depth;
    }
  }
  return out;
}

/** What hides a span is unfolded. */
export function unfolded(spans: readonly Span[], folded: ReadonlySet<string>, id: string): ReadonlySet<string> {
  const above = ancestors(spans, id).filter((s) => folded.has(s.span_id));
  if (above.length === 0) return folded;
  const next = new Set(folded);
  for (const s of above) next.delete(s.span_id);
  return next;
}

/** A stretch of the trace in nanoseconds after its start. */
export interface Stretch {
  from: number;
  to: number;
}

/** Where a bar stands in what is shown, in parts of it (0 to 1); null where it lies outside. Never thinner than can be seen. */
export function barOf(s: Pick<Span, 'offset_ns' | 'duration_ns'>, view: Stretch): { left: number; width: number } | null {
  const whole = Math.max(1, view.to - view.from);
  const from = (s.offset_ns - view.from) / whole;
  const to = (s.offset_ns + s.duration_ns - view.from) / whole;
  if (to < 0 || from > 1) return null;
  const left = Math.min(0.998, Math.max(0, from));
  return { left, width: Math.max(0.002, Math.min(1, to) - left) };
}

/** About four marks for an axis of time, at round places. */
export function ticks(view: Stretch, most = 5): number[] {
  const whole = view.to - view.from;
  if (whole <= 0) return [view.from];
  const rough = whole / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((m) => m * power >= rough) as number) * power;
  const out: number[] = [];
  for (let x = Math.ceil(view.from / step) * step; x <= view.to; x += step) out.push(x);
  return out;
}

/** The spans in which most time goes by themselves: those worth looking at first. */
export function heaviest(spans: readonly Span[], n: number): ReadonlySet<string> {
  return new Set(
    spans
      .filter((s) => s.self_ns > 0)
      .sort((a, b) => b.self_ns - a.self_ns)
      .slice(0, n)
      .map((s) => s.span_id),
  );
}

/** Whether a span's name, service, id, status or attributes hold the text. */
export function holds(s: Span, text: string): boolean {
  const t = text.toLowerCase();
  const has = (v: unknown) => String(v ?? '').toLowerCase().includes(t);
  return has(s.name) || has(s.service) || has(s.span_id) || has(s.status_message) || list(s.attributes).some((a) => has(a.key) || has(textOfValue(a.value)));
}

/** An attribute's value as one text. */
export function textOfValue(v: unknown): string {
  return typeof v === 'string' ? v : JSON.stringify(v) ?? '';
}

/** The next span after `from` that meets a condition, round the end to the beginning; -1 where none does. */
export function nextOf(spans: readonly Span[], from: number, step: 1 | -1, meets: (s: Span) => boolean): number {
  for (let k = 1; k <= spans.length; k++) {
    const i = (((from + k * step) % spans.length) + spans.length) % spans.length;
    if (meets(spans[i] as Span)) return i;
  }
  return -1;
}

/** Rows of a long list that are worth drawing: those in sight and some around. */
export function slice(count: number, row: number, top: number, height: number, spare = 12): { from: number; to: number } {
  const from = Math.max(0, Math.floor(top / row) - spare);
  return { from, to: Math.min(count, Math.ceil((top + height) / row) + spare) };
}

export type TraceOrder = 'newest' | 'longest' | 'errors' | 'spans';

export function ordered(items: readonly TraceSummary[], by: TraceOrder): TraceSummary[] {
  const start = (a: TraceSummary, b: TraceSummary) => Date.parse(b.start) - Date.parse(a.start);
  const how: Record<TraceOrder, (a: TraceSummary, b: TraceSummary) => number> = {
    newest: start,
    longest: (a, b) => b.duration_ns - a.duration_ns || start(a, b),
    errors: (a, b) => b.errors - a.errors || start(a, b),
    spans: (a, b) => b.spans - a.spans || start(a, b),
  };
  return [...items].sort(how[by]);
}

/** A length as one writes it (150ms, 1.5s, 2m) as the API reads it; null where it is none. A bare number is milliseconds. */
export function lengthOf(text: string): string | null {
  const m = /^(\d+(?:\.\d+)?)\s*(ns|us|µs|ms|s|m|h)?$/.exec(text.trim());
  return m ? `${m[1]}${(m[2] ?? 'ms').replace('µ', 'u')}` : null;
}

/** The page of a trace, with a span chosen. */
export const traceLink = (id: string, span = '') => `/traces/${id}${span ? `?span=${encodeURIComponent(span)}` : ''}`;

/** Whether a text is a trace's id: up to 32 hexadecimal digits, not all zero. */
export function traceId(text: string): string {
  const id = text.trim().toLowerCase();
  return /^[0-9a-f]{8,32}$/.test(id) && !/^0+$/.test(id) ? id : '';
}
