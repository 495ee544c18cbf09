import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { AutoComplete, Button, Checkbox, Input, Popover, Select } from 'antd';
import { createContext, useContext, useState } from 'react';
import { get } from '../../api/client';
import { useOperators, type Asked, type Clause, type Group, type Leaf, type Operator } from '../../api/search';
import { list, type Page } from '../../api/types';
import { useSettings } from '../../app/settings';
import { asGroup, isGroup, isRaw, negate, negated, replaceAt, tidy } from '../../logic/clauses';

interface Props {
  clause: Clause | null;
  pipes: string;
  /** Fields that occur, most frequent first. */
  fields: readonly string[];
  asked: Asked;
  onChange: (clause: Clause | null, pipes: string) => void;
}

/** The query as conditions to click: chips in groups, pipes at the end. What the tree cannot express stays as its text. */
export function ClickMode({ clause, pipes, fields, asked, onChange }: Props) {
  const { t } = useSettings();
  const root = asGroup(clause);
  return (
    <div className="clicks" data-testid="click-mode" aria-label={t('click.label')}>
      <GroupBox group={root} path={[]} change={(path, by) => onChange(tidy(replaceAt(root, path, by)), pipes)} fields={fields} asked={asked} />
      {pipes && (
        <span className="chip raw" title={t('click.pipesWhy')}>
          | {pipes}
          <button className="plain" aria-label={t('do.remove', { x: pipes })} onClick={() => onChange(clause, '')}>
            ✕
          </button>
        </span>
      )}
    </div>
  );
}

type Change = (path: readonly number[], by: Clause | null) => void;

function GroupBox({ group, path, change, fields, asked, not = false }: { group: Group; path: readonly number[]; change: Change; fields: readonly string[]; asked: Asked; not?: boolean }) {
  const { t } = useSettings();
  const [adding, setAdding] = useState(false);
  const outer = not ? path.slice(0, -1) : path;
  const add = (c: Clause) => change(path, { ...group, clauses: [...group.clauses, c] });
  return (
    <div className={`cgroup${path.length > 0 ? ' inner' : ''}`} role="group" aria-label={t(`click.${group.join}`)}>
      {path.length > 0 && (
        <button className="plain join" aria-pressed={not} title={t('click.negate')} onClick={() => change(outer, not ? group : negate(group))}>
          {t(not ? 'click.not' : 'click.is')}
        </button>
      )}
      {(group.clauses.length > 1 || path.length > 0) && (
        <button className="plain join" title={t('click.joinWhy')} onClick={() => change(path, { ...group, join: group.join === 'all' ? 'any' : 'all' })}>
          {t(`click.${group.join}`)}
        </button>
      )}
      {group.clauses.map((c, i) => {
        const [isNot, inner] = negated(c);
        const at = [...path, i];
        if (isGroup(inner)) return <GroupBox key={i} group={inner} path={isNot ? [...at, 0] : at} not={isNot} change={change} fields={fields} asked={asked} />;
        return <Chip key={i} clause={c} change={(by) => change(at, by)} fields={fields} asked={asked} />;
      })}
      <Popover
        open={adding}
        onOpenChange={setAdding}
        trigger="click"
        placement="bottomLeft"
        destroyOnHidden
        content={
          <LeafEditor
            leaf={{ field: '', operator: 'contains', values: [] }}
            not={false}
            fields={fields}
            asked={asked}
            done={(c) => {
              setAdding(false);
              add(c);
            }}
          />
        }
      >
        <button className="plain chip add">＋ {t('click.add')}</button>
      </Popover>
      {group.clauses.length > 1 && (
        <button
          className="plain chip add"
          title={t('click.groupWhy')}
          onClick={() => {
            // The last two stand together under the other word.
            const last = group.clauses.slice(-2);
            change(path, { ...group, clauses: [...group.clauses.slice(0, -2), { join: group.join === 'all' ? 'any' : 'all', clauses: last }] });
          }}
        >
          {t('click.addGroup')}
        </button>
      )}
      {path.length > 0 && (
        <button className="plain x" aria-label={t('click.removeGroup')} onClick={() => change(outer, null)}>
          ✕
        </button>
      )}
    </div>
  );
}

/** What an operator is called. */
export function useOperatorText(): (id: string) => string {
  const { tx } = useSettings();
  const ops = useOperators().data;
  return (id) => tx(ops?.find((o) => o.id === id)?.name) || id;
}

function Chip({ clause, change, fields, asked }: { clause: Clause; change: (by: Clause | null) => void; fields: readonly string[]; asked: Asked }) {
  const { t } = useSettings();
  const [open, setOpen] = useState(false);
  const operator = useOperatorText();
  const [not, inner] = negated(clause);
  if (isGroup(inner)) return null;
  const text = isRaw(inner) ? inner.text : `${inner.field || t('click.anywhere')} ${operator(inner.operator)} ${list(inner.values).join(', ')}`.trim();
  const close = (c: Clause) => {
    setOpen(false);
    change(c);
  };
  return (
    <span className={`chip${isRaw(inner) ? ' raw' : ''}${not ? ' not' : ''}`} data-testid="clause">
      <Popover
        open={open}
        onOpenChange={setOpen}
        trigger="click"
        placement="bottomLeft"
        destroyOnHidden
        content={isRaw(inner) ? <RawEditor text={inner.text} not={not} done={close} /> : <LeafEditor leaf={inner} not={not} fields={fields} asked={asked} done={close} />}
      >
        <button className="plain text" aria-label={t('click.edit', { x: text })} title={text}>
          {not && <b>{t('click.not')} </b>}
          {isRaw(inner) ? (
            inner.text
          ) : (
            <>
              <span className="mono">{inner.field || t('click.anywhere')}</span> <i>{operator(inner.operator)}</i> <b className="mono">{list(inner.values).join(', ')}</b>
            </>
          )}
        </button>
      </Popover>
      <button className="plain" aria-label={t('do.remove', { x: text })} onClick={() => change(null)}>
        ✕
      </button>
    </span>
  );
}

