import { useQuery } from '@tanstack/react-query';
import { Button, Input, type InputRef } from 'antd';
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';
import { Link, useParams } from 'react-router-dom';
import { get } from '../../api/client';
import type { Span, Trace } from '../../api/traces';
import { list } from '../../api/types';
import { copyText, useFeedback } from '../../app/feedback';
import { usePageTitle, useUrl } from '../../app/hooks';
import { useKeys } from '../../app/keys';
import { useSettings } from '../../app/settings';
import { duration, number } from '../../logic/format';
import { CALM } from '../../logic/palette';
import { barOf, heaviest, holds, nextOf, slice, ticks, unfolded, visible, type Stretch } from '../../logic/trace';
import { Failed, Skeleton } from '../../parts/states';
import { WhenFull } from '../../parts/time';
import { ErrorCount } from '../../parts/traces/marks';
import { SpanDetail } from '../../parts/traces/span';

const ROW = 26;
const MARKS = ['critical', 'heaviest'] as const;

export default function TracePage() {
  const { t } = useSettings();
  const { id = '' } = useParams();
  usePageTitle(`${t('page.trace')} ${id.slice(0, 8)}`);
  const query = useQuery({ queryKey: ['trace', id], queryFn: ({ signal }) => get<Trace>(`/traces/${encodeURIComponent(id)}`, {}, signal), staleTime: 30_000 });
  if (!query.data) return <div className="page">{query.error ? <Failed error={query.error} what="page.trace" retry={() => void query.refetch()} /> : <Skeleton lines={16} />}</div>;
  return <Waterfall key={query.data.trace_id} trace={query.data} />;
}

