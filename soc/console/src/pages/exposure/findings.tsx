import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Input, Modal, Select } from 'antd';
import { useState } from 'react';
import { Link, useNavigate } from 'react-router-dom';
import { buildPath, get, post } from '../../api/client';
import { FINDING_STATES, placeOf, type Finding, type FindingState, type FindingsDone } from '../../api/findings';
import { useWords } from '../../api/cmdb';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { parseWords } from '../../logic/urlstate';
import { Listing } from '../../parts/listing';
import { Due, FindingStateMark } from '../../parts/exposure/marks';
import { Head } from '../../parts/page';
import { SeverityMark } from '../../parts/severity';
import { Empty } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When } from '../../parts/time';
import { engineName } from '../../logic/findings';
import { ImportReport } from './import';
import { MakeOrder } from './makeorder';
import { Reports } from './reports';

const LEVELS = ['critical', 'high', 'medium', 'low', 'informational'] as const;
const RENEW = ['findings'];
/** Conditions that may be joined with any other. */
const MORE = ['title', 'weakness', 'class', 'engine', 'host', 'port', 'service', 'owner', 'asset_group'] as const;

/** What is wrong with assets. ?q=, ?state=, ?level=, ?overdue=1, ?attacked=1, ?item=, ?unit=, ?asset_type=, the conditions of MORE, ?sort= and ?cursor= say what is shown. */
export default function Findings() {
  const { t, tx, locale } = useSettings();
  const can = useCan();
  const go = useNavigate();
  const [url, setUrl] = useUrl();
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const { act } = useAct();
  const [changing, setChanging] = useState(false);
  const [ordering, setOrdering] = useState(false);
  const q = url.get('q') ?? '';
  const state = url.get('state') ?? '';
  const levels = parseWords(url, 'level', LEVELS);
  const overdue = url.get('overdue') === '1';
  const attacked = url.get('attacked') === '1';
  const item = url.get('item') ?? '';
  const sort = url.get('sort') ?? '';
  const cursor = url.get('cursor') ?? '';
  const more = Object.fromEntries(MORE.map((k) => [k, url.get(k) || undefined])) as Record<(typeof MORE)[number], string | undefined>;
  const unit = url.get('unit') || undefined;
  const type = url.get('asset_type') || undefined;
  const words = useWords();
  const someMore = MORE.some((k) => more[k]) || unit !== undefined || type !== undefined;
  const [wide, setWide] = useState(someMore);
  const narrow = { ...more, unit, asset_type: type, q, state, level: levels.join(','), overdue: overdue || undefined, attacked: attacked || undefined, item, sort: sort || undefined };
  const filter = { ...narrow, cursor: cursor || undefined, limit: 100 };
  const query = useQuery({ queryKey: ['findings', JSON.stringify(filter)], queryFn: ({ signal }) => get<Page<Finding>>('/findings', filter, signal), placeholderData: keepPreviousData, refetchInterval: 60_000 });
  const narrowed = q !== '' || state !== '' || levels.length > 0 || overdue || attacked || item !== '' || someMore;
  const set = (change: Record<string, string | undefined>) => {
    setChosen(new Set());
    setUrl({ ...change, cursor: undefined });
  };
  const toggle = (label: string, on: boolean, change: Record<string, string | undefined>) => (
    <button key={label} className="plain toggle" aria-pressed={on} onClick={() => set(change)}>
      {label}
    </button>
  );
  return (
    <div className="page">
      <Head title={t('page.findings')} sub={t('finding.lead')}>
        <Input.Search key={q} allowClear style={{ width: 280 }} placeholder={t('finding.search')} aria-label={t('finding.search')} defaultValue={q} onSearch={(x) => set({ q: x || undefined })} />
        {can('import-findings') && <Button onClick={() => setUrl({ import: '1' })}>{t('finding.import')}</Button>}
        {can('make-finding-report') && <Button onClick={() => setUrl({ report: '1' })}>{t('finding.report')}</Button>}
        {can('export-findings') && (
          <a className="ant-btn ant-btn-default filebtn" style={{ color: 'inherit' }} href={buildPath('/findings/export', narrow)} download>
            {t('finding.export')}
          </a>
        )}
      </Head>
      <div className="row wrap" style={{ marginBottom: 10 }}>
        {toggle(t('finding.counting'), state === '', { state: undefined })}
        {FINDING_STATES.map((s) => toggle(t(`finding.state.${s}`), state === s, { state: s }))}
        {toggle(t('finding.all'), state === '*', { state: '*' })}
      </div>
      <div className="row wrap" style={{ marginBottom: 10 }}>
        {LEVELS.map((l) => toggle(t(`sev.${l}`), levels.includes(l), { level: (levels.includes(l) ? levels.filter((x) => x !== l) : [...levels, l]).join(',') || undefined }))}
        {toggle(t('finding.overdue'), overdue, { overdue: overdue ? undefined : '1' })}
        {toggle(t('finding.attacked'), attacked, { attacked: attacked ? undefined : '1' })}
        <button className="plain toggle" aria-expanded={wide} aria-controls="finding-more" onClick={() => setWide(!wide)}>
          {t('finding.more')}
        </button>
        {query.data && <span className="faint">{t('vuln.total', { n: number(query.data.total ?? 0, locale) })}</span>}
        {chosen.size > 0 && can('retest-findings') && (
          <Button onClick={() => void act(() => post('/finding-retests', { ids: [...chosen] }), { said: t('finding.retested'), renew: ['findings', 'scans'] })}>
            {t('finding.retest')} · {t('finding.chosen', { n: chosen.size })}
          </Button>
        )}
        {chosen.size > 0 && can('create-finding-order') && (
          <Button onClick={() => setOrdering(true)}>
            {t('forder.make')} · {t('finding.chosen', { n: chosen.size })}
          </Button>
        )}
        {chosen.size > 0 && can('change-findings') && (
          <Button type="primary" onClick={() => setChanging(true)}>
            {t('finding.move')} · {t('finding.chosen', { n: chosen.size })}
          </Button>
        )}
      </div>
      {wide && (
        <div id="finding-more" className="row wrap" style={{ marginBottom: 10 }}>
          {MORE.map((k) => (
            <Input
              key={`${k}${more[k] ?? ''}`}
              allowClear
              style={{ width: k === 'port' ? 90 : 190 }}
              inputMode={k === 'port' ? 'numeric' : undefined}
              placeholder={t(`finding.f.${k}`)}
              aria-label={t(`finding.f.${k}`)}
              defaultValue={more[k] ?? ''}
              onPressEnter={(e) => set({ [k]: e.currentTarget.value.trim() || undefined })}
              onBlur={(e) => {
                const v = e.currentTarget.value.trim();
                if (v !== (more[k] ?? '')) set({ [k]: v || undefined });
              }}
            />
          ))}
          <Select
            mode="multiple"
            allowClear
            showSearch
            optionFilterProp="label"
            style={{ minWidth: 190 }}
            placeholder={t('finding.f.asset_type')}
            aria-label={t('finding.f.asset_type')}
            value={type?.split(',') ?? []}
            onChange={(v: string[]) => set({ asset_type: v.join(',') || undefined })}
            options={list(words.model?.classes)
              .filter((x) => !x.abstract && (x.addresses ?? 'none') !== 'none')
              .map((x) => ({ value: x.class, label: words.className(x.class) }))}
          />
          {someMore && <Button onClick={() => set({ ...Object.fromEntries(MORE.map((k) => [k, undefined])), unit: undefined, asset_type: undefined })}>{t('finding.clear')}</Button>}
        </div>
      )}
      <Listing
        query={query}
        what="page.findings"
        lines={8}
        empty={
          <Empty title={t(narrowed ? 'finding.none' : 'finding.empty')} why={narrowed ? t('vuln.noneWhy') : t('finding.emptyWhy')}>{!narrowed && can('import-findings') && <Button onClick={() => setUrl({ import: '1' })}>{t('finding.import')}</Button>}</Empty>
        }
      >
        {(rows) => (
          <DataTable
            label={t('page.findings')}
            rows={rows}
            rowKey={(f) => f.id}
            onRow={(f) => go(`/findings/${encodeURIComponent(f.id)}`)}
            choice={can('change-findings') ? { ids: chosen, set: setChosen, name: (f) => tx(f.title) || f.weakness } : undefined}
            sort={sort}
            onSort={(s) => set({ sort: s || undefined })}
            oneWay
            columns={[
              { key: 'priority', title: t('finding.priority'), num: true, sort: 'priority', most: true, render: (f) => <b title={tx(f.why)}>{f.priority}</b> },
              { key: 'level', title: t('vuln.level'), sort: 'level', most: true, render: (f) => <SeverityMark level={f.level} /> },
              {
                key: 'title',
                title: t('finding.title'),
                render: (f) => (
                  <>
                    <Link to={`/findings/${encodeURIComponent(f.id)}`}>{tx(f.title) || f.weakness}</Link> {f.attacked_at && <span className="tag">{t('finding.attacked')}</span>} {f.exploited && <span className="tag">{t('vuln.exploited')}</span>}
                    <div className="faint mono">{[f.weakness, ...list(f.aliases).filter((a) => a.startsWith('CNNVD-'))].join(' · ')}</div>
                  </>
                ),
              },
              {
                key: 'asset',
                title: t('finding.asset'),
                render: (f) => (
                  <>
                    {f.item ? <Link to={`/cmdb/${encodeURIComponent(f.item)}`}>{f.name || f.host}</Link> : <span title={t('finding.unknownAsset')}>{f.host}</span>}
                    <div className="faint mono">{[f.name ? f.host : '', placeOf(f)].filter(Boolean).join(' · ')}</div>
                  </>
                ),
              },
              { key: 'state', title: t('col.status'), render: (f) => <FindingStateMark state={f.state} /> },
              { key: 'owner', title: t('finding.owner'), render: (f) => (f.owner ? <span className="nowrap">{f.owner}</span> : <span className="faint">–</span>) },
              {
                key: 'due',
                title: t('finding.due'),
                sort: 'due',
                render: (f) => <Due at={f.due_at} overdue={f.overdue} />,
              },
              { key: 'engines', title: t('finding.engines'), render: (f) => list(f.engines).map((e) => engineName(e, t)).join(t('finding.did.sep')) },
              { key: 'seen', title: t('finding.seen'), sort: 'last_seen', most: true, render: (f) => <When time={f.last_seen} /> },
            ]}
          />
        )}
      </Listing>
      {url.get('import') === '1' && can('import-findings') && <ImportReport close={() => setUrl({ import: undefined })} />}
      {url.get('report') === '1' && can('make-finding-report') && <Reports narrow={narrow} close={() => setUrl({ report: undefined })} />}
      {ordering && (
        <MakeOrder
          ids={[...chosen]}
          close={() => {
            setOrdering(false);
            setChosen(new Set());
          }}
        />
      )}
      {changing && (
        <ChangeFindings
          ids={[...chosen]}
          close={() => {
            setChanging(false);
            setChosen(new Set());
          }}
        />
      )}
    </div>
  );
}

