import { useQuery } from '@tanstack/react-query';
import { AutoComplete, Button, Select } from 'antd';
import { get } from '../../api/client';
import type { Matcher } from '../../api/silences';
import { list, type Alert } from '../../api/types';
import { useT } from '../../app/settings';
import { OPERATORS, operatorOf, withOperator, type Operator } from '../../logic/silence';

/** Labels that alerts have, whatever made them; an alert at hand adds its own. */
export const LABELS = ['alertname', 'rule_id', 'severity', 'tenant', 'ci', 'host', 'system', 'source_ip', 'priority', 'incident', 'alert'];
export const EMPTY: Matcher = { name: '', value: '', isRegex: false, isEqual: true };

/** Conditions on the labels of alerts, all of which have to be met. There is always one line to fill in. */
export function Matchers({ title, why, matchers, set, alert }: { title: string; why?: string; matchers: Matcher[]; set: (m: Matcher[]) => void; /** Whose labels are offered. */ alert?: Alert }) {
  const t = useT();
  const values = useLabelValues(alert);
  const change = (i: number, m: Matcher) => set(matchers.map((x, k) => (k === i ? m : x)));
  return (
    <fieldset className="matchers">
      <legend>
        {title} {why && <span className="faint">{why}</span>}
      </legend>
      {matchers.map((m, i) => (
        <div key={i} className="matcher">
          <AutoComplete
            aria-label={t('silence.name')}
            placeholder={t('silence.name')}
            value={m.name}
            options={[...new Set([...Object.keys(alert?.labels ?? {}), ...LABELS])].filter((x) => x.includes(m.name) || m.name === '').map((x) => ({ value: x }))}
            onChange={(name: string) => change(i, { ...m, name: name.trim(), value: m.value || (alert?.labels?.[name] ?? '') })}
          />
          <Select<Operator> aria-label={t('silence.operator')} value={operatorOf(m)} options={OPERATORS.map((o) => ({ value: o, label: o }))} onChange={(o) => change(i, withOperator(m, o))} />
          <AutoComplete aria-label={t('silence.value')} placeholder={t('silence.value')} value={m.value} options={values(m.name).map((v) => ({ value: v }))} filterOption={(text, o) => String(o?.value).includes(text)} onChange={(value: string) => change(i, { ...m, value })} />
          <button type="button" className="plain x" aria-label={t('do.remove', { x: m.name || t('silence.name') })} onClick={() => set(matchers.length > 1 ? matchers.filter((_, k) => k !== i) : [EMPTY])}>
            ✕
          </button>
        </div>
      ))}
      <Button size="small" type="dashed" onClick={() => set([...matchers, EMPTY])}>
        + {t('silence.add')}
      </Button>
    </fieldset>
  );
}

/** What a label may say: of the alert at hand and of the alerts open now. */
function useLabelValues(alert?: Alert): (name: string) => string[] {
  const recent = useQuery({ queryKey: ['alerts', 'labels'], queryFn: ({ signal }) => get<{ items: Alert[] }>('/alerts', { limit: 200, status: 'open,acknowledged' }, signal), staleTime: 60_000 }).data;
  return (name) => [...new Set([alert, ...list(recent?.items)].map((a) => a?.labels?.[name]).filter((v): v is string => !!v))].slice(0, 100);
}
