import { Button, Progress, Select } from 'antd';
import { useEffect, useRef, useState, type ReactNode } from 'react';
import { request } from '../../api/client';
import { PastedTrial } from './pasted';
import type { Firing, TrialOutcome, TrialProgress } from '../../api/rules';
import { list, type LogEvent } from '../../api/types';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { goDuration } from '../../logic/urlstate';
import { sseReader } from '../../logic/sse';
import type { Key } from '../../locales/zh';
import { FieldTable, RawEvent } from '../events';
import { Panel } from '../page';
import { Empty } from '../states';
import { When, WhenFull } from '../time';
import { Token } from '../token';

const SPANS = ['15m', '1h', '6h', '24h', '7d', '30d'] as const;

/** Runs the rule over stored events: how far it has come, then what it would have raised. */
export function Trial({ source, ready, why = 'try.why' }: { source: string; ready: boolean; why?: Key }) {
  const [url, setUrl] = useUrl();
  const pasted = url.get('try') === 'pasted';
  const choice = <TrialChoice pasted={pasted} choose={(p) => setUrl({ try: p ? 'pasted' : undefined })} />;
  return pasted ? <PastedTrial source={source} ready={ready} choice={choice} /> : <StoredTrial source={source} ready={ready} why={why} choice={choice} />;
}

function TrialChoice({ pasted, choose }: { pasted: boolean; choose: (pasted: boolean) => void }) {
  const { t } = useSettings();
  return (
    <>
      {([false, true] as const).map((p) => (
        <button key={String(p)} type="button" className="plain toggle" aria-pressed={p === pasted} onClick={() => choose(p)}>
          {t(p ? 'try.pasted' : 'try.stored')}
        </button>
      ))}
    </>
  );
}

function StoredTrial({ source, ready, why, choice }: { source: string; ready: boolean; why: Key; choice: ReactNode }) {
  const { t, tx, locale } = useSettings();
  const [url, setUrl] = useUrl();
  const since = SPANS.find((s) => s === url.get('over')) ?? '1h';
  const [progress, setProgress] = useState<TrialProgress | null>(null);
  const [outcome, setOutcome] = useState<TrialOutcome | null>(null);
  const [error, setError] = useState('');
  const abort = useRef<AbortController | null>(null);
  useEffect(() => () => abort.current?.abort(), []);

  const run = async () => {
    abort.current?.abort();
    const mine = new AbortController();
    abort.current = mine;
    setOutcome(null);
    setError('');
    setProgress({ events: 0, matches: 0, reached: '', share: 0 });
    try {
      const res = await request('POST', '/rules/try', { body: { source, since: goDuration(since) }, accept: 'text/event-stream', signal: mine.signal });
      const reader = (res.body as ReadableStream<Uint8Array>).getReader();
      const text = new TextDecoder();
      const read = sseReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        for (const sent of read(text.decode(value, { stream: true }))) {
          if (sent.event === 'progress') setProgress(JSON.parse(sent.data) as TrialProgress);
          else if (sent.event === 'result') setOutcome(JSON.parse(sent.data) as TrialOutcome);
          else if (sent.event === 'failed') setError((JSON.parse(sent.data) as { detail: string }).detail);
        }
      }
    } catch (e) {
      if (!mine.signal.aborted) setError(e instanceof Error ? e.message : String(e));
    } finally {
      if (abort.current === mine) {
        abort.current = null;
        setProgress(null);
      }
    }
  };
  const running = progress !== null;
  return (
    <Panel
      id="trial"
      title={t('try.title')}
      end={
        <div className="row">
          {choice}
          <span className="dim">{t('try.over')}</span>
          <Select size="small" value={since} onChange={(v: string) => setUrl({ over: v === '1h' ? undefined : v })} options={SPANS.map((s) => ({ value: s, label: s }))} aria-label={t('try.over')} />
          {running ? (
            <Button size="small" onClick={() => abort.current?.abort()}>
              {t('try.stop')}
            </Button>
          ) : (
            <Button size="small" type="primary" ghost disabled={!ready} onClick={() => void run()}>
              {t('try.do')}
            </Button>
          )}
        </div>
      }
    >
      {!running && !outcome && !error && <div className="dim">{t(why)}</div>}
      {running && (
        <div className="row">
          <Progress percent={Math.round(progress.share * 100)} size="small" style={{ maxWidth: 320 }} />
          <span className="dim">
            {t('try.events')} {number(progress.events, locale)} · {t('try.firings')} {number(progress.matches, locale)}
          </span>
        </div>
      )}
      {error && (
        <div className="notice warn" role="alert">
          {error}
        </div>
      )}
      {outcome && (
        <div data-testid="trial-result">
          <div className="statrow">
            <Figure name={t('try.events')} value={number(outcome.events, locale)} />
            <Figure name={t('try.firings')} value={number(outcome.firings, locale)} id="firings" />
            <Figure name={t('try.alerts')} value={number(outcome.alerts, locale)} />
            <Figure name={t('try.speed')} value={t('try.perSecond', { n: number(Math.round(outcome.per_second), locale) })} />
            <Spark values={list(outcome.buckets)} wide />
          </div>
          {!outcome.whole && (
            <div className="stale">
              <span>{t('try.part', { why: outcome.stopped ? t(`try.${outcome.stopped}`) : '', time: '' })}</span> <WhenFull time={outcome.reached} />
            </div>
          )}
          {outcome.firings === 0 ? <Empty small title={t('try.none')} why={t('try.noneWhy')} /> : <Samples items={list(outcome.samples)} tx={tx} />}
        </div>
      )}
    </Panel>
  );
}

