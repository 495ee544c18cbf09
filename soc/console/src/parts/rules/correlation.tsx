import { AutoComplete, Checkbox, Input, InputNumber, Select } from 'antd';
import { useMemo, type ReactNode } from 'react';
import type { CatalogueField, Finding } from '../../api/rules';
import { SEVERITIES } from '../../api/types';
import { useSettings } from '../../app/settings';
import { KINDS, RELATIONS, addRule, asKind, kindOf, lacking, moveRule, numbered, removeRule, setAlias, setGroupBy, temporal, valued, withExpression, type Bound, type Correlation, type Kind, type Part, type Relation } from '../../logic/sigma/correlation';
import { partOf, type CorrelationFile } from '../../logic/sigma/correlationyaml';
import { nameable, replaceTerm, term, terms, type Term, type TermGroup } from '../../logic/sigma/ruleexpr';
import { Panel } from '../page';
import { Counted, type useCountables } from './counted';
import { FieldPicker, keepOnEscape } from './fields';

interface Props {
  c: Correlation;
  file?: CorrelationFile;
  /** What the server finds wrong with the YAML as it stands; none while the form is ahead of it. */
  findings: readonly Finding[];
  fields: ReadonlyMap<string, CatalogueField>;
  countables: ReturnType<typeof useCountables>;
  set: (c: Correlation) => void;
}

