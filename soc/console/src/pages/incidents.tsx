import { useQuery } from '@tanstack/react-query';
import { Button, Input, type InputRef } from 'antd';
import { useEffect, useMemo, useRef, useState } from 'react';
import { Link, useNavigate } from 'react-router-dom';
import { get, serverNow } from '../api/client';
import { STATUSES, list, type Incident, type Page } from '../api/types';
import { useSettled, useUrl } from '../app/hooks';
import { useKeys } from '../app/keys';
import { useSettings } from '../app/settings';
import { number } from '../logic/format';
import { holdStill } from '../logic/live';
import { parseWords } from '../logic/urlstate';
import { VerdictMark } from '../parts/judgement';
import { KeyMark } from '../parts/keymark';
import { useTenantName } from '../parts/names';
import { Head, Updated } from '../parts/page';
import { Priority, SeverityMark, StatusMark } from '../parts/severity';
import { Empty, Failed, Skeleton, Stale } from '../parts/states';
import { SLAClock, When } from '../parts/time';

const COLUMNS = 'var(--sev-w) 30px minmax(0,1fr) var(--verdict-w) 152px 130px 48px var(--status-w) 64px 116px 72px';

/** The deadline that runs now; none sorts last. */
export function due(i: Incident): number {
  const s = i.sla;
  if (!s || i.status === 'closed') return Infinity;
  const at = s.ack_due && !s.acked_at ? s.ack_due : s.resolve_due;
  return at ? Date.parse(at) : Infinity;
}

