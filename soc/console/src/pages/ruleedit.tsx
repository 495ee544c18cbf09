import { useQuery, useQueryClient } from '@tanstack/react-query';
import { AutoComplete, Button, Checkbox, Input, InputNumber, Select } from 'antd';
import { useCallback, useEffect, useMemo, useReducer, useRef, useState } from 'react';
import { Link, useNavigate, useParams } from 'react-router-dom';
import { parseQuery } from '../api/search';
import { ApiError, get, post, put, request } from '../api/client';
import { useCan } from '../api/queries';
import type { Rule, Verdict } from '../api/rules';
import { SEVERITIES, list, type Page, type RuleInfo } from '../api/types';
import { useFeedback } from '../app/feedback';
import { useSettled, usePageTitle, useUrl } from '../app/hooks';
import { useKeys } from '../app/keys';
import { useSettings } from '../app/settings';
import { chainOf, member } from '../logic/sigma/chain';
import { INDICATOR, fromTemplate, lacking, type Correlation } from '../logic/sigma/correlation';
import { readCorrelation, writeCorrelation, type CorrelationFile } from '../logic/sigma/correlationyaml';
import { draftFromQuery } from '../logic/sigma/fromquery';
import { readRule, type Obstacle } from '../logic/sigma/read';
import { unfinished, type Counting, type Draft, group, leaf } from '../logic/sigma/tree';
import { writeRule } from '../logic/sigma/write';
import type { Key } from '../locales/zh';
import { Refused } from '../parts/dialog';
import { Panel } from '../parts/page';
import { Builder } from '../parts/rules/builder';
import { ChainPicture } from '../parts/rules/chain';
import { CorrelationForm } from '../parts/rules/correlation';
import { useCountables } from '../parts/rules/counted';
import { FieldPicker, keepOnEscape, useCatalogue } from '../parts/rules/fields';
import { OutputForm } from '../parts/rules/output';
import { OutputsForm } from '../parts/rules/outputs';
import { Templates, type Beginning } from '../parts/rules/templates';
import { Backtest, spanFor } from '../parts/rules/backtest';
import { Trial } from '../parts/rules/trial';
import { YamlEditor } from '../parts/rules/yaml';
import { Failed, Skeleton } from '../parts/states';

/**
 * Both views of the rule. The YAML is what is kept; what is built may be ahead
 * of it while it is not finished. A rule is built either as a tree of
 * conditions or as a correlation of other rules.
 */
interface Sheet {
  source: string;
  draft: Draft | null;
  correlation: Correlation | null;
  /** What the YAML says beside what the form shows; of a correlation alone. */
  file: CorrelationFile | null;
  obstacle: Obstacle | null;
}
interface State extends Sheet {
  past: Sheet[];
  future: Sheet[];
}
type Action = { kind: 'yaml'; source: string } | { kind: 'draft'; draft: Draft } | { kind: 'correlation'; correlation: Correlation } | { kind: 'begin'; with: Beginning } | { kind: 'form' } | { kind: 'undo' } | { kind: 'redo' };

const FRESH: Draft = { title: '', titleZh: '', description: '', level: 'medium', status: '', tags: [], logsource: { product: '', category: '', service: '' }, tree: group('and', [leaf('', 'equals')]) };

function sheetOf(source: string): Sheet {
  const none = { source, draft: null, correlation: null, file: null, obstacle: null };
  if (source === '') return { ...none, draft: FRESH };
  const r = readRule(source);
  if (r.draft) return { ...none, draft: r.draft };
  const c = readCorrelation(source);
  if (c?.file) return { ...none, correlation: c.file.correlation, file: c.file };
  return { ...none, obstacle: c?.obstacle ?? r.obstacle };
}

function correlated(s: Sheet, correlation: Correlation): Sheet {
  if (lacking(correlation).length > 0) return { ...s, draft: null, correlation, obstacle: null };
  const source = writeCorrelation(s.source, correlation);
  return { source, draft: null, correlation, file: readCorrelation(source)?.file ?? s.file, obstacle: null };
}