/** A correlation as a form: what it counts, over what time, and when it fires. */
export function CorrelationForm({ c, file, findings, fields, countables, set }: Props) {
  const { t } = useSettings();
  const lacks = lacking(c);
  const open = lacks.length > 0;
  const fault = (...parts: Part[]): ReactNode => {
    const missing = lacks.filter((l) => parts.includes(l.part));
    const found = open || !file ? [] : findings.filter((f) => parts.includes(partOf(f, file.lines) as Part));
    if (missing.length + found.length === 0) return null;
    return (
      <ul className="findings atplace" data-testid={`fault-${parts[0]}`}>
        {missing.map((l) => (
          <li key={l.why} className="warning">
            {t(`corrlack.${l.why}`, { x: l.word })}
          </li>
        ))}
        {found.map((f, i) => (
          <li key={i} className={f.severity}>
            {f.message}
          </li>
        ))}
      </ul>
    );
  };
  const names = useMemo(() => [...fields.values()].map((f) => ({ value: f.name, label: f.name })), [fields]);
  const title = (ref: string) => countables.find(ref)?.title ?? ref;
  const kind = kindOf(c);
  return (
    <>
      <Panel title={t('build.about')}>
        <div className="about">
          <label className="field wide">
            <span className="dim">{t('build.name')}</span>
            <Input value={c.title} onChange={(e) => set({ ...c, title: e.target.value })} aria-label={t('build.name')} />
          </label>
          <label className="field">
            <span className="dim">{t('build.nameZh')}</span>
            <Input value={c.titleZh} onChange={(e) => set({ ...c, titleZh: e.target.value })} aria-label={t('build.nameZh')} />
          </label>
          <label className="field">
            <span className="dim">{t('build.level')}</span>
            <Select value={c.level} onChange={(level: string) => set({ ...c, level })} options={SEVERITIES.map((v) => ({ value: v, label: t(`sev.${v}`) }))} aria-label={t('build.level')} />
          </label>
          <label className="field">
            <span className="dim">{t('build.tags')}</span>
            <Select mode="tags" value={c.tags} onChange={(tags: string[]) => set({ ...c, tags })} open={false} suffixIcon={null} aria-label={t('build.tags')} tokenSeparators={[',', ' ']} />
          </label>
          <label className="field">
            <span className="dim">{t('corr.name')}</span>
            <Input className="mono" value={c.name} onChange={(e) => set({ ...c, name: e.target.value.trim() })} aria-label={t('corr.name')} />
          </label>
          <label className="field all">
            <span className="dim">{t('corr.sentenceZh')}</span>
            <Input value={c.sentenceZh} placeholder={t('corr.sentenceWhy')} onChange={(e) => set({ ...c, sentenceZh: e.target.value })} aria-label={t('corr.sentenceZh')} />
          </label>
          <label className="field all">
            <span className="dim">{t('corr.sentenceEn')}</span>
            <Input value={c.sentenceEn} placeholder={t('corr.sentenceWhy')} onChange={(e) => set({ ...c, sentenceEn: e.target.value })} aria-label={t('corr.sentenceEn')} />
          </label>
        </div>
        {fault('title', 'name', 'level', 'tags', 'sentence')}
      </Panel>
      <Panel title={t('corr.title')} id="correlation">
        <div className="corrpart">
          <span className="dim">{t('corr.kind')}</span>
          <div>
            <Select value={kind} onChange={(k: Kind) => set(asKind(c, k))} options={KINDS.map((value) => ({ value, label: t(`corrkind.${value}`), title: t(`corrwhy.${value}`) }))} aria-label={t('corr.kind')} listHeight={320} style={{ width: 200 }} data-testid="corr-kind" />
            <div className="hint">{t(`corrwhy.${kind}`)}</div>
            {fault('type')}
          </div>
        </div>
        <div className="corrpart">
          <span className="dim">{t(c.type === 'temporal_ordered' ? 'corr.rulesOrdered' : 'corr.rules')}</span>
          <div>
            <Counted refs={c.rules} ordered={c.type === 'temporal_ordered'} countables={countables} add={(r) => set(addRule(c, r))} remove={(r) => set(removeRule(c, r))} move={(r, by) => set(moveRule(c, r, by))} />
            {fault('rules')}
          </div>
        </div>
        <div className="corrpart">
          <span className="dim">{t('corr.groupBy')}</span>
          <div>
            <Select mode="tags" className="mono" aria-label={t('corr.groupBy')} placeholder={t('corr.groupWhy')} value={c.groupBy} options={names} onChange={(groupBy: string[]) => set(setGroupBy(c, groupBy))} style={{ width: '100%' }} />
            {fault('group-by')}
            <Aliases c={c} set={set} fields={fields} title={title} />
            {fault('aliases')}
          </div>
        </div>
        <div className="corrpart">
          <span className="dim">{t('corr.timespan')}</span>
          <div>
            <Span label={t('corr.timespan')} value={c.timespan} options={['1m', '5m', '15m', '1h', '6h', '1d', '7d']} change={(timespan) => set({ ...c, timespan })} />
            {fault('timespan')}
          </div>
        </div>
        {!c.absence && (
          <div className="corrpart">
            <span className="dim">{t('corr.condition')}</span>
            <div>
              <Condition c={c} set={set} fields={fields} title={title} />
              {fault('condition')}
            </div>
          </div>
        )}
        {c.absence && fault('condition')}
        <div className="corrpart">
          <span className="dim">{t('corr.lateness')}</span>
          <div>
            <Span label={t('corr.lateness')} value={c.lateness} placeholder={t('corr.latenessDefault')} options={['5s', '30s', '1m', '5m', '1h']} change={(lateness) => set({ ...c, lateness })} />
            {fault('lateness')}
          </div>
        </div>
        <div className="row wrap" style={{ gap: 18, marginTop: 10 }}>
          <Checkbox checked={c.alert} onChange={(e) => set({ ...c, alert: e.target.checked })}>
            <span title={t('corr.alertWhy')}>{t('corr.alert')}</span>
          </Checkbox>
          <Checkbox checked={c.generate} onChange={(e) => set({ ...c, generate: e.target.checked })}>
            {t('corr.generate')}
          </Checkbox>
        </div>
        {!c.generate && c.rules.length > 0 && <div className="hint">{t('corr.silences')}</div>}
        {fault('generate')}
        {file && file.kept.length > 0 && (
          <div className="hint" data-testid="kept">
            {t('corr.kept', { x: file.kept.join(', ') })}
          </div>
        )}
        {file && file.beside.length > 0 && <div className="hint">{t('corr.beside', { x: file.beside.map((b) => b.title || b.name || b.id).join(', ') })}</div>}
        {open && <div className="hint">{t('corr.unfinished')}</div>}
      </Panel>
    </>
  );
}

/** A stretch of time, with the usual ones to choose from. */
function Span({ label, value, options, placeholder, change }: { label: string; value: string; options: string[]; placeholder?: string; change: (v: string) => void }) {
  const { t } = useSettings();
  return <AutoComplete className="mono" aria-label={label} title={t('corr.spanHow')} placeholder={placeholder} value={value} options={options.map((v) => ({ value: v }))} onInputKeyDown={keepOnEscape} onChange={(v: string) => change((v ?? '').trim())} style={{ width: 140 }} />;
}

