import { useQuery } from '@tanstack/react-query';
import { AutoComplete, Select } from 'antd';
import { useMemo, useState } from 'react';
import { get } from '../../api/client';
import type { CatalogueField } from '../../api/rules';
import { list, type Page } from '../../api/types';
import { useSettings } from '../../app/settings';
import { CHOICES, caseless, choiceOf, choose, group, leaf, numeric, replaceAt, typed, valueless, type Choice, type Group, type Leaf, type Node } from '../../logic/sigma/tree';
import type { Key } from '../../locales/zh';
import { FieldPicker, keepOnEscape } from './fields';

interface Props {
  tree: Group;
  fields: ReadonlyMap<string, CatalogueField>;
  disabled?: boolean;
  change: (tree: Group) => void;
}

/** Conditions in any nesting of and, or and not. */
export function Builder({ tree, fields, change }: Props) {
  return <GroupBox node={tree} path={[]} fields={fields} put={(path, n) => change(path.length === 0 ? ((n as Group | null) ?? group('and', [])) : replaceAt(tree, path, n))} />;
}

type Put = (path: readonly number[], n: Node | null) => void;

function GroupBox({ node, path, fields, put }: { node: Group; path: readonly number[]; fields: Props['fields']; put: Put }) {
  const { t } = useSettings();
  const add = (n: Node) => put(path, { ...node, items: [...node.items, n] });
  const inner = path.length > 0;
  return (
    <div className={`bgroup ${node.op}${node.not ? ' not' : ''}`} role="group" aria-label={`${node.not ? t('build.not') : ''} ${t(`build.${node.op}`)}`} data-testid="group">
      <div className="bhead">
        <button type="button" className="plain toggle" aria-pressed={node.not} title={t('build.notWhy')} onClick={() => put(path, { ...node, not: !node.not })}>
          {t('build.not')}
        </button>
        <button type="button" className="plain join" onClick={() => put(path, { ...node, op: node.op === 'and' ? 'or' : 'and' })} data-testid="join">
          {t(`build.${node.op}`)}
        </button>
        {node.name && <span className="tag mono">{node.name}</span>}
        <span className="grow" />
        <button type="button" className="plain add" onClick={() => add(leaf('', 'equals'))} data-testid="add-condition">
          ＋ {t('build.addCondition')}
        </button>
        <button type="button" className="plain add" onClick={() => add(group(node.op === 'and' ? 'or' : 'and', [leaf('', 'equals')]))} data-testid="add-group">
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
          <GroupBox key={i} node={n} path={[...path, i]} fields={fields} put={put} />
        ) : (
          <Condition key={i} node={n} fields={fields} put={(x) => put([...path, i], x)} />
        ),
      )}
    </div>
  );
}

/** The operators as they are chosen; those that cannot be changed into others come from YAML. */
function useChoices(): { value: string; label: string }[] {
  const { t } = useSettings();
  return useMemo(() => CHOICES.map((c) => ({ value: c.key, label: t(`buildop.${c.key}` as Key) })), [t]);
}

function Condition({ node, fields, put }: { node: Leaf; fields: Props['fields']; put: (n: Leaf | null) => void }) {
  const { t } = useSettings();
  const choices = useChoices();
  // "in" with one value left is still "in" to the one who is typing.
  const [wants, setWants] = useState('');
  const given = choiceOf(node);
  const choice = (CHOICES.find((c) => c.key === wants && c.op === node.op && c.not === node.not) ?? given) as Choice;
  const type = fields.get(node.field)?.type;
  const asNumber = numeric(node.op) || (type === 'number' && (node.op === 'equals' || node.op === 'null'));
  const set = (values: string[]) => put({ ...node, values: values.map((v) => typed(v, asNumber)), all: node.all && values.length > 1 });
  return (
    <div className="bcond" data-testid="condition">
      {node.op === 'keyword' ? (
        <span className="bany dim">{t('build.anyText')}</span>
      ) : (
        <FieldPicker label={t('build.field')} value={node.field} fields={fields} onChange={(field) => put({ ...node, field })} autoFocus={node.field === ''} />
      )}
      <Select
        aria-label={t('build.op')}
        value={choice.key}
        options={choices}
        showSearch
        optionFilterProp="label"
        popupMatchSelectWidth={false}
        listHeight={420}
        onChange={(key: string) => {
          setWants(key);
          put(choose(node, CHOICES.find((c) => c.key === key) as Choice));
        }}
      />
      <div className="bvalue">
        {valueless(node.op) ? null : node.op === 'fieldref' ? (
          <FieldPicker label={t('build.refField')} value={node.values[0]?.text ?? ''} fields={fields} onChange={(v) => set(v ? [v] : [])} />
        ) : (
          <Values node={node} many={choice.many} set={set} />
        )}
      </div>
      <div className="bflags">
        {caseless(node.op) && (
          <button type="button" className="plain flag" aria-pressed={node.cased} title={t('build.cased')} aria-label={t('build.cased')} onClick={() => put({ ...node, cased: !node.cased })}>
            Aa
          </button>
        )}
        {choice.many && node.values.length > 1 && node.op !== 'equals' && (
          <button type="button" className="plain flag" aria-pressed={node.all} title={t('build.all')} aria-label={t('build.all')} onClick={() => put({ ...node, all: !node.all })}>
            ∀
          </button>
        )}
        {[...node.extra, ...node.after].map((m) => (
          <span key={m} className="tag mono">
            {m}
            <button type="button" className="plain" aria-label={t('do.remove', { x: m })} onClick={() => put({ ...node, extra: node.extra.filter((x) => x !== m), after: node.after.filter((x) => x !== m) })}>
              ✕
            </button>
          </span>
        ))}
      </div>
      <button type="button" className="plain x" aria-label={t('build.remove')} title={t('build.remove')} onClick={() => put(null)}>
        ✕
      </button>
    </div>
  );
}

/** Values, with those that occur as suggestions. */
function Values({ node, many, set }: { node: Leaf; many: boolean; set: (values: string[]) => void }) {
  const { t } = useSettings();
  const [open, setOpen] = useState(false);
  const found = useQuery({
    enabled: open && node.field !== '',
    queryKey: ['values', node.field],
    queryFn: ({ signal }) => get<Page<{ value: string; hits: number }>>('/search/values', { since: '24h', query: '*', field: node.field, limit: 30 }, signal),
    staleTime: 60_000,
    retry: false,
  });
  const values = node.values.map((v) => v.text);
  const options = list(found.data?.items).filter((v) => v.value !== '').map((v) => ({ value: v.value }));
  const hint = node.op === 'equals' ? t('build.wild') : undefined;
  if (many) {
    return <Select mode="tags" className="mono" aria-label={t('build.value')} placeholder={t('build.values')} title={hint} value={values} options={options} onChange={set} onFocus={() => setOpen(true)} tokenSeparators={['\n']} style={{ width: '100%' }} maxTagTextLength={60} />;
  }
  return (
    <AutoComplete
      className="mono"
      aria-label={t('build.value')}
      placeholder={t('build.value')}
      title={hint}
      value={values[0] ?? ''}
      options={options.filter((o) => o.value.toLowerCase().includes((values[0] ?? '').toLowerCase())).slice(0, 12)}
      onInputKeyDown={keepOnEscape}
      onFocus={() => setOpen(true)}
      onChange={(v: string) => set(v === '' ? [] : [v])}
      style={{ width: '100%' }}
    />
  );
}