/** Moves findings to a state, gives them an owner or a comment; what was done can be taken back. */
export function ChangeFindings({ ids, close }: { ids: string[]; close: () => void }) {
  const { t } = useSettings();
  const { act, busy } = useAct();
  const [state, setState] = useState<FindingState | ''>('');
  const [owner, setOwner] = useState<string | null>(null);
  const [comment, setComment] = useState('');
  const [until, setUntil] = useState('');
  const needs = state === 'exception' || state === 'false_positive';
  const ready = (state !== '' || owner !== null || comment.trim() !== '') && (!needs || comment.trim() !== '') && (state !== 'exception' || until !== '');
  const apply = async () => {
    let change = '';
    const ok = await act(
      async () => {
        const body = { ids, state: state || undefined, owner: owner ?? undefined, comment: comment.trim() || undefined, until: state === 'exception' ? new Date(`${until}T23:59:59`).toISOString() : undefined };
        change = (await post<FindingsDone>('/findings/change', body)).change ?? '';
      },
      { said: t('finding.changed', { n: ids.length }), renew: RENEW, undo: () => void act(() => post(`/finding-changes/${encodeURIComponent(change)}/undo`), { said: t('finding.undone'), renew: RENEW }) },
    );
    if (ok) close();
  };
  return (
    <Modal open title={t('finding.chosen', { n: ids.length })} okText={t('finding.apply')} okButtonProps={{ disabled: !ready || busy }} onOk={() => void apply()} onCancel={close}>
      <div className="stack" style={{ display: 'grid', gap: 10 }}>
        <Select aria-label={t('finding.move')} placeholder={t('finding.move')} allowClear value={state || undefined} onChange={(x: FindingState | undefined) => setState(x ?? '')} options={FINDING_STATES.map((s) => ({ value: s, label: t(`finding.state.${s}`) }))} />
        {state === 'exception' && <Input type="date" aria-label={t('finding.until')} addonBefore={t('finding.until')} value={until} onChange={(e) => setUntil(e.target.value)} />}
        <Input aria-label={t('finding.assign')} addonBefore={t('finding.assign')} value={owner ?? ''} onChange={(e) => setOwner(e.target.value || null)} maxLength={200} />
        <Input.TextArea aria-label={t('finding.comment')} placeholder={needs ? t('finding.commentWhy') : t('finding.comment')} rows={3} maxLength={2000} value={comment} onChange={(e) => setComment(e.target.value)} />
      </div>
    </Modal>
  );
}
