import { useQueries } from '@tanstack/react-query';
import { Button } from 'antd';
import { useEffect, useState } from 'react';
import { Link } from 'react-router-dom';
import { get } from '../api/client';
import { useCan } from '../api/queries';
import { useSettings } from '../app/settings';
import type { Key } from '../locales/zh';
import { Panel } from './page';

const KEY = 'icewatch.checklist';

/** Once begun or put away it is not asked for again on this desk. */
function away(set?: boolean): boolean {
  try {
    if (set) localStorage.setItem(KEY, 'away');
    return localStorage.getItem(KEY) === 'away';
  } catch {
    return false;
  }
}

/** What a new platform begins with. Each line ticks by itself once it is so; the list goes once all are, or when it is put away. */
export function Checklist({ received }: { received: boolean }) {
  const { t } = useSettings();
  const can = useCan();
  const [off, setOff] = useState(() => away());
  const steps: { key: string; to: string; operation: string; ask?: string; least: number }[] = [
    { key: 'source', to: '/sources', operation: 'list-sources', least: 1 },
    { key: 'assets', to: '/cmdb/import', operation: 'import-cmdb', ask: '/cmdb/items?class=host&limit=1', least: 1 },
    { key: 'rules', to: '/rules', operation: 'list-rules', ask: '/rule-set', least: 1 },
    { key: 'colleague', to: '/admin/users', operation: 'create-user', ask: '/users?limit=1', least: 2 },
  ].filter((s) => can(s.operation));
  // Who may bring assets in or invite looks after the platform; for others it is no task.
  const mine = steps.some((s) => s.key === 'assets' || s.key === 'colleague');
  const answers = useQueries({
    queries: steps.map((s) => ({
      queryKey: ['checklist', s.key],
      enabled: !off && mine && s.ask !== undefined,
      refetchInterval: 15_000,
      queryFn: async ({ signal }: { signal: AbortSignal }) => {
        const a = await get<{ total?: number; rules?: number }>(s.ask ?? '', {}, signal);
        return a.total ?? a.rules ?? 0;
      },
    })),
  });
  const done = steps.map((s, i) => (s.ask === undefined ? received : (answers[i]?.data ?? 0) >= s.least));
  const known = steps.every((s, i) => s.ask === undefined || answers[i]?.data !== undefined);
  const begun = known && done.every(Boolean);
  // What has once begun is not told again where the counts begin anew with a restart.
  useEffect(() => {
    if (begun && mine) away(true);
  }, [begun, mine]);
  if (off || !mine || !known || begun) return null;
  return (
    <Panel
      title={t('begin.title')}
      end={
        <Button
          size="small"
          type="text"
          onClick={() => {
            away(true);
            setOff(true);
          }}
        >
          {t('begin.away')}
        </Button>
      }
    >
      <ol className="begin" data-testid="checklist">
        {steps.map((s, i) => (
          <li key={s.key} data-done={done[i]}>
            <span aria-hidden="true">{done[i] ? '✓' : '○'}</span>
            <span>
              {done[i] ? <span className="dim">{t(`begin.${s.key}` as Key)}</span> : <Link to={s.to}>{t(`begin.${s.key}` as Key)}</Link>}
              <span className="faint"> {t(done[i] ? 'begin.done' : (`begin.${s.key}.why` as Key))}</span>
            </span>
          </li>
        ))}
      </ol>
    </Panel>
  );
}