function RawEditor({ text, not, done }: { text: string; not: boolean; done: (c: Clause) => void }) {
  const { t } = useSettings();
  const [now, setNow] = useState(text);
  return (
    <form
      className="stack"
      style={{ width: 380, gap: 8 }}
      onSubmit={(e) => {
        e.preventDefault();
        if (now.trim()) done(not ? negate({ text: now.trim() }) : { text: now.trim() });
      }}
    >
      <div className="hint">{t('click.rawWhy')}</div>
      <Input className="mono" aria-label="LogsQL" value={now} onChange={(e) => setNow(e.target.value)} autoFocus />
      <Button htmlType="submit" type="primary" size="small">
        {t('click.apply')}
      </Button>
    </form>
  );
}

/** Ids of the operators that may be chosen where not all may. */
export const OfferedOperators = createContext<readonly string[] | null>(null);

/** Those that join groups are no relation between a field and values. */
const offered = (o: Operator, only: readonly string[] | null) => o.on !== 'group' && (only === null || only.includes(o.id));

function LeafEditor({ leaf, not, fields, asked, done }: { leaf: Leaf; not: boolean; fields: readonly string[]; asked: Asked; done: (c: Clause) => void }) {
  const { t, tx } = useSettings();
  const ops = useOperators().data ?? [];
  const only = useContext(OfferedOperators);
  const [field, setField] = useState(leaf.field ?? '');
  const [operator, setOperator] = useState(only && !only.includes(leaf.operator) ? (only[0] ?? leaf.operator) : leaf.operator);
  const [values, setValues] = useState<string[]>(list(leaf.values));
  const [negative, setNegative] = useState(not);
  const op = ops.find((o) => o.id === operator);
  const least = op?.least ?? 1;
  const most = op && op.most < 0 ? Infinity : (op?.most ?? 1);
  // Some compare with another field of the same event.
  const ofField = /_field$/.test(operator);
  const given = values.map((v) => v.trim()).filter((v) => v !== '').slice(0, most);
  const top = useQuery({
    queryKey: ['values', field, asked],
    enabled: field !== '' && least > 0 && !ofField,
    queryFn: ({ signal }) => get<Page<{ value: string; hits: number }>>('/search/values', { ...asked, query: '*', field, limit: 20 }, signal),
    placeholderData: keepPreviousData,
    staleTime: 30_000,
    retry: false,
  });
  const known = ofField ? fields : list(top.data?.items).map((v) => v.value);
  const options = known.filter(Boolean).map((v) => ({ value: v, label: v }));
  const ready = given.length >= least && (field !== '' || !op?.needs_field);
  const set = (i: number, v: string) => setValues((l) => Object.assign([...l], { [i]: v }));
  const one = (i: number, label: string) => (
    <AutoComplete
      key={i}
      aria-label={label}
      value={values[i] ?? ''}
      options={options.filter((o) => o.value.toLowerCase().includes((values[i] ?? '').toLowerCase())).slice(0, 12)}
      onChange={(v: string) => set(i, v)}
      placeholder={op?.example}
      style={{ flex: 1, minWidth: 0 }}
    />
  );
  return (
    <form
      className="stack"
      data-testid="clause-editor"
      style={{ width: 420, gap: 8 }}
      onSubmit={(e) => {
        e.preventDefault();
        if (!ready) return;
        const c: Clause = { field, operator, values: given };
        done(negative ? negate(c) : c);
      }}
    >
      <div className="row">
        <AutoComplete
          aria-label={t('click.field')}
          placeholder={t('click.anywhere')}
          value={field}
          allowClear
          options={[{ value: '', label: t('click.anywhere') }, ...fields.filter((f) => f.toLowerCase().includes(field.toLowerCase())).slice(0, 60).map((f) => ({ value: f, label: f }))]}
          onChange={(v?: string) => setField(v ?? '')}
          style={{ flex: 1, minWidth: 0 }}
        />
        <Select
          aria-label={t('click.operator')}
          showSearch
          value={operator}
          onChange={setOperator}
          optionFilterProp="search"
          popupMatchSelectWidth={false}
          options={ops.filter((o) => offered(o, only)).map((o) => ({ value: o.id, label: tx(o.name) || o.id, title: tx(o.explain), search: `${o.id} ${o.name.zh} ${o.name.en}` }))}
          style={{ width: 150 }}
        />
      </div>
      {least > 0 && (
        <div className="row">
          {most > 2 ? (
            <Select aria-label={t('click.values')} mode="tags" value={values} onChange={setValues} options={options} placeholder={op?.example} tokenSeparators={['\n']} style={{ width: '100%' }} />
          ) : most === 2 ? (
            <>
              {one(0, t('range.from'))}
              <span className="faint">–</span>
              {one(1, t('range.to'))}
            </>
          ) : (
            one(0, t('click.values'))
          )}
        </div>
      )}
      {op && <div className="hint">{tx(op.explain)}</div>}
      <div className="row">
        <Button type="primary" size="small" htmlType="submit" disabled={!ready}>
          {t('click.apply')}
        </Button>
        <Checkbox checked={negative} onChange={(e) => setNegative(e.target.checked)}>{t('click.negate')}</Checkbox>
      </div>
    </form>
  );
}
