import { useQuery } from '@tanstack/react-query';
import { Select } from 'antd';
import { useEffect, useMemo, useRef, type KeyboardEvent } from 'react';
import { Link } from 'react-router-dom';
import { parseAllDocuments } from 'yaml';
import { get, post } from '../../api/client';
import type { Rule, Verdict } from '../../api/rules';
import { list, type RuleInfo } from '../../api/types';
import { useSettings } from '../../app/settings';
import type { Beside } from '../../logic/sigma/correlationyaml';
import { SeverityMark } from '../severity';

/** A rule that can be counted, by the word that is written for it. */
export interface Countable {
  ref: string;
  title: string;
  info?: RuleInfo;
  beside?: Beside;
}

/** The rules that can be counted by id or name: those of the file first. */
export function useCountables(rules: readonly RuleInfo[], beside: readonly Beside[], own: string): { all: Countable[]; find: (ref: string) => Countable | undefined } {
  const { tx } = useSettings();
  return useMemo(() => {
    const here = beside.map((b): Countable => ({ ref: b.name || b.id, title: b.title || b.name || b.id, beside: b })).filter((c) => c.ref !== '');
    const ids = new Set(beside.map((b) => b.id).filter(Boolean));
    const there = rules
      .filter((r) => (r.kind === 'sigma' || r.kind === 'correlation') && r.id !== '' && r.id !== own && !ids.has(r.id) && r.status !== 'rejected')
      .map((r): Countable => ({ ref: r.name || r.id, title: tx(r.title) || r.id, info: r }));
    const all = [...here, ...there];
    const by = new Map<string, Countable>();
    for (const c of all) for (const ref of [c.beside?.name, c.beside?.id, c.info?.id, c.info?.name]) if (ref && !by.has(ref)) by.set(ref, c);
    return { all, find: (ref) => by.get(ref) };
  }, [rules, beside, own, tx]);
}

