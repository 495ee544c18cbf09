import { Input } from 'antd';
import { useMemo, useState } from 'react';
import type { Model } from '../../api/cmdb';
import { useWords } from '../../api/cmdb';
import { useSettings } from '../../app/settings';
import { classTree, countOf, type ClassNode } from '../../logic/cmdb';
import { number } from '../../logic/format';

/** The classes in their layers: to search, fold and choose, with the number of items where it is known. */
export function ClassTree({ model, chosen, choose, counts, all, marks }: { model: Model; chosen: string; choose: (name: string) => void; counts?: Record<string, number>; /** Offers all classes together. */ all?: boolean; /** Said behind a class. */ marks?: (name: string) => string }) {
  const { t, locale } = useSettings();
  const words = useWords();
  const [find, setFind] = useState('');
  const [folded, setFolded] = useState<ReadonlySet<string>>(new Set());
  const tree = useMemo(() => classTree(model), [model]);
  const wanted = find.trim().toLowerCase();
  const matches = (n: ClassNode): boolean => n.below.some(matches) || (n.kind === 'class' && (n.name.includes(wanted) || words.className(n.name).toLowerCase().includes(wanted)));
  const toggle = (key: string) => {
    const next = new Set(folded);
    if (!next.delete(key)) next.add(key);
    setFolded(next);
  };
  const row = (n: ClassNode, depth: number) => {
    if (wanted && !matches(n)) return null;
    const key = `${n.kind} ${n.name}`;
    const shut = folded.has(key) && !wanted;
    const below = !shut && n.below.map((k) => row(k, n.kind === 'layer' ? depth : depth + 1));
    if (n.kind === 'layer') {
      return (
        <li key={key}>
          <button className="plain layerhead" aria-expanded={!shut} onClick={() => toggle(key)}>
            <span className="twist" aria-hidden="true">
              {shut ? '▸' : '▾'}
            </span>
            {n.name ? words.layerName(n.name) : t('ci.noLayer')}
          </button>
          <ul>{below}</ul>
        </li>
      );
    }
    const count = counts && countOf(counts, model, n.name);
    return (
      <li key={key}>
        <div className={`classrow${chosen === n.name ? ' on' : ''}`} style={{ paddingLeft: 6 + depth * 14 }}>
          {n.below.length > 0 ? (
            <button className="plain twist" aria-label={words.className(n.name)} aria-expanded={!shut} onClick={() => toggle(key)}>
              {shut ? '▸' : '▾'}
            </button>
          ) : (
            <span className="twist" />
          )}
          <button className="plain classname ellipsis" aria-current={chosen === n.name} title={n.name} onClick={() => choose(n.name)}>
            {words.className(n.name)}
          </button>
          {marks?.(n.name) && <span className="faint">{marks(n.name)}</span>}
          {count !== undefined && <span className={`num${count ? '' : ' faint'}`}>{number(count, locale)}</span>}
        </div>
        {n.below.length > 0 && <ul>{below}</ul>}
      </li>
    );
  };
  return (
    <div className="classtree">
      <Input allowClear size="small" placeholder={t('ci.findClass')} aria-label={t('ci.findClass')} value={find} onChange={(e) => setFind(e.target.value)} />
      <ul aria-label={t('ci.classes')}>
        {all && !wanted && (
          <li>
            <div className={`classrow${chosen === '' ? ' on' : ''}`}>
              <span className="twist" />
              <button className="plain classname" aria-current={chosen === ''} onClick={() => choose('')}>
                {t('ci.allClasses')}
              </button>
              {counts && <span className="num">{number(Object.values(counts).reduce((a, b) => a + b, 0), locale)}</span>}
            </div>
          </li>
        )}
        {tree.map((n) => row(n, 0))}
      </ul>
    </div>
  );
}
