import { keepPreviousData, useQueries, useQuery } from '@tanstack/react-query';
import { Button, Dropdown, Select } from 'antd';
import { useState } from 'react';
import { get } from '../../api/client';
import type { Asked } from '../../api/search';
import { list, type Histogram, type LogEvent, type SearchAnswer } from '../../api/types';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { BACK, MOST_VALUES, change, differenceQuery, earlierWindow, type Window } from '../../logic/compare';
import { absolute, number } from '../../logic/format';
import { localTime } from '../../logic/access';
import { figure } from '../../logic/signals';
import { Empty, Failed, Skeleton } from '../states';
import { useDesk } from './desk';

/** The fields that are compared where nobody chose. */
const USUAL = ['event.dataset', 'event.action', 'event.outcome', 'host.name', 'source.ip', 'destination.ip', 'user.name', 'icewatch.tenant'];
const MOST_FIELDS = 12;

export const windowOf = (asked: Asked): Window => [Date.parse(asked.start), Date.parse(asked.end)];

/** The counts of the earlier window that the address names, if it names one. */
export function useEarlier(asked: Asked, live: boolean) {
  const [url] = useUrl();
  const before = earlierWindow(url.get('vs') ?? '', windowOf(asked));
  const then = before ? { ...asked, start: new Date(before[0]).toISOString(), end: new Date(before[1]).toISOString() } : asked;
  const query = useQuery({
    queryKey: ['histogram', then],
    enabled: before !== null && !live,
    queryFn: ({ signal }) => get<Histogram>('/search/histogram', { ...then, buckets: 60 }, signal),
    placeholderData: keepPreviousData,
    gcTime: 60_000,
  });
  return { before, histogram: before ? query.data : undefined, error: before ? query.error : null };
}

/** Chooses the earlier window that this one is held against. */
export function VersusPicker() {
  const { t } = useSettings();
  const [url, setUrl] = useUrl();
  const [open, setOpen] = useState(false);
  const versus = url.get('vs') ?? '';
  const usual = BACK.find((b) => b === versus);
  const [begin, setBegin] = useState(versus && !usual ? absolute(versus).replace(' ', 'T') : '');
  const choose = (vs: string | undefined) => {
    setOpen(false);
    setUrl({ vs, view: vs ? 'compare' : url.get('view') === 'compare' ? undefined : (url.get('view') ?? undefined), live: undefined }, true);
  };
  const name = versus === '' ? t('versus.button') : usual ? t(`versus.${usual}`) : t('versus.from', { x: /^\d{4}-/.test(versus) ? absolute(versus).slice(0, 16) : versus });
  return (
    <Dropdown
      open={open}
      onOpenChange={(o, info) => {
        if (info.source === 'trigger') setOpen(o);
      }}
      trigger={['click']}
      placement="bottomRight"
      popupRender={() => (
        <div className="menu" style={{ position: 'static' }} data-testid="versus">
          <button className="plain" aria-pressed={versus === ''} onClick={() => choose(undefined)}>
            {t('versus.none')}
          </button>
          {BACK.map((b) => (
            <button key={b} className="plain" aria-pressed={versus === b} onClick={() => choose(b)}>
              {t(`versus.${b}`)}
              {versus === b && <span style={{ marginLeft: 'auto' }}>✓</span>}
            </button>
          ))}
          <div style={{ borderTop: '1px solid var(--border)', margin: '6px 0', padding: '8px 10px 4px' }}>
            <label className="dim" htmlFor="versus-begin">
              {t('versus.begin')}
            </label>
            <div className="row" style={{ marginTop: 4 }}>
              <input id="versus-begin" type="datetime-local" step="1" value={begin} onChange={(e) => setBegin(e.target.value)} />
              <Button size="small" type="primary" disabled={localTime(begin) === null} onClick={() => choose(localTime(begin) ?? '')}>
                {t('range.apply')}
              </Button>
            </div>
          </div>
        </div>
      )}
    >
      <Button type={versus ? 'primary' : 'default'} ghost={versus !== ''} aria-pressed={versus !== ''}>
        {name} <span aria-hidden="true">▾</span>
      </Button>
    </Dropdown>
  );
}