function begun(b: Beginning): Sheet {
  if (b === 'conditions') return sheetOf('');
  if (b === 'indicator') return sheetOf(INDICATOR);
  return { ...sheetOf(''), draft: null, correlation: fromTemplate(b) };
}

const KEPT = 100;
function reduce(s: State, a: Action): State {
  const now: Sheet = { source: s.source, draft: s.draft, correlation: s.correlation, file: s.file, obstacle: s.obstacle };
  const past = [...s.past.slice(-KEPT), now];
  switch (a.kind) {
    case 'yaml':
      return { ...sheetOf(a.source), past, future: [] };
    case 'draft':
      return { ...now, source: unfinished(a.draft.tree).length === 0 ? writeRule(s.source, a.draft) : s.source, draft: a.draft, correlation: null, file: null, obstacle: null, past, future: [] };
    case 'correlation':
      return { ...correlated(now, a.correlation), past, future: [] };
    case 'form': {
      // A rule that counts its own events is shown as a tree; here it becomes a correlation with all that one has.
      const file = readCorrelation(s.source)?.file;
      return file ? { ...now, draft: null, correlation: file.correlation, file, obstacle: null, past, future: [] } : s;
    }
    case 'begin':
      return { ...begun(a.with), past, future: [] };
    case 'undo': {
      const before = s.past.at(-1);
      return before ? { ...before, past: s.past.slice(0, -1), future: [now, ...s.future] } : s;
    }
    case 'redo': {
      const [next, ...rest] = s.future;
      return next ? { ...next, past, future: rest } : s;
    }
  }
}

export default function RuleEdit() {
  const { t, tx } = useSettings();
  const { id = '' } = useParams();
  const query = useQuery({ enabled: id !== '', queryKey: ['rules', id, 'edit'], queryFn: ({ signal }) => get<Rule>(`/rules/${encodeURIComponent(id)}`, {}, signal), staleTime: Infinity, gcTime: 0, refetchOnWindowFocus: false });
  usePageTitle(id ? (query.data ? t('build.titleEdit', { x: tx(query.data.title) || id }) : t('page.rules')) : t('build.titleNew'));
  if (id && !query.data) return <div className="page">{query.error ? <Failed error={query.error} what="rules.what" retry={() => void query.refetch()} /> : <Skeleton lines={12} />}</div>;
  return id ? <Editor key={id} rule={query.data} /> : <Fresh />;
}

/** What a new rule begins with where it is made of something else. */
interface Origin {
  query: string;
  sheet: Sheet;
  left: string[];
  wider: boolean;
  /** What is wrong with the search, where it could not be read. */
  fault: string;
}

/** A new rule, or one made of the search that the address names. */
function Fresh() {
  const [url] = useUrl();
  const asked = (url.get('query') ?? '').trim();
  const parsed = useQuery({ queryKey: ['parse', asked], enabled: asked !== '', queryFn: () => parseQuery(asked), staleTime: Infinity, refetchOnWindowFocus: false });
  const origin = useMemo<Origin | undefined>(() => {
    if (!parsed.data) return undefined;
    if (parsed.data.error) return { query: asked, sheet: sheetOf(''), left: [], wider: false, fault: parsed.data.error.message };
    const made = draftFromQuery(parsed.data.clause, parsed.data.pipes, asked.slice(0, 80));
    // What lacks nothing stands in the YAML at once, to be tried.
    const whole = unfinished(made.draft.tree).length === 0;
    const sheet = whole ? sheetOf(writeRule('', made.draft)) : { ...sheetOf(''), draft: made.draft };
    return { query: asked, sheet, left: made.left, wider: made.wider, fault: '' };
  }, [parsed.data, asked]);
  if (asked && !origin) return <div className="page">{parsed.error ? <Failed error={parsed.error} what="rules.what" retry={() => void parsed.refetch()} /> : <Skeleton lines={12} />}</div>;
  return <Editor key={asked} origin={origin} />;
}