function Aliases({ c, set, fields, title }: { c: Correlation; set: Props['set']; fields: Props['fields']; title: (ref: string) => string }) {
  const { t } = useSettings();
  const rename = (from: string, to: string) => set({ ...c, aliases: c.aliases.map((a) => (a.name === from ? { ...a, name: to } : a)), groupBy: c.groupBy.map((g) => (g === from ? to : g)) });
  const add = () => {
    let name = 'alias';
    for (let i = 2; c.groupBy.includes(name) || c.aliases.some((a) => a.name === name); i++) name = `alias_${i}`;
    set({ ...c, groupBy: [...c.groupBy, name], aliases: [...c.aliases, { name, fields: [] }] });
  };
  return (
    <div className="aliases">
      {c.aliases.map((a, i) => (
        // By place: a name that is being typed is no other alias.
        <div key={i} className="alias" role="group" aria-label={t('corr.aliases')}>
          <Input className="mono" aria-label={t('corr.aliasName')} value={a.name} onChange={(e) => !c.aliases.some((x, j) => j !== i && x.name === e.target.value.trim()) && rename(a.name, e.target.value.trim())} style={{ width: 160 }} />
          <button type="button" className="plain step" aria-label={t('corr.take', { x: a.name })} onClick={() => set({ ...c, aliases: c.aliases.filter((_, j) => j !== i), groupBy: c.groupBy.filter((g) => g !== a.name) })}>
            ✕
          </button>
          <div className="aliasfields">
            {c.rules.map((ref) => (
              <label key={ref}>
                <span className="dim ellipsis" title={title(ref)}>
                  {title(ref)}
                </span>
                <FieldPicker label={t('corr.aliasField', { x: title(ref) })} value={a.fields.find((f) => f.rule === ref)?.field ?? ''} fields={fields} onChange={(field) => set(setAlias(c, a.name, ref, field))} />
              </label>
            ))}
          </div>
        </div>
      ))}
      <button type="button" className="plain link" title={t('corr.aliasWhy')} onClick={add}>
        ＋ {t('corr.addAlias')}
      </button>
    </div>
  );
}

const SIGNS: Record<Relation, string> = { gte: '≥', gt: '>', lte: '≤', lt: '<', eq: '=', neq: '≠' };

function Condition({ c, set, fields, title }: { c: Correlation; set: Props['set']; fields: Props['fields']; title: (ref: string) => string }) {
  const { t } = useSettings();
  const names = useMemo(() => [...fields.values()].map((f) => ({ value: f.name, label: f.name })), [fields]);
  const how = c.expression ? 'expression' : c.bounds.length > 0 ? 'howMany' : 'all';
  return (
    <div className="stack" style={{ gap: 8 }}>
      {temporal(c) && (
        <Select
          aria-label={t('corr.condition')}
          value={how}
          options={(['all', 'howMany', 'expression'] as const).map((value) => ({ value, label: t(`corr.${value}`), disabled: value === 'expression' && !c.rules.every(nameable) }))}
          onChange={(v: string) => set(v === 'expression' ? withExpression(c, true) : { ...withExpression(c, false), bounds: v === 'all' ? [] : [{ relation: 'gte', value: String(Math.max(1, c.rules.length - 1)) }] })}
          style={{ width: 160 }}
          data-testid="corr-how"
        />
      )}
      {valued(c) && (
        <div className="row wrap" style={{ gap: 8 }}>
          {numbered(c) ? (
            <div style={{ width: 260 }}>
              <FieldPicker label={t('corr.field')} value={c.fields[0] ?? ''} fields={fields} onChange={(f) => set({ ...c, fields: f ? [f] : [] })} />
            </div>
          ) : (
            <Select mode="tags" className="mono" aria-label={t('corr.field')} placeholder={t('corr.field')} value={c.fields} options={names} onChange={(list: string[]) => set({ ...c, fields: list })} style={{ minWidth: 260 }} />
          )}
          {c.type === 'value_percentile' && <InputNumber stringMode aria-label={t('corr.percentile')} addonBefore={t('corr.percentile')} min="0" max="100" value={c.percentile} onChange={(v) => set({ ...c, percentile: v === null ? '' : String(v) })} style={{ width: 150 }} />}
        </div>
      )}
      {c.expression ? <TermBox node={c.expression} path={[]} rules={c.rules} title={title} put={(path, n) => set({ ...c, expression: replaceTerm(c.expression as TermGroup, path, n) })} /> : how !== 'all' || !temporal(c) ? <Bounds c={c} set={set} /> : null}
    </div>
  );
}

