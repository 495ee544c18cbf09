import { AutoComplete, Button, Select } from 'antd';
import { DIRECTIONS, PHASES, THREATS, VERDICTS } from '../../api/judgement';
import { useTenants } from '../../api/queries';
import type { Matcher } from '../../api/silences';
import { RESOLUTIONS, SEVERITIES, STATUSES, list } from '../../api/types';
import { useSettings } from '../../app/settings';
import { CONDITION_FIELDS } from '../../logic/scenario';
import { OPERATORS, operatorOf, withOperator, type Operator } from '../../logic/silence';
import { useTaxonomy } from '../judgement';

export const NO_CONDITION: Matcher = { name: '', value: '', isRegex: false, isEqual: true };

/** Which alerts belong to a scenario: groups of conditions, one of which has to be met as a whole. */
export function ScenarioConditions({ title, why, lines, set, least = 0 }: { title: string; why: string; lines: Matcher[][]; set: (l: Matcher[][]) => void; /** Groups that there are at least. */ least?: number }) {
  const { t } = useSettings();
  const values = useConditionValues();
  const change = (i: number, line: Matcher[]) => set(line.length > 0 ? lines.map((l, k) => (k === i ? line : l)) : lines.length > least ? lines.filter((_, k) => k !== i) : lines.map((l, k) => (k === i ? [NO_CONDITION] : l)));
  return (
    <fieldset className="matchers">
      <legend>
        {title} <span className="faint">{why}</span>
      </legend>
      {lines.map((line, i) => (
        <div key={i} role="group" aria-label={t('scenario.line', { n: i + 1 })} className="fgroup" style={{ marginBottom: 8 }}>
          {line.map((m, k) => {
            const put = (x: Matcher) => change(i, line.map((y, j) => (j === k ? x : y)));
            const at = `${title} ${t('scenario.line', { n: i + 1 })}.${k + 1}`;
            return (
              <div key={k} className="matcher">
                <Select
                  showSearch
                  aria-label={`${at} ${t('scenario.conditionField')}`}
                  placeholder={t('scenario.conditionField')}
                  value={m.name || undefined}
                  optionFilterProp="label"
                  options={CONDITION_FIELDS.map((f) => ({ value: f, label: t(`scenario.field.${f}`) }))}
                  onChange={(name: string) => put({ ...m, name, value: '' })}
                />
                <Select<Operator> aria-label={`${at} ${t('scenario.conditionOp')}`} value={operatorOf(m)} popupMatchSelectWidth={150} options={OPERATORS.map((o) => ({ value: o, label: t(`scenario.op.${o}`) }))} onChange={(o) => put(withOperator(m, o))} />
                <AutoComplete
                  aria-label={`${at} ${t('scenario.conditionValue')}`}
                  placeholder={t('scenario.conditionValue')}
                  value={m.value}
                  popupMatchSelectWidth={280}
                  options={values(m.name)}
                  filterOption={(text, o) => `${o?.value} ${o?.label}`.toLowerCase().includes(text.toLowerCase())}
                  onChange={(value: string) => put({ ...m, value })}
                />
                <button type="button" className="plain x" aria-label={t('do.remove', { x: at })} onClick={() => change(i, line.filter((_, j) => j !== k))}>
                  ✕
                </button>
              </div>
            );
          })}
          <Button size="small" type="text" onClick={() => change(i, [...line, NO_CONDITION])}>
            + {t('scenario.addCondition')}
          </Button>
        </div>
      ))}
      <Button size="small" type="dashed" onClick={() => set([...lines, [NO_CONDITION]])}>
        + {t('scenario.addLine')}
      </Button>
    </fieldset>
  );
}

interface Choice {
  value: string;
  label: string;
}

/** What a field may be, with what people call it. */
function useConditionValues(): (field: string) => Choice[] {
  const { t, tx } = useSettings();
  const taxonomy = useTaxonomy();
  const tenants = useTenants().data ?? [];
  const named = (value: string, name: string): Choice => ({ value, label: name && name !== value ? `${name} · ${value}` : value });
  return (field) => {
    switch (field) {
      case 'attack':
        return list(taxonomy?.attacks).map((a) => named(a.id, tx(a.name)));
      case 'risk':
        return list(taxonomy?.risks).flatMap((r) => [named(r.code, tx(r.name)), ...list(r.below).flatMap((s) => [named(`${r.code}.${s.code}`, tx(s.name)), ...list(s.below).map((x) => named(`${r.code}.${s.code}.${x.code}`, tx(x.name)))])]);
      case 'technique':
        return Object.entries(taxonomy?.techniques ?? {}).map(([id, name]) => named(id, tx(name)));
      case 'tactic':
        return Object.entries(taxonomy?.tactics ?? {}).map(([id, name]) => named(id, tx(name)));
      case 'severity':
        return SEVERITIES.map((s) => named(s, t(`sev.${s}`)));
      case 'verdict':
        return [...VERDICTS.map((v) => named(v, t(`verdict.${v}`))), { value: 'none', label: 'none' }];
      case 'threat':
        return THREATS.map((x) => named(x, t(`threat.${x}`)));
      case 'direction':
        return DIRECTIONS.map((x) => named(x, t(`direction.${x}`)));
      case 'phase':
        return PHASES.map((x) => named(x, t(`phase.${x}`)));
      case 'status':
        return STATUSES.map((x) => named(x, t(`status.${x}`)));
      case 'resolution':
        return RESOLUTIONS.map((x) => named(x, t(`resolution.${x}`)));
      case 'priority':
        return ['P1', 'P2', 'P3', 'P4'].map((x) => named(x, ''));
      case 'key_asset':
        return [named('true', t('key.asset'))];
      case 'tenant':
        return tenants.map((x) => named(x.slug, tx(x.name)));
      default:
        return [];
    }
  };
}
