import { useQuery } from '@tanstack/react-query';
import { Button, Input, type InputRef } from 'antd';
import { useEffect, useMemo, useRef, useState } from 'react';
import { Link, useNavigate } from 'react-router-dom';
import { get, post, serverNow } from '../api/client';
import { useCan } from '../api/queries';
import { STATUSES, list, type Incident, type Page } from '../api/types';
import { useFeedback } from '../app/feedback';
import { useNarrow, useSettled, useUrl } from '../app/hooks';
import { useKept } from '../app/kept';
import { useKeys } from '../app/keys';
import { useColumns } from '../app/preferences';
import { useSettings } from '../app/settings';
import { least, tracks } from '../logic/columns';
import { number } from '../logic/format';
import { holdStill } from '../logic/live';
import { parseWords } from '../logic/urlstate';
import { AssignButton, CloseDialog, useRefreshCases } from '../parts/acting';
import { ColumnChooser, ColumnHead, type ListColumn } from '../parts/columns';
import { VerdictMark } from '../parts/judgement';
import { DataFilter, DataMark } from '../parts/datamark';
import { KeyMark } from '../parts/keymark';
import { useTenantName } from '../parts/names';
import { Head, Updated } from '../parts/page';
import { Priority, SeverityMark, StatusMark } from '../parts/severity';
import { Empty, Failed, Skeleton, Stale } from '../parts/states';
import { SLAClock, When } from '../parts/time';
import { Token } from '../parts/token';
import { Views } from '../parts/views';

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
  const dataLevels = (url.get('data_level') ?? '').split(',').filter(Boolean);
  const breaching = url.get('sla') === 'breaching';
  const tenant = url.get('tenant') ?? '';
  const q = url.get('q') ?? '';
  const [text, setText] = useState(q);
  const settled = useSettled(text.trim(), 250);
  useEffect(() => setText(q), [q]);
  useEffect(() => {
    if (settled !== q && settled === text.trim()) setUrl({ q: settled });
  }, [settled]); // eslint-disable-line react-hooks/exhaustive-deps

  const filter = { status: status.length ? status.join(',') : archived ? 'open,acknowledged,closed' : 'open,acknowledged', archived: archived ? 'only' : undefined, mine: mine || undefined, key: keyAssets || undefined, data_level: dataLevels.join(',') || undefined, tenant, q, sort: 'due', limit: 200 };
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

  const [cursor, setCursor] = useKept('row', '');
  const at = rows.findIndex((r) => r.id === cursor);
  const move = (d: number) => {
    const next = rows[Math.max(0, Math.min(rows.length - 1, at + d))];
    if (next) setCursor(next.id);
  };
  const can = useCan();
  const respond = can('respond');
  const { done, failed } = useFeedback();
  const refresh = useRefreshCases();
  const [busy, setBusy] = useState(false);
  const [closing, setClosing] = useState<string[] | null>(null);
  const [selected, setSelected] = useState<Set<string>>(new Set());
  useEffect(() => setSelected(new Set()), [view]);
  const toggle = (id: string) =>
    setSelected((s) => {
      const n = new Set(s);
      if (!n.delete(id)) n.add(id);
      return n;
    });
  const ids = selected.size > 0 ? rows.filter((r) => selected.has(r.id)).map((r) => r.id) : rows[at] ? [cursor] : [];
  /** One after the other: each is judged by itself, and one that is refused stops none of the others. */
  const batch = async (which: readonly string[], action: string, body: object, said: (n: number) => string, undo?: (changed: string[]) => void) => {
    setBusy(true);
    const changed: string[] = [];
    const refused: unknown[] = [];
    for (const id of which) {
      try {
        await post(`/incidents/${encodeURIComponent(id)}/${action}`, body);
        changed.push(id);
      } catch (e) {
        refused.push(e);
      }
    }
    setBusy(false);
    refresh();
    setSelected(new Set());
    if (changed.length > 0) done(said(changed.length), undo && (() => undo(changed)));
    if (refused.length > 0) failed(which.length === 1 ? refused[0] : new Error(t('incidents.refused', { n: refused.length, x: refused[0] instanceof Error ? refused[0].message : String(refused[0]) })));
  };
  const reopen = (which: string[]) => void batch(which, 'reopen', {}, (n) => t('incidents.reopenedN', { n }));
  const acknowledge = (which: string[]) => void batch(which, 'acknowledge', { comment: '' }, (n) => t('incidents.ackedN', { n }), reopen);
  const input = useRef<InputRef>(null);
  const table = useRef<HTMLDivElement>(null);
  useEffect(() => {
    table.current?.querySelector('.cursor')?.scrollIntoView({ block: 'nearest' });
  }, [cursor, rows.length > 0]); // eslint-disable-line react-hooks/exhaustive-deps
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    Enter: () => rows[at] && navigate(`/incidents/${encodeURIComponent(cursor)}`),
    a: () => respond && ids.length > 0 && acknowledge(ids),
    e: () => respond && ids.length > 0 && setClosing(ids),
    x: () => rows[at] && toggle(cursor),
    Escape: () => setSelected(new Set()),
    '/': () => input.current?.focus(),
  });
  const all: ListColumn<Incident>[] = [
    { key: 'severity', title: t('col.severity'), track: 'var(--sev-w)', usual: true, render: (i) => <SeverityMark level={i.severity} /> },
    { key: 'priority', title: t('col.priority'), mute: true, track: '30px', usual: true, render: (i) => <Priority value={i.priority} /> },
    {
      key: 'what',
      title: t('col.what'),
      track: 'minmax(220px,1fr)',
      usual: true,
      fixed: true,
      render: (i) => (
        <Link className="what clamp2" to={`/incidents/${encodeURIComponent(i.id)}`} title={tx(i.title)}>
          <KeyMark of={i} />
          <DataMark of={i} />
          {tx(i.title)}
        </Link>
      ),
    },
    { key: 'verdict', title: t('judged.verdict'), track: 'var(--verdict-w)', usual: true, render: (i) => <VerdictMark value={i.verdict} /> },
    { key: 'id', title: t('col.id'), track: '140px', usual: true, roomy: 1, render: (i) => <span className="mono">{i.id}</span> },
    { key: 'system', title: t('col.system'), track: '120px', usual: true, roomy: 2, render: (i) => <span title={i.system?.name}>{i.system?.name || i.ci?.name || tenantName(i.tenant)}</span> },
    { key: 'tenant', title: t('col.tenant'), track: '130px', usual: false, render: (i) => tenantName(i.tenant) },
    { key: 'attackers', title: t('judged.attacker'), track: '130px', usual: false, render: (i) => <Attackers of={i} /> },
    { key: 'techniques', title: t('alert.techniques'), track: '130px', usual: false, render: (i) => <span className="mono">{list(i.techniques).join(' ') || '–'}</span> },
    { key: 'alerts', title: t('col.alerts'), track: '48px', usual: true, num: true, render: (i) => number(i.alert_count, locale) },
    { key: 'status', title: t('col.status'), track: 'var(--status-w)', usual: true, render: (i) => <StatusMark status={i.status} /> },
    { key: 'resolution', title: t('act.resolution'), track: '90px', usual: false, render: (i) => (i.resolution ? t(`resolution.${i.resolution}`) : '–') },
    { key: 'assignee', title: t('col.assignee'), track: '64px', usual: true, render: (i) => i.assignee || '–' },
    { key: 'owner', title: t('col.owner'), track: '90px', usual: false, render: (i) => i.owner || '–' },
    { key: 'sla', title: t('col.sla'), track: '116px', usual: true, num: true, render: (i) => <SLAClock sla={i.sla} /> },
    { key: 'lastSeen', title: t('col.lastSeen'), track: '72px', usual: false, num: true, render: (i) => <When time={i.last_seen} age /> },
    { key: 'opened', title: t('col.opened'), track: '72px', usual: true, num: true, render: (i) => <When time={i.opened_at} age /> },
  ];
  const columns = useColumns('incidents', all, [useNarrow(1500), useNarrow(1180)].filter(Boolean).length as 0 | 1 | 2);
  const shown = columns.shown.flatMap((c) => all.filter((s) => s.key === c.key));
  const grid = `14px ${tracks(columns.shown, all)}`;
  const filtered = status.length > 0 || mine || archived || breaching || keyAssets || dataLevels.length > 0 || !!tenant || !!q;
  const clear = () => setUrl({ status: [], mine: undefined, archived: undefined, sla: undefined, key: undefined, tenant: undefined, q: undefined });

  return (
    <div className="page fill">
      <Head title={t('page.incidents')} sub={query.data ? number(rows.length, locale) : ''}>
        <Updated at={query.dataUpdatedAt} />
        <ColumnChooser columns={columns} all={all} />
        <Views page="incidents" columns={columns} />
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
        <DataFilter value={dataLevels} set={(x) => setUrl({ data_level: x.join(',') || undefined })} />
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
            <div className="list" style={{ minWidth: least(columns.shown, all, 14 + 28 + 12 * shown.length) }} role="table" aria-label={t('page.incidents')}>
              <div className="line head-line" role="row" style={{ gridTemplateColumns: grid }}>
                <span role="columnheader">
                  <input type="checkbox" aria-label={t('do.selectAll')} checked={selected.size > 0 && selected.size === rows.length} onChange={(e) => setSelected(new Set(e.target.checked ? rows.map((r) => r.id) : []))} />
                </span>
                {shown.map((c) => (
                  <ColumnHead key={c.key} column={c} columns={columns} />
                ))}
              </div>
              {rows.map((i) => (
                <div
                  key={i.id}
                  role="row"
                  data-id={i.id}
                  aria-selected={i.id === cursor}
                  className={`line${i.id === cursor ? ' cursor' : ''}${i.status !== 'open' ? ' done' : ''}`}
                  style={{ gridTemplateColumns: grid }}
                  onClick={() => setCursor(i.id)}
                  onDoubleClick={() => navigate(`/incidents/${encodeURIComponent(i.id)}`)}
                >
                  <span role="cell">
                    <input type="checkbox" aria-label={t('do.selectOne', { x: i.id })} checked={selected.has(i.id)} onChange={() => toggle(i.id)} onClick={(e) => e.stopPropagation()} />
                  </span>
                  {shown.map((c) => (
                    <span key={c.key} role="cell" className={c.num ? 'num dim' : c.key === 'status' || c.key === 'severity' || c.key === 'verdict' || c.key === 'priority' ? '' : c.fixed ? '' : 'ellipsis dim'}>
                      {c.render(i)}
                    </span>
                  ))}
                </div>
              ))}
              {selected.size > 0 && (
                <div className="batch" role="toolbar" aria-label={t('incidents.selected', { n: selected.size })}>
                  <b>{t('incidents.selected', { n: selected.size })}</b>
                  {respond && (
                    <>
                      <Button type="primary" loading={busy} onClick={() => acknowledge(ids)}>
                        {t('incidents.ackN', { n: selected.size })}
                      </Button>
                      <AssignButton assign={(assignee) => void batch(ids, 'assign', { assignee }, (n) => t('incidents.assignedN', { n, x: assignee }))} />
                      <Button onClick={() => setClosing(ids)}>{t('incidents.closeN', { n: selected.size })}</Button>
                    </>
                  )}
                  <Button type="text" onClick={() => setSelected(new Set())}>
                    {t('alerts.unselect')}
                  </Button>
                </div>
              )}
            </div>
          )}
        </div>
      </div>
      {closing && (
        <CloseDialog
          title={t('incidents.closeN', { n: closing.length })}
          withAlerts
          cancel={() => setClosing(null)}
          submit={(resolution, comment, alerts) => batch(closing, 'close', { resolution, comment, close_alerts: alerts }, (n) => t('incidents.closedN', { n, r: t(`resolution.${resolution}`) }), reopen)}
        />
      )}
    </div>
  );
}

/** Who attacks, each address with its card. */
function Attackers({ of }: { of: Incident }) {
  const addresses = list(of.attackers).map((x) => x.ip).filter((x): x is string => !!x);
  const names = list(of.attackers).map((x) => (x.ip ? '' : x.name)).filter(Boolean);
  if (addresses.length + names.length === 0) return <span className="mono">{list(of.actors).join(' ') || '–'}</span>;
  return (
    <span className="row" style={{ gap: 6 }}>
      {addresses.map((x) => (
        <Token key={x} field="source.ip" value={x} />
      ))}
      <span className="mono">{names.join(' ')}</span>
    </span>
  );
}