function Figure({ name, value, id }: { name: string; value: string; id?: string }) {
  return (
    <div className="figure">
      <span className="dim">{name}</span>
      <b data-testid={id}>{value}</b>
    </div>
  );
}

/** Firings, each to be opened: what it is about and why it fired. */
export function Samples({ items, tx }: { items: readonly Firing[]; tx: (t: Firing['sentence']) => string }) {
  const { t } = useSettings();
  const [open, setOpen] = useState(0);
  return (
    <div className="samples" aria-label={t('try.samples')}>
      {items.map((f, i) => (
        <div key={i} className="sample">
          <button type="button" className="plain row" aria-expanded={open === i} onClick={() => setOpen(open === i ? -1 : i)}>
            <span>{open === i ? '▾' : '▸'}</span>
            <When time={f.time} />
            <span className="ellipsis grow">{tx(f.sentence)}</span>
            {f.count > 1 && <span className="dim nowrap">{t('try.count', { n: f.count })}</span>}
          </button>
          {open === i && <Sample firing={f} />}
        </div>
      ))}
    </div>
  );
}

function Sample({ firing }: { firing: Firing }) {
  const event = { ...(firing.fields ?? {}) } as LogEvent;
  const raw = String(event['event.original'] ?? event['message'] ?? '');
  delete event['event.original'];
  const evidence = list(firing.evidence);
  return (
    <div style={{ padding: '4px 0 10px 18px' }}>
      <div className="row wrap" style={{ gap: 8, marginBottom: 6 }}>
        {evidence
          .filter((e, i) => evidence.findIndex((x) => x.field === e.field && x.value === e.value) === i)
          .map((e, i) => (
          <span key={i} className="evi">
            <span className="dim mono">{e.field}</span>{' '}
            <mark>
              <Token field={e.field} value={e.value} />
            </mark>
          </span>
        ))}
      </div>
      {raw && <RawEvent raw={raw} evidence={evidence} />}
      {!raw && <FieldTable event={event} evidence={evidence} />}
    </div>
  );
}

/** Counts over time as small bars, zero-based. */
export function Spark({ values, wide, title }: { values: readonly number[]; wide?: boolean; title?: string }) {
  const most = Math.max(...values, 0);
  if (most === 0) return <span className="faint">–</span>;
  const n = values.length;
  return (
    <svg className={wide ? 'spark wide' : 'spark'} viewBox={`0 0 ${n} 20`} preserveAspectRatio="none" role="img" aria-label={title ?? values.join(', ')}>
      <title>{title ?? values.join(', ')}</title>
      {values.map((v, i) => v > 0 && <rect key={i} x={i + 0.1} width={0.8} y={20 - Math.max(1.5, (18 * v) / most)} height={Math.max(1.5, (18 * v) / most)} />)}
      <line x1="0" x2={n} y1="20" y2="20" />
    </svg>
  );
}
