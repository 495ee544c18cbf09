import { useQuery } from '@tanstack/react-query';
import { Button, Dropdown, Input, Popover, Select, type InputRef } from 'antd';
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { Link, useNavigate } from 'react-router-dom';
import { buildPath, get, post } from '../api/client';
import { DIRECTIONS, PHASES, THREATS, VERDICTS } from '../api/judgement';
import { useCan, useTenants } from '../api/queries';
import { SEVERITIES, STATUSES, list, type Alert, type Page } from '../api/types';
import { useFeedback } from '../app/feedback';
import { useNarrow, useSettled, useUrl } from '../app/hooks';
import { useKeys } from '../app/keys';
import { useColumns } from '../app/preferences';
import { useSettings } from '../app/settings';
import { least, tracks } from '../logic/columns';
import { joined, number } from '../logic/format';
import { holdStill } from '../logic/live';
import { parseRange, parseWords, rangeParams, rangeQuery } from '../logic/urlstate';
import { AssignButton, CloseDialog, useAlertActions, type Patch } from '../parts/acting';
import { Bulks, useBulk, type BulkBody } from '../parts/bulk';
import { ColumnChooser, ColumnHead, type ListColumn } from '../parts/columns';
import { InhibitedMark } from '../parts/inhibitions/mark';
import { VerdictMark, useTaxonomy } from '../parts/judgement';
import { DataFilter, DataMark } from '../parts/datamark';
import { KeyMark } from '../parts/keymark';
import { FocusMark } from '../parts/noisemarks';
import { TenantName, useTenantName } from '../parts/names';
import { Head, Updated } from '../parts/page';
import { Preview } from '../parts/preview';
import { RangePicker } from '../parts/range';
import { Priority, SeverityMark, StatusMark } from '../parts/severity';
import { SilencedMark } from '../parts/silences/mark';
import { Empty, Failed, Skeleton, Stale } from '../parts/states';
import { useScenarioName } from '../parts/scenarios/name';
import { When } from '../parts/time';
import { Views } from '../parts/views';
import { Entity, Token } from '../parts/token';

const SPANS = ['1h', '4h', '24h', '7d', '30d', '90d'];
const SPAN = '7d';
const LIMIT = 100;
/** How many alerts one action may change. */
const MOST = 10_000;