/** The rules a correlation counts, in order; more are found by typing. */
export function Counted({ refs, ordered, countables, add, remove, move }: { refs: readonly string[]; ordered: boolean; countables: ReturnType<typeof useCountables>; add: (ref: string) => void; remove: (ref: string) => void; move: (ref: string, by: -1 | 1) => void }) {
  const { t } = useSettings();
  const box = useRef<HTMLOListElement>(null);
  // The browser lets go of an element that is moved: what was moved is focused again.
  const follow = useRef<{ ref: string; control: string } | null>(null);
  useEffect(() => {
    const want = follow.current;
    follow.current = null;
    if (!want) return;
    const item = [...(box.current?.children ?? [])].find((e) => (e as HTMLElement).dataset.ref === want.ref);
    (item?.querySelector<HTMLElement>(`${want.control}:not(:disabled)`) ?? (item as HTMLElement | undefined))?.focus();
  }, [refs]);
  const shift = (ref: string, by: -1 | 1, control: string) => {
    if (refs[refs.indexOf(ref) + by] === undefined) return;
    follow.current = { ref, control };
    move(ref, by);
  };
  const onKey = (e: KeyboardEvent<HTMLLIElement>, ref: string) => {
    if (e.altKey && (e.key === 'ArrowUp' || e.key === 'ArrowDown')) {
      e.preventDefault();
      shift(ref, e.key === 'ArrowUp' ? -1 : 1, '.none');
    } else if (e.key === 'Delete' && e.target === e.currentTarget) {
      e.preventDefault();
      const next = refs[refs.indexOf(ref) + 1] ?? refs[refs.indexOf(ref) - 1];
      if (next) follow.current = { ref: next, control: '.none' };
      remove(ref);
    }
  };
  const options = useMemo(
    () =>
      countables.all
        .filter((c) => !refs.includes(c.ref) && !(c.info && refs.includes(c.info.id)))
        .map((c) => ({
          value: c.ref,
          search: [c.title, c.ref, c.info?.id, c.info?.title?.zh, c.info?.title?.en, ...list(c.info?.techniques)].join(' ').toLowerCase(),
          title: c.title,
          label: (
            <span className="ruleopt">
              <span className="ellipsis">{c.title}</span>
              <span className="faint nowrap">
                {t((c.info ? c.info.kind === 'correlation' : c.beside?.correlation) ? 'alert.correlation' : 'alert.sigma')}
                {c.beside ? ` · ${t('corr.here')}` : c.info?.off ? ` · ${t('corr.off')}` : ''}
              </span>
            </span>
          ),
        })),
    [countables, refs, t],
  );
  return (
    <>
      {refs.length === 0 && <div className="faint">{t('corr.noRules')}</div>}
      <ol className="counted" ref={box} data-testid="counted">
        {refs.map((ref, i) => {
          const c = countables.find(ref);
          const name = c?.title ?? ref;
          return (
            <li key={ref} data-ref={ref} tabIndex={0} onKeyDown={(e) => onKey(e, ref)} title={t('corr.keys')}>
              {ordered && <span className="no">{i + 1}</span>}
              <div className="grow" style={{ minWidth: 0 }}>
                <div className="row" style={{ gap: 8 }}>
                  {c?.info?.level && <SeverityMark level={c.info.level} />}
                  {c?.info ? (
                    <Link className="ellipsis" to={`/rules/${encodeURIComponent(c.info.id)}`} target="_blank" rel="noreferrer">
                      {name}
                    </Link>
                  ) : (
                    <span className="ellipsis">{name}</span>
                  )}
                  {c?.beside && <span className="tag">{t('corr.here')}</span>}
                  {c?.info?.off && <span className="tag strong">{t('corr.off')}</span>}
                  {!c && <span className="tag strong">{t('corr.unknown')}</span>}
                </div>
                {c && <Gives c={c} />}
              </div>
              <button type="button" className="plain step up" disabled={i === 0} aria-label={t('corr.up', { x: name })} title={t('corr.up', { x: name })} onClick={() => shift(ref, -1, '.up')}>
                ↑
              </button>
              <button type="button" className="plain step down" disabled={i === refs.length - 1} aria-label={t('corr.down', { x: name })} title={t('corr.down', { x: name })} onClick={() => shift(ref, 1, '.down')}>
                ↓
              </button>
              <button type="button" className="plain step" aria-label={t('corr.take', { x: name })} title={t('corr.take', { x: name })} onClick={() => remove(ref)}>
                ✕
              </button>
            </li>
          );
        })}
      </ol>
      <Select
        showSearch
        value={null}
        options={options}
        placeholder={t('corr.addRule')}
        aria-label={t('corr.addRule')}
        title={t('corr.findRule')}
        data-testid="add-rule"
        style={{ width: '100%' }}
        filterOption={(text, o) => text.trim().toLowerCase().split(/\s+/).every((w) => (o?.search ?? '').includes(w))}
        onChange={(ref: string | null) => ref && add(ref)}
      />
    </>
  );
}

/** What a rule hands on to what counts it. */
function Gives({ c }: { c: Countable }) {
  const { t } = useSettings();
  const id = c.info?.id ?? '';
  const told = useQuery({
    enabled: id !== '',
    queryKey: ['rules', id, 'gives'],
    queryFn: async ({ signal }) => {
      const source = (await get<Rule>(`/rules/${encodeURIComponent(id)}`, {}, signal)).source ?? '';
      if (c.info?.kind === 'correlation') {
        const by = (parseAllDocuments(source)[0]?.toJS() as { correlation?: Record<string, unknown> } | undefined)?.correlation?.['group-by'];
        return (Array.isArray(by) ? by : by ? [by] : []).map(String);
      }
      const verdict = await post<Verdict>('/rules/validate', { source, id });
      return list(list(verdict.rules)[0]?.fields);
    },
    staleTime: 300_000,
    retry: false,
  });
  const fields = told.data ?? [];
  const firing = c.info ? c.info.kind === 'correlation' : c.beside?.correlation;
  const x = fields.slice(0, 6).join(', ') + (fields.length > 6 ? ' …' : '');
  return <div className="faint gives">{firing ? (x ? t('corr.givesFiring', { x }) : t('corr.givesFiringAll')) : x ? t('corr.gives', { x }) : t('corr.givesAll')}</div>;
}