/** One trace as a waterfall. The span chosen, what is marked and the zoom stand in the URL; what is folded does not. */
function Waterfall({ trace }: { trace: Trace }) {
  const { t, locale, dark } = useSettings();
  const { done, failed } = useFeedback();
  const [url, setUrl] = useUrl();
  const spans = useMemo(() => list(trace.spans), [trace]);
  const services = list(trace.services);
  const chosen = url.get('span') ?? '';
  const mark = MARKS.find((m) => m === url.get('mark'));
  const find = url.get('find') ?? '';
  const [folded, setFolded] = useState<ReadonlySet<string>>(new Set());
  const rows = useMemo(() => visible(spans, folded), [spans, folded]);
  const colour = useMemo(() => {
    const palette = CALM[dark ? 'dark' : 'light'];
    return new Map(services.map((s, i) => [s.name, palette[i % palette.length] as string]));
  }, [services, dark]);
  const heavy = useMemo(() => heaviest(spans, 5), [spans]);
  const matching = useMemo(() => (find ? new Set(spans.filter((s) => holds(s, find)).map((s) => s.span_id)) : null), [spans, find]);
  const zoomed = spans.find((s) => s.span_id === url.get('zoom'));
  const view: Stretch = zoomed ? { from: zoomed.offset_ns, to: zoomed.offset_ns + Math.max(1, zoomed.duration_ns) } : { from: 0, to: Math.max(1, trace.duration_ns) };
  const errors = useMemo(() => spans.filter((s) => s.status === 'error').length, [spans]);
  const open = spans.find((s) => s.span_id === chosen);
  const at = rows.findIndex((s) => s.span_id === chosen);

  const box = useRef<HTMLDivElement>(null);
  const findBox = useRef<InputRef>(null);
  const [sight, setSight] = useState({ top: 0, height: 600 });
  useLayoutEffect(() => {
    const el = box.current;
    if (!el) return undefined;
    const look = () => setSight({ top: el.scrollTop, height: el.clientHeight });
    look();
    el.addEventListener('scroll', look, { passive: true });
    const size = new ResizeObserver(look);
    size.observe(el);
    return () => {
      el.removeEventListener('scroll', look);
      size.disconnect();
    };
  }, []);
  const choose = useCallback((s: Span | undefined) => s && setUrl({ span: s.span_id }), [setUrl]);
  // The chosen row comes into sight, out of what folds it away if need be.
  useEffect(() => {
    if (!chosen) return;
    setFolded((f) => unfolded(spans, f, chosen));
  }, [chosen, spans]);
  useEffect(() => {
    const el = box.current;
    if (at < 0 || !el) return;
    const top = at * ROW;
    if (top < el.scrollTop) el.scrollTop = Math.max(0, top - 3 * ROW);
    else if (top + 2 * ROW > el.scrollTop + el.clientHeight) el.scrollTop = top + 4 * ROW - el.clientHeight;
  }, [at]);
  const fold = (s: Span | undefined, shut: boolean) => {
    if (!s || s.children === 0) return;
    setFolded((f) => {
      const n = new Set(f);
      if (shut) n.add(s.span_id);
      else n.delete(s.span_id);
      return n;
    });
  };
  const jump = (meets: (s: Span) => boolean, step: 1 | -1 = 1) => {
    const i = nextOf(spans, open ? spans.indexOf(open) : -1, step, meets);
    choose(spans[i]);
  };
  const matches = (s: Span) => matching?.has(s.span_id) ?? false;
  const zoom = (s: Span | undefined) => setUrl({ zoom: s && s.span_id !== zoomed?.span_id ? s.span_id : undefined });
  const move = (to: number) => choose(rows[Math.max(0, Math.min(rows.length - 1, to))]);
  useKeys({
    j: () => move(at + 1),
    k: () => move(at < 0 ? 0 : at - 1),
    ArrowDown: () => move(at + 1),
    ArrowUp: () => move(at < 0 ? 0 : at - 1),
    ArrowLeft: () => fold(rows[at], true),
    ArrowRight: () => fold(rows[at], false),
    e: () => jump((s) => s.status === 'error'),
    n: () => jump(matches),
    N: () => jump(matches, -1),
    z: () => zoom(open),
    '/': () => findBox.current?.focus(),
    Escape: () => (zoomed ? setUrl({ zoom: undefined }) : setUrl({ span: undefined })),
  });
  const { from, to } = slice(rows.length, ROW, sight.top, sight.height);
  const root = spans[0];
  const axis = ticks(view);
  const logs = trace.logs;
  return (
    <div className="page fill">
      <div className="row" style={{ marginBottom: 4 }}>
        <Link to="/traces">← {t('trace.back')}</Link>
      </div>
      <div className="head" style={{ marginBottom: 6 }}>
        <h1 className="ellipsis">
          {root?.service} <span className="mono" style={{ fontSize: 16, fontWeight: 500 }}>{root?.name}</span>
        </h1>
        <div className="end">
          {logs && (
            <Link to={`/search?${new URLSearchParams({ query: logs.query, start: logs.start, end: logs.end })}`}>
              <Button>{t('trace.logs', { n: logs.count })}</Button>
            </Link>
          )}
          <Button onClick={() => void copyText(trace.trace_id).then(() => done(t('do.copied')), failed)}>{t('trace.copyId')}</Button>
        </div>
      </div>
      <div className="meta" style={{ margin: '0 0 10px' }}>
        <b style={{ color: 'var(--text)', fontSize: 15 }} data-testid="trace-duration">
          {duration(trace.duration_ns, locale)}
        </b>
        <WhenFull time={trace.start} />
        <span>{t('trace.sum', { n: spans.length, s: services.length, d: trace.depth })}</span>
        {errors > 0 && (
          <button className="plain" onClick={() => jump((s) => s.status === 'error')} title={t('trace.nextError')}>
            <span className="status" style={{ color: 'var(--medium)', fontWeight: 600 }}>
              <i className="dot error" /> {t('trace.errorsN', { n: errors })}
            </span>
          </button>
        )}
        <code className="faint">{trace.trace_id}</code>
      </div>
      {(trace.truncated || list(trace.warnings).length > 0) && (
        <div className="stale" role="status">
          <span aria-hidden="true">⚠</span>
          {[trace.truncated ? t('trace.truncated') : '', ...list(trace.warnings)].filter(Boolean).join(' · ')}
        </div>
      )}
      <div className="filters" style={{ marginBottom: 8 }}>
        <FindBox box={findBox} given={find} set={(x) => setUrl({ find: x })} next={() => jump(matches)} />
        {matching && <span className="dim">{t('trace.found', { n: matching.size })}</span>}
        {MARKS.map((m) => (
          <button key={m} className="plain toggle" aria-pressed={mark === m} title={t(`trace.${m}Why`)} onClick={() => setUrl({ mark: mark === m ? undefined : m })}>
            {t(`trace.${m}`)}
          </button>
        ))}
        {errors > 0 && (
          <Button size="small" onClick={() => jump((s) => s.status === 'error')}>
            {t('trace.nextError')} <kbd>e</kbd>
          </Button>
        )}
        <Button size="small" onClick={() => setFolded(folded.size > 0 ? new Set() : new Set(spans.filter((s) => s.children > 0 && s.depth > 0).map((s) => s.span_id)))}>
          {t(folded.size > 0 ? 'trace.unfoldAll' : 'trace.foldAll')}
        </Button>
        {zoomed && (
          <Button size="small" type="primary" ghost onClick={() => setUrl({ zoom: undefined })}>
            {t('trace.zoomOut')}
          </Button>
        )}
        <span className="tags" style={{ marginLeft: 'auto' }}>
          {services.slice(0, 8).map((s) => (
            <span key={s.name} className="tag">
              <i className="swatch" style={{ background: colour.get(s.name) }} />
              {s.name} <span className="faint">{number(s.spans, locale)}</span>
              {s.errors > 0 && <ErrorCount n={s.errors} />}
            </span>
          ))}
          {services.length > 8 && <span className="tag">+{services.length - 8}</span>}
        </span>
      </div>
      <div className="split">
        <div className="panel grow waterfall" style={{ display: 'flex', flexDirection: 'column', overflow: 'hidden' }}>
          <div className="wrow whead" aria-hidden="true">
            <span className="wname">{t('trace.spansLabel')}</span>
            <span className="wbars">
              {axis.map((x) => (
                <span key={x} className="wtick" style={{ left: `${(100 * (x - view.from)) / (view.to - view.from)}%` }}>
                  {duration(x, locale)}
                </span>
              ))}
            </span>
          </div>
          <div className="wbody" ref={box} role="treegrid" aria-label={t('trace.spansLabel')} aria-rowcount={rows.length} tabIndex={0}>
            <div style={{ height: rows.length * ROW, position: 'relative' }}>
              {rows.slice(from, to).map((s, i) => {
                const bar = barOf(s, view);
                const quiet = (matching && !matching.has(s.span_id)) || (mark === 'critical' && !s.critical) || (mark === 'heaviest' && !heavy.has(s.span_id));
                return (
                  <div
                    key={s.span_id}
                    role="row"
                    aria-rowindex={from + i + 1}
                    aria-level={s.depth + 1}
                    aria-expanded={s.children > 0 ? !folded.has(s.span_id) : undefined}
                    aria-selected={s.span_id === chosen}
                    data-span={s.span_id}
                    className={`wrow${s.span_id === chosen ? ' on' : ''}${quiet ? ' quiet' : ''}`}
                    style={{ top: (from + i) * ROW }}
                    onClick={() => choose(s)}
                    onDoubleClick={() => zoom(s)}
                  >
                    <span className="wname" style={{ paddingLeft: 8 + 12 * Math.min(s.depth, 16) }} title={`${s.service} ${s.name}`}>
                      {s.children > 0 ? (
                        <button
                          className={`plain twist${folded.has(s.span_id) ? '' : ' open'}`}
                          aria-label={t(folded.has(s.span_id) ? 'trace.unfold' : 'trace.fold', { x: s.name })}
                          onClick={(e) => {
                            e.stopPropagation();
                            fold(s, !folded.has(s.span_id));
                          }}
                        >
                          ▶
                        </button>
                      ) : (
                        <span className="twist" />
                      )}
                      <i className="swatch" style={{ background: colour.get(s.service) }} />
                      {s.status === 'error' && <i className="dot error" title={s.status_message || t('trace.status.error')} />}
                      {s.orphan && (
                        <span className="faint" title={t('trace.orphan')}>
                          ⌁
                        </span>
                      )}
                      <span className="ellipsis">
                        <b>{s.service}</b> {s.name}
                      </span>
                    </span>
                    <span className="wbars">
                      {bar && (
                        <i className={`wbar${s.status === 'error' ? ' failed' : ''}${mark === 'critical' && s.critical ? ' critical' : ''}`} style={{ left: `${100 * bar.left}%`, width: `${100 * bar.width}%`, background: colour.get(s.service) }} />
                      )}
                      {bar && (
                        <span className="wlen" style={{ left: `${100 * (bar.left + bar.width)}%` }}>
                          {duration(s.duration_ns, locale)}
                        </span>
                      )}
                    </span>
                  </div>
                );
              })}
            </div>
          </div>
          <div className="faint wfoot">{t('trace.keys')}</div>
        </div>
        {open && <SpanDetail trace={trace} span={open} close={() => setUrl({ span: undefined })} zoom={() => zoom(open)} zoomed={zoomed?.span_id === open.span_id} />}
      </div>
    </div>
  );
}

/** Finds in the trace as one types; enter leads to the next. */
function FindBox({ box, given, set, next }: { box: React.RefObject<InputRef>; given: string; set: (x: string) => void; next: () => void }) {
  const { t } = useSettings();
  const [text, setText] = useState(given);
  useEffect(() => setText(given), [given]);
  return (
    <Input
      ref={box}
      allowClear
      aria-label={t('trace.find')}
      placeholder={t('trace.find')}
      value={text}
      suffix={text ? undefined : <kbd>/</kbd>}
      onChange={(e) => {
        setText(e.target.value);
        set(e.target.value.trim());
      }}
      onKeyDown={(e) => {
        if (e.key === 'Enter') next();
        else if (e.key === 'Escape') e.currentTarget.blur();
      }}
      style={{ width: 220 }}
    />
  );
}