export default function Alerts() {
  const { t, tx, locale } = useSettings();
  const navigate = useNavigate();
  const can = useCan();
  const { done } = useFeedback();
  const tenants = useTenants().data ?? [];
  const tenantName = useTenantName();
  const [url, setUrl] = useUrl();
  // Alerts are asked for by how long ago they were last seen: a span up to now.
  const asked = parseRange(url, SPAN);
  const range = 'since' in asked ? asked : { since: SPAN };
  const severity = parseWords(url, 'severity', SEVERITIES);
  const status = parseWords(url, 'status', STATUSES);
  const verdict = parseWords(url, 'verdict', VERDICTS);
  const phase = parseWords(url, 'phase', PHASES);
  const direction = parseWords(url, 'direction', DIRECTIONS);
  const threat = parseWords(url, 'threat', THREATS);
  const attack = url.get('attack') ?? '';
  const risk = url.get('risk') ?? '';
  const attacks = list(useTaxonomy()?.attacks);
  const tenant = url.get('tenant') ?? '';
  const incident = url.get('incident') ?? '';
  const ci = url.get('ci') ?? '';
  const rule = url.get('rule') ?? '';
  const tag = url.get('tag') ?? '';
  const flapping = url.get('flapping') === 'true';
  const focus = url.get('focus') === 'true';
  const gathered = url.get('gathered') === 'true';
  const suppressed = url.get('suppressed') ?? '';
  const keyAssets = url.get('key') === 'true';
  const dataLevels = (url.get('data_level') ?? '').split(',').filter(Boolean);
  const unread = url.get('unread') === 'true';
  const attacker = url.get('attacker') ?? '';
  const scenario = url.get('scenario') ?? '';
  const unit = url.get('unit') ?? '';
  const ip = url.get('ip') ?? '';
  const scenarioName = useScenarioName(scenario);
  const q = url.get('q') ?? '';
  const preview = url.get('preview') === '1';

  const [text, setText] = useState(q);
  const settled = useSettled(text.trim(), 250);
  useEffect(() => setText(q), [q]);
  useEffect(() => {
    if (settled !== q && settled === text.trim()) setUrl({ q: settled });
  }, [settled]); // eslint-disable-line react-hooks/exhaustive-deps

  const filter = {
    ...rangeQuery(range),
    // What is closed is out of the way unless asked for.
    status: status.length ? status.join(',') : suppressed ? '' : 'open,acknowledged',
    severity: severity.join(','),
    verdict: verdict.join(','),
    phase: phase.join(','),
    direction: direction.join(','),
    threat: threat.join(','),
    attack,
    risk,
    tenant,
    incident,
    ci,
    rule,
    tag,
    attacker,
    scenario: scenario || undefined,
    unit: unit || undefined,
    ip: ip || undefined,
    flapping: flapping || undefined,
    focus: focus || undefined,
    gathered: gathered || undefined,
    suppressed: suppressed || undefined,
    key: keyAssets || undefined,
    data_level: dataLevels.join(',') || undefined,
    unread: unread || undefined,
    q,
  };
  const key = JSON.stringify(filter);
  const query = useQuery({
    queryKey: ['alerts', key],
    queryFn: ({ signal }) => get<Page<Alert>>('/alerts', { ...filter, sort: '-focus', limit: LIMIT }, signal),
    refetchInterval: 5_000,
  });

  // The list as the reader sees it: it changes when the reader asks, not when the server speaks.
  const [held, setHeld] = useState<{ key: string; rows: Alert[]; next: string; paged: boolean } | null>(null);
  useEffect(() => {
    if (query.data && held?.key !== key) setHeld({ key, rows: list(query.data.items), next: query.data.next ?? '', paged: false });
  }, [query.data, key, held]);
  const still = useMemo(() => {
    if (!held || held.key !== key) return { rows: [] as Alert[], waiting: 0 };
    return holdStill(held.rows, list(query.data?.items), !query.data?.next);
  }, [held, key, query.data]);
  const rows = still.rows;
  const showNew = () => {
    if (query.data) setHeld({ key, rows: list(query.data.items), next: query.data.next ?? '', paged: false });
    setCursor(list(query.data?.items)[0]?.id ?? '');
  };
  const [loadingMore, setLoadingMore] = useState(false);
  const more = async () => {
    if (!held?.next) return;
    setLoadingMore(true);
    try {
      const page = await get<Page<Alert>>('/alerts', { ...filter, sort: '-focus', limit: LIMIT, cursor: held.next });
      setHeld((h) => h && h.key === key ? { ...h, paged: true, next: page.next ?? '', rows: [...h.rows, ...list(page.items).filter((a) => !h.rows.some((r) => r.id === a.id))] } : h);
    } finally {
      setLoadingMore(false);
    }
  };
  const patch = useCallback<Patch>((ids, change) => {
    setHeld((h) => h && { ...h, rows: h.rows.map((r) => (ids.includes(r.id) ? { ...r, ...change } : r)) });
  }, []);
  const act = useAlertActions(patch);
  /** What somebody has looked at is new to him no longer; unread gives it back. A list that cannot note it goes on without. */
  const look = useCallback((ids: string[], unread = false) => {
    setHeld((h) => h && { ...h, rows: h.rows.map((r) => (ids.includes(r.id) ? { ...r, unread } : r)) });
    void post('/alerts/read', { ids, unread }).catch(() => undefined);
  }, []);

  // The cursor follows into the URL a moment later, so that back and a shared link find the place.
  const [cursor, setCursor] = useState(url.get('sel') ?? '');
  const settledCursor = useSettled(cursor, 300);
  useEffect(() => {
    if ((url.get('sel') ?? '') !== settledCursor) setUrl({ sel: settledCursor });
  }, [settledCursor]); // eslint-disable-line react-hooks/exhaustive-deps
  const at = rows.findIndex((r) => r.id === cursor);
  const current = rows[at];
  // With the preview open, where the cursor stays a moment is looked at.
  useEffect(() => {
    if (preview && settledCursor && rows.some((r) => r.id === settledCursor && r.unread)) look([settledCursor]);
  }, [preview, settledCursor]); // eslint-disable-line react-hooks/exhaustive-deps
  const table = useRef<HTMLDivElement>(null);
  useEffect(() => {
    table.current?.querySelector('.cursor')?.scrollIntoView({ block: 'nearest' });
  }, [cursor, rows.length > 0]); // eslint-disable-line react-hooks/exhaustive-deps

  const [selected, setSelected] = useState<Set<string>>(new Set());
  // All alerts of the filter, those that are not shown too, as many as the reader was told.
  const [whole, setWhole] = useState(0);
  const bulk = useBulk();
  const [listing, setListing] = useState(false);
  const [tagging, setTagging] = useState('');
  const unselect = () => {
    setSelected(new Set());
    setWhole(0);
  };
  useEffect(unselect, [key]);
  useEffect(() => {
    if (selected.size < rows.length) setWhole(0);
  }, [selected, rows.length]);
  const total = query.data?.total ?? 0;
  const toggle = (id: string) =>
    setSelected((s) => {
      const n = new Set(s);
      if (!n.delete(id)) n.add(id);
      return n;
    });
  const chosen = whole || selected.size;
  const ids = selected.size > 0 ? rows.filter((r) => selected.has(r.id)).map((r) => r.id) : current ? [current.id] : [];
  const [closing, setClosing] = useState<string[] | null>(null);
  const respond = can('respond');
  /** What the batch bar does: to the marked ones, or to all that fit. */
  const batch = (body: BulkBody, some: () => Promise<unknown>) => void (whole ? bulk.run(filter, body, whole) : some()).then(() => unselect());
  const filterInput = useRef<InputRef>(null);
  const move = (d: number) => {
    const next = rows[Math.max(0, Math.min(rows.length - 1, at + d))];
    if (next) setCursor(next.id);
  };
  const open = (a: Alert | undefined) => {
    if (!a) return;
    look([a.id]);
    // Leave the place in the list's own history entry before going on.
    setUrl({ sel: a.id });
    setTimeout(() => navigate(`/alerts/${encodeURIComponent(a.id)}`), 0);
  };
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    ' ': () => {
      if (!current && rows[0]) setCursor(rows[0].id);
      setUrl({ preview: preview ? undefined : '1' });
    },
    Enter: () => open(current),
    Escape: () => (selected.size ? unselect() : setUrl({ preview: undefined })),
    x: () => current && toggle(current.id),
    u: () => ids.length > 0 && look(ids, !rows.some((r) => ids.includes(r.id) && r.unread)),
    a: () => {
      if (!respond || ids.length === 0) return;
      batch({ action: 'acknowledge' }, () => act.acknowledge(ids));
    },
    i: () => {
      if (!current) return;
      if (current.incident_id) navigate(`/incidents/${encodeURIComponent(current.incident_id)}`);
      else done(t('alerts.noIncident'));
    },
    f: () => {
      if (!respond || ids.length === 0) return;
      batch({ action: 'close', resolution: 'false_positive' }, () => act.close(ids, 'false_positive', ''));
    },
    e: () => respond && ids.length > 0 && setClosing(ids),
    s: () => respond && current && navigate(`/silences?${new URLSearchParams({ new: '1', alert: current.id })}`),
    '/': () => filterInput.current?.focus(),
  });

  // Where there is little room it goes to what happened, which names who and where.
  const narrow = useNarrow(1180);
  const all: ListColumn<Alert>[] = [
    { key: 'severity', title: t('col.severity'), track: 'var(--sev-w)', usual: true, render: (a) => <SeverityMark level={a.severity} /> },
    {
      key: 'what',
      title: t('col.what'),
      track: 'minmax(200px,1fr)',
      usual: true,
      fixed: true,
      render: (a) => (
        <Link
          className={`what ${preview ? 'clamp2' : 'ellipsis'}`}
          to={`/alerts/${encodeURIComponent(a.id)}`}
          title={tx(a.title)}
          onClick={(e) => {
            if (e.ctrlKey || e.metaKey || e.shiftKey) return;
            e.preventDefault();
            // With the preview open a click looks, enter or a double click opens.
            if (preview) setCursor(a.id);
            else open(a);
          }}
        >
          {a.unread && <i className="unreaddot" role="img" aria-label={t('alerts.unread')} title={t('alerts.unread')} />}
          <KeyMark of={a} />
          <DataMark of={a} />
          <FocusMark of={a} />
          {tx(a.title)}
        </Link>
      ),
    },
    { key: 'verdict', title: t('judged.verdict'), track: 'var(--verdict-w)', usual: true, roomy: 2, render: (a) => <VerdictMark value={a.verdict} reason={tx(a.verdict_reason)} /> },
    { key: 'priority', title: t('col.priority'), track: '44px', usual: false, render: (a) => <Priority value={a.priority} /> },
    { key: 'tenant', title: t('col.tenant'), track: '132px', usual: true, roomy: 1, render: (a) => <TenantName slug={a.tenant} /> },
    { key: 'asset', title: t('col.asset'), track: '92px', usual: true, roomy: 1, render: (a) => <span title={a.system?.name}>{a.ci?.id ? <Entity type="asset" value={a.ci.id}>{a.ci.name || a.ci.id}</Entity> : a.ci?.name ? <Entity type="device" value={a.ci.name} /> : a.source_ip ? <Token field="source.ip" value={a.source_ip} /> : '–'}</span> },
    { key: 'system', title: t('col.system'), track: '140px', usual: false, render: (a) => a.system?.name || '–' },
    { key: 'attack', title: t('judged.attack'), track: '110px', usual: false, render: (a) => tx(attacks.find((x) => x.id === a.attack)?.name) || a.attack || '–' },
    { key: 'source', title: t('alert.source'), track: '116px', usual: false, render: (a) => (a.source_ip || a.attacker?.ip ? <Token field="source.ip" value={a.source_ip || a.attacker?.ip || ''} /> : '–') },
    { key: 'rule', title: t('page.rules'), track: '170px', usual: false, render: (a) => <span title={a.rule.id}>{tx(a.rule.title) || a.rule.id}</span> },
    { key: 'incident', title: t('page.incidents'), track: '150px', usual: false, render: (a) => (a.incident_id ? <Link to={`/incidents/${encodeURIComponent(a.incident_id)}`} className="mono">{a.incident_id}</Link> : '–') },
    { key: 'tags', title: t('notice.tags'), track: '120px', usual: false, render: (a) => list(a.tags).map((x) => `# ${x}`).join(' ') || '–' },
    { key: 'owner', title: t('col.owner'), track: '90px', usual: false, render: (a) => a.owner || a.ci?.owner || '–' },
    { key: 'count', title: t('col.count'), track: '46px', usual: true, roomy: 2, num: true, render: (a) => number(a.count, locale) },
    {
      key: 'status',
      title: t('col.status'),
      track: 'var(--status-w)',
      usual: true,
      render: (a) => (
        <span className="row" style={{ gap: 6 }}>
          <StatusMark status={a.status} />
          <SilencedMark alert={a} word={false} />
          <InhibitedMark alert={a} word={false} />
        </span>
      ),
    },
    { key: 'firstSeen', title: t('col.firstSeen'), track: '96px', usual: false, num: true, render: (a) => <When time={a.first_seen} /> },
    { key: 'lastSeen', title: t('col.lastSeen'), track: '72px', usual: true, num: true, render: (a) => <When time={a.last_seen} age /> },
    { key: 'assignee', title: t('col.assignee'), track: '64px', usual: true, roomy: 1, render: (a) => a.assignee || (a.status !== 'open' && a.acknowledged_by) || '–' },
  ];
  const columns = useColumns('alerts', all, narrow && preview ? 2 : narrow || preview ? 1 : 0);
  const shown = columns.shown.flatMap((c) => all.filter((s) => s.key === c.key));
  const grid = `14px ${tracks(columns.shown, all)}`;
  const filtered = severity.length + status.length + verdict.length + phase.length + direction.length + threat.length > 0 || attack || risk || tenant || incident || ci || rule || tag || attacker || scenario || unit || ip || flapping || focus || gathered || suppressed || keyAssets || dataLevels.length > 0 || unread || q;
  const clear = () => {
    setText('');
    setUrl({ severity: [], status: [], verdict: [], phase: [], direction: [], threat: [], attack: undefined, risk: undefined, tenant: undefined, incident: undefined, ci: undefined, rule: undefined, tag: undefined, attacker: undefined, scenario: undefined, unit: undefined, ip: undefined, flapping: undefined, focus: undefined, gathered: undefined, suppressed: undefined, key: undefined, unread: undefined, q: undefined });
  };
  const chip = (label: string, param: string) => (
    <span className="chip" key={param}>
      <span className="ellipsis">{label}</span>
      <button className="plain" aria-label={t('do.remove', { x: label })} onClick={() => setUrl({ [param]: undefined })}>
        ✕
      </button>
    </span>
  );

  return (
    <div className="page fill">
      <Head title={t('page.alerts')} sub={query.data ? t('alerts.count', { n: Math.max(query.data.total ?? 0, rows.length) }) : ''}>
        <Updated at={query.dataUpdatedAt} />
        <RangePicker value={range} custom={false} choices={SPANS} onChange={(r) => setUrl(rangeParams(r, SPAN), true)} />
        <Button aria-pressed={preview} type={preview ? 'primary' : 'default'} ghost={preview} onClick={() => setUrl({ preview: preview ? undefined : '1' })}>
          {t('alerts.preview')}
        </Button>
        <ColumnChooser columns={columns} all={all} />
        <Views page="alerts" columns={columns} />
        <Dropdown
          trigger={['click']}
          menu={{
            items: [
              { key: 'csv', label: <a href={buildPath('/alerts.csv', filter)} download>{t('alerts.csv')}</a> },
              { key: 'attackers', label: <Link to="/attackers">{t('page.attackers')}</Link> },
              ...(respond ? [{ key: 'bulk', label: t('bulk.latest'), onClick: () => setListing(true) }] : []),
            ],
          }}
        >
          <Button>{t('alerts.more')} ▾</Button>
        </Dropdown>
      </Head>
      <div className="filters" role="search">
        <Input
          ref={filterInput}
          allowClear
          style={{ width: 196 }}
          placeholder={t('alerts.filter')}
          aria-label={t('alerts.filter')}
          value={text}
          suffix={text ? undefined : <kbd>/</kbd>}
          onChange={(e) => setText(e.target.value)}
          onKeyDown={(e) => {
            if (e.key === 'Escape') filterInput.current?.blur();
          }}
        />
        <span className="row" role="group" aria-label={t('alerts.filterSev')} style={{ gap: 4 }}>
          {SEVERITIES.map((s) => (
            <button key={s} className="plain toggle" aria-pressed={severity.includes(s)} onClick={() => setUrl({ severity: severity.includes(s) ? severity.filter((x) => x !== s) : [...severity, s] })}>
              <SeverityMark level={s} />
            </button>
          ))}
        </span>
        <span className="row" role="group" aria-label={t('alerts.filterStatus')} style={{ gap: 4 }}>
          {STATUSES.map((s) => (
            <button key={s} className="plain toggle" aria-pressed={status.includes(s)} onClick={() => setUrl({ status: status.includes(s) ? status.filter((x) => x !== s) : [...status, s] })}>
              <StatusMark status={s} />
            </button>
          ))}
        </span>
        <span className="row" role="group" aria-label={t('alerts.filterVerdict')} style={{ gap: 4 }}>
          {VERDICTS.map((v) => (
            <button key={v} className="plain toggle" aria-pressed={verdict.includes(v)} onClick={() => setUrl({ verdict: verdict.includes(v) ? verdict.filter((x) => x !== v) : [...verdict, v] })}>
              <VerdictMark value={v} />
            </button>
          ))}
        </span>
        <button className="plain toggle" aria-pressed={keyAssets} aria-label={t('key.only')} title={t('key.only')} onClick={() => setUrl({ key: keyAssets ? undefined : 'true' })}>
          ★
        </button>
        <DataFilter value={dataLevels} set={(x) => setUrl({ data_level: x.join(',') || undefined })} />
        <button className="plain toggle" aria-pressed={unread} onClick={() => setUrl({ unread: unread ? undefined : 'true' })}>
          <i className="unreaddot" aria-hidden />
          {t('alerts.unread')}
        </button>
        {!attack && attacks.length > 0 && (
          <Select
            showSearch
            style={{ width: locale === 'en-US' ? 150 : 98 }}
            placeholder={t('judged.attack')}
            aria-label={t('judged.attack')}
            value={null}
            optionFilterProp="label"
            popupMatchSelectWidth={240}
            options={attacks.map((x) => ({ value: x.id, label: tx(x.name) }))}
            onChange={(v: string | null) => setUrl({ attack: v ?? undefined })}
          />
        )}
        {attack && chip(tx(attacks.find((x) => x.id === attack)?.name) || attack, 'attack')}
        {phase.length > 0 && chip(joined(phase.map((x) => t(`phase.${x}`)), locale), 'phase')}
        {direction.length > 0 && chip(joined(direction.map((x) => t(`direction.${x}`)), locale), 'direction')}
        {threat.length > 0 && chip(joined(threat.map((x) => t(`threat.${x}`)), locale), 'threat')}
        {risk && chip(risk, 'risk')}
        {!tenant && tenants.length > 1 && (
          <Select
            showSearch
            style={{ width: locale === 'en-US' ? 150 : 98 }}
            placeholder={t('alerts.filterTenant')}
            aria-label={t('alerts.filterTenant')}
            value={null}
            optionFilterProp="label"
            popupMatchSelectWidth={300}
            options={tenants.map((x) => ({ value: x.slug, label: tx(x.name) || x.slug }))}
            onChange={(v: string | null) => setUrl({ tenant: v ?? undefined })}
          />
        )}
        {tenant && chip(tenantName(tenant), 'tenant')}
        {incident && chip(t('alerts.inIncident', { x: incident }), 'incident')}
        {ci && chip(t('alerts.ofCI', { x: ci }), 'ci')}
        {rule && chip(t('alerts.ofRule', { x: tx(rows.find((r) => r.rule.id === rule)?.rule.title) || rule }), 'rule')}
        {flapping && chip(t('flapping.only'), 'flapping')}
        {focus && chip(t('gen.only'), 'focus')}
        {gathered && chip(t('gen.waiting'), 'gathered')}
        {suppressed && chip(t('suppress.only'), 'suppressed')}
        {tag && chip(t('tags.of', { x: tag }), 'tag')}
        {scenario && chip(t('alerts.ofScenario', { x: scenarioName(scenario) }), 'scenario')}
        {unit && chip(`${t('scenario.searchUnit')} ${unit}`, 'unit')}
        {ip && chip(`IP ${ip}`, 'ip')}
        {attacker && chip(t('alerts.ofAttacker', { x: attacker }), 'attacker')}
        {filtered && (
          <Button type="link" size="small" onClick={clear}>
            {t('do.clear')}
          </Button>
        )}
      </div>
      <Stale query={query} />
      {still.waiting > 0 && (
        <button className="plain newrows" onClick={showNew} data-testid="new-alerts">
          ↑ {t('alerts.new', { n: still.waiting })}
        </button>
      )}
      <div className="split">
        <div className="panel grow" ref={table}>
          {query.isPending ? (
            <Skeleton lines={14} />
          ) : query.error && !query.data ? (
            <Failed error={query.error} what="alerts.what" retry={() => void query.refetch()} />
          ) : rows.length === 0 ? (
            <Empty title={t('alerts.empty')} why={t('alerts.emptyWhy')}>
              {filtered ? (
                <Button onClick={clear}>{t('do.clear')}</Button>
              ) : (
                <Button onClick={() => setUrl(rangeParams({ since: '90d' }, SPAN), true)}>{t('range.90d')}</Button>
              )}
            </Empty>
          ) : (
            <div className="list" style={{ minWidth: least(columns.shown, all, 14 + 28 + 12 * shown.length) }} role="table" aria-label={t('page.alerts')} aria-rowcount={rows.length}>
              <div className="line head-line" role="row" style={{ gridTemplateColumns: grid }}>
                <span role="columnheader">
                  <input
                    type="checkbox"
                    aria-label={t('alerts.selectAll')}
                    checked={selected.size > 0 && selected.size === rows.length}
                    onChange={(e) => setSelected(e.target.checked ? new Set(rows.map((r) => r.id)) : new Set())}
                  />
                </span>
                {shown.map((c) => (
                  <ColumnHead key={c.key} column={c} columns={columns} />
                ))}
              </div>
              {rows.map((a) => (
                <div
                  key={a.id}
                  role="row"
                  data-id={a.id}
                  aria-selected={a.id === cursor}
                  className={`line${a.id === cursor ? ' cursor' : ''}${a.status !== 'open' ? ' done' : ''}${a.unread ? ' unread' : ''}`}
                  style={{ gridTemplateColumns: grid }}
                  onClick={() => setCursor(a.id)}
                  onDoubleClick={() => open(a)}
                >
                  <span role="cell">
                    <input type="checkbox" aria-label={t('alerts.selectOne', { x: tx(a.title) })} checked={selected.has(a.id)} onChange={() => toggle(a.id)} onClick={(e) => e.stopPropagation()} />
                  </span>
                  {shown.map((c) => (
                    <span key={c.key} role="cell" className={c.num ? 'num dim' : c.key === 'status' || c.key === 'severity' || c.key === 'verdict' ? '' : c.fixed ? (preview ? '' : 'ellipsis') : 'ellipsis dim'}>
                      {c.render(a)}
                    </span>
                  ))}
                </div>
              ))}
              {held?.next && (
                <div style={{ padding: 12, textAlign: 'center' }}>
                  <Button loading={loadingMore} onClick={() => void more()}>
                    {t('do.more')}
                  </Button>
                </div>
              )}
              {selected.size > 0 && (
                <div className="batch" role="toolbar" aria-label={t('alerts.selected', { n: chosen })}>
                  <b>{whole ? t('bulk.allSelected', { n: whole }) : t('alerts.selected', { n: selected.size })}</b>
                  {respond && (
                    <>
                      {!whole && selected.size === rows.length && total > rows.length && (
                        <Button type="link" disabled={total > MOST} title={total > MOST ? t('bulk.tooMany') : undefined} onClick={() => setWhole(total)}>
                          {t('bulk.all', { n: total })}
                        </Button>
                      )}
                      <Button type="primary" onClick={() => batch({ action: 'acknowledge' }, () => act.acknowledge(ids))}>
                        {t('alerts.ackN', { n: chosen })}
                      </Button>
                      <AssignButton assign={(assignee) => batch({ action: 'assign', assignee }, () => act.assign(ids, assignee))} />
                      <Popover
                        trigger="click"
                        content={
                          <Input
                            maxLength={40}
                            style={{ width: 180 }}
                            aria-label={t('tags.add')}
                            placeholder={t('tags.hint')}
                            value={tagging}
                            onChange={(e) => setTagging(e.target.value)}
                            onPressEnter={() => {
                              const name = tagging.trim();
                              if (!name) return;
                              setTagging('');
                              batch({ action: 'tag', tag: name }, () => act.tag(ids, name, true));
                            }}
                          />
                        }
                      >
                        <Button>{t('bulk.tagN', { n: chosen })}</Button>
                      </Popover>
                      {!whole && <Button onClick={() => navigate(`/suppressions?${new URLSearchParams({ alert: ids.join(',') })}`)}>{t('suppress.fromN', { n: chosen })}</Button>}
                      <Button onClick={() => setClosing(ids)}>{t('alerts.closeN', { n: chosen })}</Button>
                    </>
                  )}
                  <Button type="text" onClick={unselect}>
                    {t('alerts.unselect')}
                  </Button>
                </div>
              )}
            </div>
          )}
        </div>
        {preview && (
          <aside className="panel preview" aria-label={t('alerts.preview')}>
            {current ? <Preview id={current.id} known={current} patch={patch} /> : <Empty title={t('alerts.preview')} why={t('alerts.previewNone')} />}
          </aside>
        )}
      </div>
      {closing && (
        <CloseDialog
          title={t('alerts.closeN', { n: chosen || closing.length })}
          cancel={() => setClosing(null)}
          submit={(r, c) => (whole ? bulk.run(filter, { action: 'close', resolution: r, comment: c }, whole) : act.close(closing, r, c)).then(() => unselect())}
        />
      )}
      {listing && <Bulks close={() => setListing(false)} />}
    </div>
  );
}
