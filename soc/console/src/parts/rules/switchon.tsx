import { useQuery } from '@tanstack/react-query';
import { Modal } from 'antd';
import type { ReactNode } from 'react';
import { Link } from 'react-router-dom';
import type { Backtest as Kept } from '../../api/backtests';
import { get } from '../../api/client';
import { useCan } from '../../api/queries';
import { list, type Page, type Text } from '../../api/types';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { When } from '../time';
import { Backtest } from './backtest';

interface Switched {
  id: string;
  title: Text;
  source?: string;
}

/** Before rules are switched on: what they would have raised. Nobody has to look. */
export function SwitchOn({ rules, close, submit }: { rules: readonly Switched[]; close: () => void; submit: () => void }) {
  const { t, tx } = useSettings();
  const one = rules.length === 1 ? rules[0] : undefined;
  return (
    <Preview title={one ? t('switchon.one', { x: tx(one.title) || one.id }) : t('rules.enableN', { n: rules.length })} ok={t('switchon.do')} close={close} submit={submit}>
      {one ? <Backtest rule={one.id} text={one.source} span="168h" brief /> : <Several rules={rules} />}
    </Preview>
  );
}

/** Asks before what comes into force, with what it would have raised. */
export function Preview({ title, ok, close, submit, children }: { title: ReactNode; ok: string; close: () => void; submit: () => void; children: ReactNode }) {
  const { t } = useSettings();
  return (
    <Modal
      open
      title={title}
      okText={ok}
      cancelText={t('do.cancel')}
      onCancel={close}
      onOk={() => {
        submit();
        close();
      }}
      width={820}
    >
      <p className="dim">{t('switchon.why')}</p>
      {children}
    </Modal>
  );
}

/** The newest backtest of each. */
function Several({ rules }: { rules: readonly Switched[] }) {
  const { t, tx, locale } = useSettings();
  const can = useCan();
  const kept = useQuery({ enabled: can('list-backtests'), queryKey: ['backtests', ''], queryFn: async ({ signal }) => list((await get<Page<Kept>>('/backtests', {}, signal)).items) });
  return (
    <table className="data" aria-label={t('backtest.title')}>
      <thead>
        <tr>
          <th>{t('col.name')}</th>
          <th>{t('backtest.title')}</th>
          <th>{t('backtest.firings')}</th>
        </tr>
      </thead>
      <tbody>
        {rules.slice(0, 100).map((r) => {
          const b = list(kept.data).find((k) => k.request.rule === r.id && k.state === 'done');
          return (
            <tr key={r.id}>
              <td>
                <Link to={`/rules/${encodeURIComponent(r.id)}`}>{tx(r.title) || r.id}</Link>
              </td>
              <td>{b ? <When time={b.created_at} /> : <span className="faint">{t('switchon.never')}</span>}</td>
              <td>{b ? number(b.progress.fired, locale) : '–'}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