function Bounds({ c, set }: { c: Correlation; set: Props['set'] }) {
  const { t } = useSettings();
  const put = (i: number, b: Bound | null) => set({ ...c, bounds: c.bounds.flatMap((x, j) => (j !== i ? [x] : b ? [b] : [])) });
  const free = RELATIONS.filter((r) => !c.bounds.some((b) => b.relation === r));
  return (
    <div className="row wrap" style={{ gap: 8 }} data-testid="bounds">
      {c.bounds.map((b, i) => (
        <span key={b.relation} className="row" style={{ gap: 4 }}>
          <Select aria-label={t('corr.bound')} value={b.relation} options={RELATIONS.filter((r) => r === b.relation || free.includes(r)).map((r) => ({ value: r, label: SIGNS[r] }))} onChange={(relation: Relation) => put(i, { ...b, relation })} style={{ width: 62 }} />
          <Input className="mono" inputMode="decimal" aria-label={t('corr.number')} value={b.value} onChange={(e) => put(i, { ...b, value: e.target.value.trim() })} style={{ width: 110 }} />
          {(c.bounds.length > 1 || temporal(c)) && (
            <button type="button" className="plain step" aria-label={t('build.remove')} onClick={() => put(i, null)}>
              ✕
            </button>
          )}
        </span>
      ))}
      {free.length > 0 && c.bounds.length < 2 && (
        <button type="button" className="plain link" onClick={() => set({ ...c, bounds: [...c.bounds, { relation: free.includes('lte') ? 'lte' : (free[0] as Relation), value: '' }] })}>
          ＋ {t('corr.addBound')}
        </button>
      )}
    </div>
  );
}

/** Rules in any nesting of and, or and not. */
function TermBox({ node, path, rules, title, put }: { node: TermGroup; path: number[]; rules: readonly string[]; title: (ref: string) => string; put: (path: readonly number[], n: Term | null) => void }) {
  const { t } = useSettings();
  const add = (n: Term) => put(path, { ...node, items: [...node.items, n] });
  const inner = path.length > 0;
  return (
    <div className={`bgroup ${node.op}${node.not ? ' not' : ''}`} role="group" aria-label={`${node.not ? t('build.not') : ''} ${t(`build.${node.op}`)}`} data-testid="terms">
      <div className="bhead">
        {inner && (
          <button type="button" className="plain toggle" aria-pressed={node.not} title={t('build.notWhy')} onClick={() => put(path, { ...node, not: !node.not })}>
            {t('build.not')}
          </button>
        )}
        <button type="button" className="plain join" onClick={() => put(path, { ...node, op: node.op === 'and' ? 'or' : 'and' })}>
          {t(`build.${node.op}`)}
        </button>
        <span className="grow" />
        <button type="button" className="plain add" disabled={rules.length === 0} onClick={() => add(term(rules[0] ?? ''))}>
          ＋ {t('corr.addTerm')}
        </button>
        <button type="button" className="plain add" disabled={rules.length === 0} onClick={() => add(terms(node.op === 'and' ? 'or' : 'and', [term(rules[0] ?? '')]))}>
          ＋ {t('build.addGroup')}
        </button>
        {inner && (
          <button type="button" className="plain x" aria-label={t('build.remove')} title={t('build.remove')} onClick={() => put(path, null)}>
            ✕
          </button>
        )}
      </div>
      {node.items.length === 0 && <div className="faint">{t('build.empty')}</div>}
      {node.items.map((n, i) =>
        n.kind === 'group' ? (
          <TermBox key={i} node={n} path={[...path, i]} rules={rules} title={title} put={put} />
        ) : (
          <div key={i} className="bterm">
            <button type="button" className="plain toggle" aria-pressed={n.not} onClick={() => put([...path, i], { ...n, not: !n.not })}>
              {t('build.not')}
            </button>
            <Select aria-label={t('corr.term')} value={n.rule} options={[...new Set([...rules, n.rule])].map((r) => ({ value: r, label: title(r) }))} onChange={(r: string) => put([...path, i], { ...n, rule: r })} />
            <button type="button" className="plain step" aria-label={t('build.remove')} title={t('build.remove')} onClick={() => put([...path, i], null)}>
              ✕
            </button>
          </div>
        ),
      )}
    </div>
  );
}