/** How a count stands to an earlier one. */
export function Change({ now, before }: { now: number; before: number }) {
  const { t, locale } = useSettings();
  const percent = change(now, before);
  const d = now - before;
  if (d === 0) return <span className="faint">{t('versus.same')}</span>;
  return (
    <span className="nowrap" data-testid="change">
      {d > 0 ? '▲' : '▼'} {number(Math.abs(d), locale)}
      <span className="faint"> {percent === null ? t('versus.new') : now === 0 ? t('versus.gone') : `${d > 0 ? '+' : '−'}${number(Math.round(Math.abs(percent)), locale)}%`}</span>
    </span>
  );
}

/** The values of each field that changed most from the earlier window to this one, counted by the store in both. */
export function CompareView({ asked, fields }: { asked: Asked; fields: readonly string[] }) {
  const { t } = useSettings();
  const [url, setUrl] = useUrl();
  const desk = useDesk();
  const now = windowOf(asked);
  const before = earlierWindow(url.get('vs') ?? '', now);
  const own = (url.get('fields') ?? '').split(',').filter(Boolean);
  const followed = desk?.followed ?? [];
  const chosen = (own.length > 0 ? own : followed.length > 0 ? followed : USUAL.filter((f) => fields.includes(f))).slice(0, MOST_FIELDS);
  const start = before ? new Date(Math.min(now[0], before[0])).toISOString() : asked.start;
  const answers = useQueries({
    queries: chosen.map((field) => ({
      queryKey: ['compare', asked, before, field],
      enabled: before !== null,
      queryFn: async ({ signal }: { signal: AbortSignal }) =>
        list((await get<SearchAnswer>('/search', { ...asked, start, query: differenceQuery(asked.query, field, now, before as Window), limit: MOST_VALUES, history: false }, signal)).items),
      gcTime: 60_000,
      retry: false,
    })),
  });
  if (!before)
    return (
      <div className="panel results">
        <Empty title={t('versus.choose')} why={t('versus.chooseWhy')}>
          <Button onClick={() => setUrl({ vs: 'prev' }, true)}>{t('versus.prev')}</Button>
        </Empty>
      </div>
    );
  return (
    <div className="panel results" data-testid="compare">
      <div className="tailbar">
        <span className="dim">{t('versus.fields')}</span>
        <Select
          aria-label={t('versus.fields')}
          mode="tags"
          size="small"
          value={chosen}
          maxTagCount="responsive"
          maxCount={MOST_FIELDS}
          options={fields.map((f) => ({ value: f, label: f }))}
          onChange={(next: string[]) => setUrl({ fields: next })}
          style={{ minWidth: 260, flex: 1 }}
        />
        <span className="faint nowrap">
          {absolute(new Date(before[0]).toISOString())} – {absolute(new Date(before[1]).toISOString())}
        </span>
      </div>
      {chosen.length === 0 && <Empty small title={t('versus.noFields')} why={t('search.emptyWhy')} />}
      <div className="differences">
        {chosen.map((field, i) => (
          <section key={field} aria-label={field}>
            <h3 className="mono">{field}</h3>
            {answers[i]?.error ? <Failed small error={answers[i]?.error} what="versus.what" retry={() => void answers[i]?.refetch()} /> : !answers[i]?.data ? <Skeleton lines={4} /> : <Differences field={field} rows={answers[i]?.data ?? []} />}
          </section>
        ))}
      </div>
    </div>
  );
}

function Differences({ field, rows }: { field: string; rows: readonly LogEvent[] }) {
  const { t, locale } = useSettings();
  const desk = useDesk();
  if (rows.length === 0) return <div className="faint">{t('search.noValues')}</div>;
  return (
    <table className="data" aria-label={t('versus.of', { x: field })}>
      <thead>
        <tr>
          <th scope="col">{t('versus.value')}</th>
          <th scope="col" className="num">{t('versus.now')}</th>
          <th scope="col" className="num">{t('versus.before')}</th>
          <th scope="col" className="num">{t('versus.change')}</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((r) => {
          const value = String(r[field] ?? '');
          return (
            <tr key={value} data-value={value}>
              <td className="mono">
                <button className="plain only ellipsis" title={t('search.inOut', { x: value })} onClick={(e) => desk?.filter(field, value, e.altKey)}>
                  {value || <span className="faint">{t('versus.without')}</span>}
                </button>
              </td>
              <td className="num">{number(figure(r.rows_now), locale)}</td>
              <td className="num">{number(figure(r.rows_before), locale)}</td>
              <td className="num">
                <Change now={figure(r.rows_now)} before={figure(r.rows_before)} />
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