export default function Incidents() {
  const { t, tx, locale } = useSettings();
  const navigate = useNavigate();
  const tenantName = useTenantName();
  const [url, setUrl] = useUrl();
  const status = parseWords(url, 'status', STATUSES);
  const mine = url.get('mine') === 'true';
  const archived = url.get('archived') === 'only';
  const keyAssets = url.get('key') === 'true';
  const breaching = url.get('sla') === 'breaching';
  const tenant = url.get('tenant') ?? '';
  const q = url.get('q') ?? '';
  const [text, setText] = useState(q);
  const settled = useSettled(text.trim(), 250);
  useEffect(() => setText(q), [q]);
  useEffect(() => {
    if (settled !== q && settled === text.trim()) setUrl({ q: settled });
  }, [settled]); // eslint-disable-line react-hooks/exhaustive-deps

  const filter = { status: status.length ? status.join(',') : archived ? 'open,acknowledged,closed' : 'open,acknowledged', archived: archived ? 'only' : undefined, mine: mine || undefined, key: keyAssets || undefined, tenant, q, sort: 'due', limit: 200 };
  const key = JSON.stringify(filter);
  const query = useQuery({
    queryKey: ['incidents', key],
    queryFn: ({ signal }) => get<Page<Incident>>('/incidents', filter, signal),
    refetchInterval: 5_000,
  });
  const sorted = useMemo(() => {
    const rows = list(query.data?.items).filter((i) => !breaching || i.sla?.state === 'breached' || i.sla?.state === 'due_soon' || due(i) < serverNow());
    return [...rows].sort((a, b) => due(a) - due(b) || Date.parse(b.opened_at) - Date.parse(a.opened_at));
  }, [query.data, breaching]);
  const [held, setHeld] = useState<{ key: string; rows: Incident[] } | null>(null);
  const view = `${key}${breaching}`;
  useEffect(() => {
    if (query.data && held?.key !== view) setHeld({ key: view, rows: sorted });
  }, [query.data, view, held, sorted]);
  const still = held?.key === view ? holdStill(held.rows, sorted) : { rows: [] as Incident[], waiting: 0 };
  const rows = still.rows;

  const [cursor, setCursor] = useState('');
  const at = rows.findIndex((r) => r.id === cursor);
  const move = (d: number) => {
    const next = rows[Math.max(0, Math.min(rows.length - 1, at + d))];
    if (next) setCursor(next.id);
  };
  const input = useRef<InputRef>(null);
  const table = useRef<HTMLDivElement>(null);
  useEffect(() => table.current?.querySelector('.cursor')?.scrollIntoView({ block: 'nearest' }), [cursor]);
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    Enter: () => rows[at] && navigate(`/incidents/${encodeURIComponent(cursor)}`),
    '/': () => input.current?.focus(),
  });
  const filtered = status.length > 0 || mine || archived || breaching || keyAssets || !!tenant || !!q;
  const clear = () => setUrl({ status: [], mine: undefined, archived: undefined, sla: undefined, key: undefined, tenant: undefined, q: undefined });

  return (
    <div className="page fill">
      <Head title={t('page.incidents')} sub={query.data ? number(rows.length, locale) : ''}>
        <Updated at={query.dataUpdatedAt} />
      </Head>
      <div className="filters" role="search">
        <Input ref={input} allowClear style={{ width: 250 }} placeholder={t('incidents.filter')} aria-label={t('incidents.filter')} value={text} suffix={text ? undefined : <kbd>/</kbd>} onChange={(e) => setText(e.target.value)} />
        {STATUSES.map((s) => (
          <button key={s} className="plain toggle" aria-pressed={status.includes(s)} onClick={() => setUrl({ status: status.includes(s) ? status.filter((x) => x !== s) : [...status, s] })}>
            <StatusMark status={s} />
          </button>
        ))}
        <button className="plain toggle" aria-pressed={mine} onClick={() => setUrl({ mine: mine ? undefined : 'true' })}>
          {t('shift.mine')}
        </button>
        <button className="plain toggle" aria-pressed={breaching} onClick={() => setUrl({ sla: breaching ? undefined : 'breaching' })}>
          {t('shift.breaching')}
        </button>
        <button className="plain toggle" aria-pressed={keyAssets} title={t('key.only')} onClick={() => setUrl({ key: keyAssets ? undefined : 'true' })}>
          ★ {t('key.asset')}
        </button>
        <button className="plain toggle" aria-pressed={archived} onClick={() => setUrl({ archived: archived ? undefined : 'only' })}>
          {t('archive.only')}
        </button>
        {tenant && (
          <span className="chip">
            {tenantName(tenant)}
            <button className="plain" aria-label={t('do.remove', { x: tenantName(tenant) })} onClick={() => setUrl({ tenant: undefined })}>
              ✕
            </button>
          </span>
        )}
        {filtered && (
          <Button type="link" size="small" onClick={clear}>
            {t('do.clear')}
          </Button>
        )}
      </div>
      <Stale query={query} />
      {still.waiting > 0 && (
        <button className="plain newrows" onClick={() => setHeld({ key: view, rows: sorted })}>
          ↑ {t('incidents.new', { n: still.waiting })}
        </button>
      )}
      <div className="split">
        <div className="panel grow" ref={table}>
          {query.isPending ? (
            <Skeleton lines={12} />
          ) : query.error && !query.data ? (
            <Failed error={query.error} what="incidents.what" retry={() => void query.refetch()} />
          ) : rows.length === 0 ? (
            <Empty title={t('incidents.empty')} why={t('incidents.emptyWhy')}>
              {filtered ? <Button onClick={clear}>{t('do.clear')}</Button> : <Link to="/alerts">{t('shift.allAlerts')}</Link>}
            </Empty>
          ) : (
            <div className="list" role="table" aria-label={t('page.incidents')}>
              <div className="line head-line" role="row" style={{ gridTemplateColumns: COLUMNS }}>
                <span role="columnheader">{t('col.severity')}</span>
                <span role="columnheader">
                  <span className="visually-hidden">{t('col.priority')}</span>
                </span>
                <span role="columnheader">{t('col.what')}</span>
                <span role="columnheader">{t('judged.verdict')}</span>
                <span role="columnheader">{t('col.id')}</span>
                <span role="columnheader">{t('col.system')}</span>
                <span role="columnheader" className="num">
                  {t('col.alerts')}
                </span>
                <span role="columnheader">{t('col.status')}</span>
                <span role="columnheader">{t('col.assignee')}</span>
                <span role="columnheader" className="num">
                  {t('col.sla')}
                </span>
                <span role="columnheader" className="num">
                  {t('col.opened')}
                </span>
              </div>
              {rows.map((i) => (
                <div key={i.id} role="row" data-id={i.id} className={`line${i.id === cursor ? ' cursor' : ''}${i.status !== 'open' ? ' done' : ''}`} style={{ gridTemplateColumns: COLUMNS }} onClick={() => setCursor(i.id)}>
                  <SeverityMark level={i.severity} />
                  <Priority value={i.priority} />
                  <Link className="what ellipsis" to={`/incidents/${encodeURIComponent(i.id)}`} title={tx(i.title)}>
                    <KeyMark of={i} />
                    {tx(i.title)}
                  </Link>
                  <span>
                    <VerdictMark value={i.verdict} />
                  </span>
                  <span className="mono dim ellipsis">{i.id}</span>
                  <span className="ellipsis dim" title={i.system?.name}>
                    {i.system?.name || i.ci?.name || tenantName(i.tenant)}
                  </span>
                  <span className="num">{number(i.alert_count, locale)}</span>
                  <StatusMark status={i.status} />
                  <span className="ellipsis dim">{i.assignee || '–'}</span>
                  <span className="num">
                    <SLAClock sla={i.sla} />
                  </span>
                  <span className="num dim">
                    <When time={i.opened_at} age />
                  </span>
                </div>
              ))}
            </div>
          )}
        </div>
      </div>
    </div>
  );
}
