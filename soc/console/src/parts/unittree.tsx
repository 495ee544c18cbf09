import { Input, TreeSelect } from 'antd';
import { useMemo, useState } from 'react';
import type { Unit } from '../api/access';
import { useUnits } from '../api/directory';
import { list } from '../api/types';
import { useSettings, useT } from '../app/settings';
import { forest, prune, withBelow, type Branch } from '../logic/tree';

const byName = (tx: (t: Unit['name']) => string) => (a: Unit, b: Unit) => (a.code ?? '').localeCompare(b.code ?? '') || tx(a.name).localeCompare(tx(b.name));

/** The organisations as a tree, with a filter; the arrow keys open, close and move. */
export function UnitTree({ units, value, onPick, counts = true }: { units: readonly Unit[]; value: string; onPick: (id: string) => void; counts?: boolean }) {
  const { t, tx } = useSettings();
  const [q, setQ] = useState('');
  const whole = useMemo(() => forest(units, byName(tx)), [units, tx]);
  const words = q.trim().toLowerCase();
  const shown = words ? prune(whole, (u) => `${u.name.zh ?? ''} ${u.name.en ?? ''} ${u.code ?? ''}`.toLowerCase().includes(words)) : whole;
  const path = new Set(list(units.find((u) => u.id === value)?.path));
  const [folds, setFolds] = useState<Record<string, boolean>>({});
  const isOpen = (id: string, depth: number) => !!words || (folds[id] ?? (depth < 1 || path.has(id)));
  const draw = (branches: Branch<Unit>[], depth: number) => (
    <ul role={depth === 0 ? 'tree' : 'group'} className={depth === 0 ? 'tree' : ''} aria-label={depth === 0 ? t('units.what') : undefined}>
      {branches.map(({ item: u, below }) => {
        const open = isOpen(u.id, depth);
        const fold = (to: boolean) => setFolds((f) => ({ ...f, [u.id]: to }));
        return (
          <li key={u.id} role="treeitem" aria-expanded={below.length > 0 ? open : undefined} aria-selected={u.id === value}>
            <div className={`node${u.id === value ? ' on' : ''}`} style={{ paddingLeft: depth * 14 }}>
              <button className={`plain twist${open ? ' open' : ''}`} tabIndex={-1} aria-hidden="true" onClick={() => fold(!open)}>
                {below.length > 0 ? '▶' : ''}
              </button>
              <button
                className="plain name ellipsis"
                title={`${tx(u.name)}${u.code ? ` · ${u.code}` : ''}`}
                onClick={() => onPick(u.id)}
                onKeyDown={(e) => {
                  if (e.key === 'ArrowRight' || e.key === 'ArrowLeft') fold(e.key === 'ArrowRight');
                  if (e.key === 'ArrowDown' || e.key === 'ArrowUp') {
                    const nodes = [...(e.currentTarget.closest('.tree')?.querySelectorAll<HTMLElement>('button.name') ?? [])];
                    nodes[nodes.indexOf(e.currentTarget) + (e.key === 'ArrowDown' ? 1 : -1)]?.focus();
                    e.preventDefault();
                  }
                }}
              >
                {tx(u.name) || u.id}
              </button>
              {counts && !!u.users && <span className="n">{u.users.toLocaleString()}</span>}
            </div>
            {open && below.length > 0 && draw(below, depth + 1)}
          </li>
        );
      })}
    </ul>
  );
  return (
    <div>
      {units.length > 12 && (
        <div style={{ padding: '8px 10px 2px' }}>
          <Input size="small" allowClear aria-label={t('units.search')} placeholder={t('units.search')} value={q} onChange={(e) => setQ(e.target.value)} />
        </div>
      )}
      {shown.length > 0 ? draw(shown, 0) : <div className="state small">{t('units.noMatch')}</div>}
    </div>
  );
}

interface Node {
  value: string;
  title: string;
  key: string;
  disabled?: boolean;
  search: string;
  children: Node[];
}

/** Chooses one organisation from the tree, by typing too. A form field. */
export function UnitPicker({ value, onChange, not, placeholder, id }: { value?: string; onChange?: (id: string | undefined) => void; /** An id that, with all below it, cannot be chosen. */ not?: string; placeholder?: string; id?: string }) {
  const { tx } = useSettings();
  const t = useT();
  const query = useUnits();
  const data = useMemo(() => {
    const units = query.data ?? [];
    const barred = not ? withBelow(units, not) : new Set<string>();
    const node = (b: Branch<Unit>): Node => ({
      value: b.item.id,
      key: b.item.id,
      title: tx(b.item.name) || b.item.id,
      disabled: barred.has(b.item.id),
      search: `${b.item.name.zh ?? ''} ${b.item.name.en ?? ''} ${b.item.code ?? ''}`.toLowerCase(),
      children: b.below.map(node),
    });
    return forest(units, byName(tx)).map(node);
  }, [query.data, not, tx]);
  return (
    <TreeSelect<string, Node>
      id={id}
      value={value || undefined}
      onChange={(v) => onChange?.(v ?? '')}
      treeData={data}
      loading={query.isPending}
      showSearch
      allowClear
      treeLine
      filterTreeNode={(typed, n) => ((n as unknown as Node).search ?? '').includes(typed.trim().toLowerCase())}
      treeDefaultExpandAll={(query.data?.length ?? 0) < 60}
      placeholder={placeholder ?? t('units.pick')}
      notFoundContent={t('units.noMatch')}
      style={{ width: '100%' }}
    />
  );
}
