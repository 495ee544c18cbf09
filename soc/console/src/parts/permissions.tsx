import { Input } from 'antd';
import { useMemo, useState } from 'react';
import type { Operation, Role } from '../api/access';
import { list } from '../api/types';
import { useT } from '../app/settings';
import { operations as names } from '../locales/operations';
import { byTag, grantable, heldBy } from '../logic/roles';
import { scopeText } from './names';
import { useOperationText, useTagText } from './operation';

export const ROLE_SCOPES = ['read', 'respond', 'configure', 'ingest', 'system', 'security', 'audit'] as const;

/** Whole kinds of operation, each as a card. */
export function ScopeCards({ value, onChange, disabled }: { value: readonly string[]; onChange: (v: string[]) => void; disabled: boolean }) {
  const t = useT();
  if (value.includes('admin')) return <div className="notice">{t('roles.everything')}</div>;
  return (
    <div className="scopes">
      {ROLE_SCOPES.map((s) => {
        const on = value.includes(s);
        return (
          <label key={s} className={`${on ? 'on' : ''}${disabled ? ' off' : ''}`}>
            <input type="checkbox" checked={on} disabled={disabled} onChange={() => onChange(on ? value.filter((x) => x !== s) : [...value, s])} />
            <span>
              <b style={{ fontWeight: 550 }}>{scopeText(t, s)}</b>
              <small>{scopeText(t, s, true)}</small>
            </span>
          </label>
        );
      })}
    </div>
  );
}

/** The permission tree: every operation of the API, by part, with a search. */
export function OperationTree({ operations, role, onChange, disabled }: { operations: readonly Operation[]; role: Pick<Role, 'scopes' | 'operations'>; onChange: (operations: string[]) => void; disabled: boolean }) {
  const t = useT();
  const text = useOperationText();
  const tagText = useTagText();
  const [q, setQ] = useState('');
  const [held, setHeld] = useState(false);
  const words = q.trim().toLowerCase();
  const groups = useMemo(
    () =>
      byTag(grantable(operations))
        .map(([tag, ops]) => [tag, ops.filter((o) => (!words || `${o.id} ${o.summary ?? ''} ${o.path} ${names[o.id]?.join(' ') ?? ''}`.toLowerCase().includes(words)) && (!held || heldBy(role, o)))] as const)
        .filter(([, ops]) => ops.length > 0),
    [operations, words, held, role],
  );
  const own = list(role.operations);
  const set = (ids: string[], on: boolean) => onChange(on ? [...new Set([...own, ...ids])] : own.filter((x) => !ids.includes(x)));
  return (
    <div>
      <div className="filters" style={{ padding: '0 14px' }}>
        <Input allowClear aria-label={t('roles.searchOps')} placeholder={t('roles.searchOps')} value={q} onChange={(e) => setQ(e.target.value)} style={{ width: 300 }} />
        <button type="button" className="plain toggle" aria-pressed={held} onClick={() => setHeld((x) => !x)}>
          {t('roles.onlyHeld')}
        </button>
      </div>
      {groups.length === 0 && <div className="state small">{t('roles.noOps')}</div>}
      {groups.map(([tag, ops]) => {
        const free = ops.filter((o) => heldBy(role, o) !== 'scope').map((o) => o.id);
        const n = ops.filter((o) => heldBy(role, o)).length;
        const every = free.length > 0 && free.every((id) => own.includes(id));
        return (
          <div className="opgroup" key={tag}>
            <div className="h">
              <input
                type="checkbox"
                className="opcheck"
                aria-label={tagText(tag)}
                checked={n === ops.length}
                ref={(el) => {
                  if (el) el.indeterminate = n > 0 && n < ops.length;
                }}
                disabled={disabled || free.length === 0}
                onChange={() => set(free, !every)}
              />
              {tagText(tag)}
              <span className="faint" style={{ fontWeight: 400 }}>
                {n} / {ops.length}
              </span>
            </div>
            {ops.map((o) => {
              const by = heldBy(role, o);
              return (
                <label className="op" key={o.id} data-operation={o.id} title={`${o.method} ${o.path}`}>
                  <input type="checkbox" checked={by !== ''} disabled={disabled || by === 'scope'} onChange={(e) => set([o.id], e.target.checked)} />
                  <span className="ellipsis">
                    {text(o)} <code className="faint">{o.id}</code>
                  </span>
                  <span className="faint" style={{ fontSize: 12 }}>
                    {by === 'scope' ? t('roles.viaScope', { x: scopeText(t, o.scope) }) : scopeText(t, o.scope)}
                    {o.confinable && ` · ${t('roles.confinable')}`}
                  </span>
                </label>
              );
            })}
          </div>
        );
      })}
    </div>
  );
}