function Editor({ rule, origin }: { rule?: Rule; origin?: Origin }) {
  const { t, tx } = useSettings();
  const can = useCan();
  const navigate = useNavigate();
  const client = useQueryClient();
  const { done } = useFeedback();
  const fields = useCatalogue();
  const names = useMemo(() => [...fields.keys()], [fields]);
  const [s, dispatch] = useReducer(reduce, null, (): State => ({ ...(origin?.sheet ?? sheetOf(rule?.file ?? '')), past: [], future: [] }));
  const [url] = useUrl();
  const tenant = origin ? (url.get('tenant') ?? '') : '';
  const [note, setNote] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const saved = useRef(rule?.file ?? '');
  const id = rule?.main ?? rule?.id ?? '';
  const changed = s.source !== saved.current;
  const c = s.correlation;
  const open = s.draft ? unfinished(s.draft.tree).length : c ? lacking(c).length : 0;
  const [beginning, setBeginning] = useState<Beginning>('conditions');
  const known = useQuery({ enabled: c !== null, queryKey: ['rules'], queryFn: ({ signal }) => get<Page<RuleInfo>>('/rules', {}, signal), staleTime: 15_000 });
  const rules = useMemo(() => list(known.data?.items), [known.data]);
  const beside = useMemo(() => s.file?.beside ?? [], [s.file]);
  const countables = useCountables(rules, beside, s.file?.id || id);
  const may = can('create-rule');
  const policy = useQuery({ queryKey: ['rule-proposals', 'policy'], enabled: can('list-rule-proposals'), queryFn: ({ signal }) => get<{ required: boolean }>('/rule-proposals/policy', {}, signal), staleTime: 30_000, retry: false });
  const approval = policy.data?.required === true;

  const asked = useSettled(s.source, 300);
  const check = useQuery({
    enabled: asked !== '',
    queryKey: ['rule-check', asked, id],
    queryFn: () => post<Verdict>('/rules/validate', { source: asked, id }),
    staleTime: 30_000,
    gcTime: 60_000,
    retry: false,
    placeholderData: (before) => before,
  });
  const verdict = s.source === '' ? undefined : check.data;
  const current = asked === s.source && !check.isPlaceholderData && !check.isFetching;
  const findings = list(verdict?.findings);
  const ok = verdict?.ok === true && current && open === 0;

  useEffect(() => {
    if (!changed) return undefined;
    const warn = (e: BeforeUnloadEvent) => e.preventDefault();
    window.addEventListener('beforeunload', warn);
    return () => window.removeEventListener('beforeunload', warn);
  }, [changed]);

  const save = useCallback(async () => {
    setBusy(true);
    setError(null);
    try {
      if (approval) {
        // A second person puts it in force.
        await request('POST', '/rule-proposals', { query: { comment: note }, raw: { data: s.source, type: 'application/octet-stream' } });
        saved.current = s.source;
        void client.invalidateQueries({ queryKey: ['rule-proposals'] });
        done(t('build.submitted'));
        navigate('/rules/proposals');
        return;
      }
      const kept = rule ? await put<Rule>(`/rules/${encodeURIComponent(id)}`, { source: s.source, revision: rule.origin === 'own' ? (rule.revision ?? 0) : 0, note }) : await post<Rule>('/rules', { source: s.source, note });
      saved.current = s.source;
      void client.invalidateQueries({ queryKey: ['rules'] });
      done(t('build.saved', { x: tx(kept.title) || kept.id }));
      navigate(`/rules/${encodeURIComponent(kept.main || kept.id)}`, { replace: true });
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  }, [rule, id, s.source, note, approval, client, done, navigate, t, tx]);

  useKeys({ 'mod+s': () => ok && may && !busy && (!approval || note.trim() !== '') && void save(), 'mod+z': () => dispatch({ kind: 'undo' }), 'mod+y': () => dispatch({ kind: 'redo' }) });

  const set = (change: Partial<Draft>) => s.draft && dispatch({ kind: 'draft', draft: { ...s.draft, ...change } });
  const meaning = list(verdict?.rules).map((r) => tx(r.meaning)).filter(Boolean);
  const d = s.draft;
  const chain = useMemo(() => {
    if (!c) return null;
    const own = { id: s.file?.id || id, name: c.name, title: c.title, titleZh: c.titleZh, correlation: true, rules: c.rules };
    const others = beside.map((b) => ({ id: b.id, name: b.name, title: b.title, correlation: b.correlation, rules: b.rules }));
    // The file's own rules stand before those in force, of which they may be a newer text.
    return chainOf(own, [...others, ...rules.map(member).filter((m) => !others.some((o) => o.id === m.id || (o.name !== '' && o.name === m.name)))]);
  }, [c, s.file, id, beside, rules]);
  return (
    <div className="page ruleedit">
      <div className="head">
        <h1>
          <Link to={rule ? `/rules/${encodeURIComponent(id)}` : '/rules'} className="faint">
            ←
          </Link>{' '}
          {rule ? t('build.titleEdit', { x: tx(rule.title) || id }) : t('build.titleNew')}
        </h1>
        <div className="end">
          <Button disabled={s.past.length === 0} onClick={() => dispatch({ kind: 'undo' })} aria-label={t('build.undo')} title={`${t('build.undo')} ⌘Z`}>
            ↶
          </Button>
          <Button disabled={s.future.length === 0} onClick={() => dispatch({ kind: 'redo' })} aria-label={t('build.redo')} title={`${t('build.redo')} ⌘Y`}>
            ↷
          </Button>
          {may && <Input style={{ width: 220 }} placeholder={t('build.note')} aria-label={t('build.note')} value={note} onChange={(e) => setNote(e.target.value)} />}
          {may && (
            <Button type="primary" loading={busy} disabled={!ok || !changed || (approval && note.trim() === '')} onClick={() => void save()} data-testid="save-rule">
              {t(approval ? 'build.submit' : 'build.save')}
            </Button>
          )}
        </div>
      </div>
      {!may && <div className="stale">{t('build.noRights')}</div>}
      {may && approval && <div className="stale" role="status">{t('build.needsApproval')}</div>}
      {error instanceof ApiError && error.status === 409 ? <div className="stale" role="alert">{t('build.changedMeanwhile')}</div> : null}
      <Refused error={error} />
      {origin && (
        <div className="notice" data-testid="from-search">
          {origin.fault ? (
            <span role="alert">{t('build.fromFault', { x: origin.fault })}</span>
          ) : (
            <>
              {t('build.fromSearch')} <Link to={`/search?${url}`}>{origin.query}</Link>
              {origin.wider && <div className="dim">{t('build.fromWider')}</div>}
              {origin.left.length > 0 && (
                <div role="alert">
                  {t('build.fromLeft')}{' '}
                  {origin.left.map((x, i) => (
                    <code key={i} style={{ marginRight: 8 }}>
                      {x}
                    </code>
                  ))}
                </div>
              )}
            </>
          )}
        </div>
      )}
      {!rule && !origin && (
        <Templates
          value={beginning}
          choose={(b) => {
            setBeginning(b);
            dispatch({ kind: 'begin', with: b });
          }}
        />
      )}
      <div className="buildcols">
        <div className="stack" style={{ gap: 14 }}>
          {c ? (
            <CorrelationForm c={c} file={s.file ?? undefined} findings={current ? findings : []} fields={fields} countables={countables} set={(correlation) => dispatch({ kind: 'correlation', correlation })} />
          ) : d ? (
            <>
              <Panel title={t('build.about')}>
                <About draft={d} set={set} />
              </Panel>
              <Panel
                title={t('build.conditions')}
                id="builder"
                end={
                  d.counting &&
                  open === 0 && (
                    <button type="button" className="plain link" onClick={() => dispatch({ kind: 'form' })} data-testid="as-correlation">
                      {t('corr.asForm')}
                    </button>
                  )
                }
              >
                <Builder tree={d.tree} fields={fields} change={(tree) => set({ tree })} />
                <Count counting={d.counting} fields={fields} set={(counting) => set({ counting })} />
                {open > 0 && s.source !== '' && <div className="hint">{t('build.unfinished', { n: open })}</div>}
              </Panel>
              {s.source !== '' && open === 0 && (
                <Panel title={t('output.title')} id="output">
                  <OutputForm source={s.source} fields={fields} set={(source) => dispatch({ kind: 'yaml', source })} />
                </Panel>
              )}
            </>
          ) : (
            <Panel title={t('build.conditions')} id="builder">
              <div className="state small" data-testid="obstacle">
                <h3>{t('build.cannot')}</h3>
                <div>{s.obstacle && t(`buildwhy.${s.obstacle.why}` as Key, { x: s.obstacle.word })}</div>
              </div>
            </Panel>
          )}
          {s.source !== '' && open === 0 && (
            <Panel title={t('outputs.title')} id="outputs-panel">
              <OutputsForm source={s.source} fields={fields} set={(source) => dispatch({ kind: 'yaml', source })} />
            </Panel>
          )}
        </div>
        <div className="stack" style={{ gap: 14 }}>
          <Panel title={t('build.yaml')} end={<Judgement verdict={verdict} current={current} empty={s.source === ''} />}>
            <YamlEditor label={t('build.yaml')} value={s.source} findings={findings} fields={names} onChange={(source) => dispatch({ kind: 'yaml', source })} />
            <div className="hint">{t('build.yamlWhy')}</div>
          </Panel>
          {chain && chain.nodes.length > 1 && (
            <Panel title={t('chain.title')} end={<span className="dim">{t('chain.why')}</span>}>
              <ChainPicture chain={chain} />
            </Panel>
          )}
          {meaning.length > 0 && (
            <Panel title={t('rules.meaning')} id="meaning">
              {meaning.map((m, i) => (
                <div key={i} className="meaning">
                  {m}
                </div>
              ))}
            </Panel>
          )}
        </div>
      </div>
      <Trial source={s.source} ready={ok} why={c || d?.counting ? 'try.correlation' : undefined} />
      <Backtest ruleText={s.source} ready={ok} span={origin ? spanFor(url) : undefined} tenant={tenant.includes(',') ? undefined : tenant || undefined} />
    </div>
  );
}

function Judgement({ verdict, current, empty }: { verdict?: Verdict; current: boolean; empty: boolean }) {
  const { t } = useSettings();
  if (empty) return null;
  if (!current || !verdict) return <span className="faint">{t('build.checking')}…</span>;
  const faults = list(verdict.findings).filter((f) => f.severity === 'error').length;
  const warnings = list(verdict.findings).length - faults;
  return (
    <span className="status" data-testid="judgement" data-ok={verdict.ok}>
      <i className={`dot ${verdict.ok ? 'ok' : 'error'}`} />
      {faults > 0 ? t('build.faults', { n: faults }) : t('build.ok')}
      {warnings > 0 && <span className="dim">{t('build.warnings', { n: warnings })}</span>}
    </span>
  );
}

const PRODUCTS = ['linux', 'windows', 'macos', 'aws', 'azure', 'gcp', 'cisco', 'fortios', 'zeek', 'icewatch'];
const CATEGORIES = ['application', 'authentication', 'antivirus', 'dns', 'dns_query', 'file_event', 'firewall', 'image_load', 'network_connection', 'process_access', 'process_creation', 'proxy', 'ps_script', 'registry_set', 'webserver'];
const SERVICES = ['auditd', 'auth', 'cron', 'powershell', 'security', 'sshd', 'sudo', 'syslog', 'sysmon', 'system'];

function About({ draft, set }: { draft: Draft; set: (d: Partial<Draft>) => void }) {
  const { t } = useSettings();
  const part = (key: keyof Draft['logsource'], label: string, options: string[]) => (
    <label className="field">
      <span className="dim">{label}</span>
      <AutoComplete value={draft.logsource[key]} onChange={(v: string) => set({ logsource: { ...draft.logsource, [key]: v ?? '' } })} options={options.filter((o) => o.includes(draft.logsource[key]) || options.includes(draft.logsource[key])).map((value) => ({ value }))} onInputKeyDown={keepOnEscape} aria-label={label} placeholder="*" />
    </label>
  );
  return (
    <div className="about">
      <label className="field wide">
        <span className="dim">{t('build.name')}</span>
        <Input value={draft.title} onChange={(e) => set({ title: e.target.value })} aria-label={t('build.name')} />
      </label>
      <label className="field">
        <span className="dim">{t('build.nameZh')}</span>
        <Input value={draft.titleZh} onChange={(e) => set({ titleZh: e.target.value })} aria-label={t('build.nameZh')} />
      </label>
      <label className="field">
        <span className="dim">{t('build.level')}</span>
        <Select value={draft.level} onChange={(level: string) => set({ level })} options={SEVERITIES.map((v) => ({ value: v, label: t(`sev.${v}`) }))} aria-label={t('build.level')} />
      </label>
      <label className="field wide">
        <span className="dim">{t('build.tags')}</span>
        <Select mode="tags" value={draft.tags} onChange={(tags: string[]) => set({ tags })} open={false} suffixIcon={null} aria-label={t('build.tags')} tokenSeparators={[',', ' ']} />
      </label>
      {part('product', t('build.product'), PRODUCTS)}
      {part('category', t('build.category'), CATEGORIES)}
      {part('service', t('build.service'), SERVICES)}
    </div>
  );
}

const NEW_COUNT: Counting = { type: 'event_count', field: '', groupBy: [], timespan: '5m', relation: 'gte', threshold: 5, generate: false };

/** Whether each event makes an alert, or so many of them within a window. */
function Count({ counting, fields, set }: { counting?: Counting; fields: ReturnType<typeof useCatalogue>; set: (c?: Counting) => void }) {
  const { t } = useSettings();
  const options = useMemo(() => [...fields.values()].map((f) => ({ value: f.name, label: f.name })), [fields]);
  const type = counting?.type ?? 'single';
  return (
    <div className="bcount" data-testid="counting">
      <b>{t('build.counting')}</b>
      <Select
        aria-label={t('build.counting')}
        value={type}
        onChange={(v: string) => set(v === 'single' ? undefined : { ...(counting ?? NEW_COUNT), type: v as Counting['type'] })}
        options={(['single', 'event_count', 'value_count'] as const).map((v) => ({ value: v, label: t(`build.${v}`) }))}
        style={{ width: 150 }}
      />
      {counting && (
        <>
          {counting.type === 'value_count' && <FieldPicker label={t('build.countField')} value={counting.field} fields={fields} onChange={(field) => set({ ...counting, field })} />}
          <Select aria-label={t('build.threshold')} value={counting.relation} onChange={(relation: Counting['relation']) => set({ ...counting, relation })} options={[['gte', '≥'], ['gt', '>'], ['lte', '≤'], ['lt', '<'], ['eq', '='], ['neq', '≠']].map(([value, label]) => ({ value, label }))} style={{ width: 64 }} />
          <InputNumber aria-label={t('build.threshold')} min={0} precision={0} value={counting.threshold} onChange={(v) => set({ ...counting, threshold: v ?? 1 })} style={{ width: 90 }} />
          <Input aria-label={t('build.timespan')} addonBefore={t('build.timespan')} value={counting.timespan} onChange={(e) => set({ ...counting, timespan: e.target.value })} style={{ width: 150 }} />
          <Select mode="tags" aria-label={t('build.groupBy')} placeholder={t('build.groupBy')} value={counting.groupBy} options={options} onChange={(groupBy: string[]) => set({ ...counting, groupBy })} style={{ minWidth: 240, flex: 1 }} />
          <Checkbox checked={counting.generate} onChange={(e) => set({ ...counting, generate: e.target.checked })}>
            {t('build.generate')}
          </Checkbox>
        </>
      )}
    </div>
  );
}
