import { useQuery } from '@tanstack/react-query';
import { Modal } from 'antd';
import { Link } from 'react-router-dom';
import { get } from '../../api/client';
import { useCan } from '../../api/queries';
import type { RuleSet, Windows } from '../../api/rules';
import { list, type RuleInfo } from '../../api/types';
import { useSettings } from '../../app/settings';
import { bytes, number } from '../../logic/format';
import { Empty, Loaded } from '../states';
import { DataTable } from '../table';
import { When } from '../time';

/** What correlations hold, and what they lost; asked again now and then. */
export function useWindows(enabled = true) {
  const can = useCan();
  return useQuery({ enabled: enabled && can('get-rule-set'), queryKey: ['rule-set'], queryFn: async ({ signal }) => (await get<RuleSet>('/rule-set', {}, signal)).windows, refetchInterval: 15_000 });
}

/** What correlations hold and lost since the engine started, by rule and by change. */
export function WindowsDialog({ rules, close }: { rules: readonly RuleInfo[]; close: () => void }) {
  const { t } = useSettings();
  const query = useWindows();
  return (
    <Modal open width={860} title={t('windows.title')} footer={null} onCancel={close}>
      <Loaded query={query} what="windows.title" lines={6} small>
        {(w) => <Figures w={w} rules={rules} />}
      </Loaded>
    </Modal>
  );
}

function Figures({ w, rules }: { w: Windows; rules: readonly RuleInfo[] }) {
  const { t, tx, locale } = useSettings();
  const n = (x: number) => number(x, locale);
  const title = (id: string) => tx(rules.find((r) => r.id === id)?.title) || id;
  const lost = Object.entries(w.evicted_by ?? {}).sort((a, b) => b[1] - a[1]);
  return (
    <div data-testid="windows">
      <dl className="facts">
        <dt>{t('windows.groups')}</dt>
        <dd>{n(w.groups)}</dd>
        <dt>{t('windows.memory')}</dt>
        <dd>{t('windows.ofLimit', { a: bytes(w.bytes, locale), b: bytes(w.limit, locale) })}</dd>
        <dt>{t('windows.evicted')}</dt>
        <dd>{n(w.evicted)}</dd>
        <dt>{t('windows.closedGroups')}</dt>
        <dd>{n(w.closed_groups)}</dd>
        <dt>{t('windows.late')}</dt>
        <dd>{n(w.late)}</dd>
        <dt>{t('windows.cut')}</dt>
        <dd>{n(w.cut)}</dd>
        <dt>{t('windows.noNumber')}</dt>
        <dd>{n(w.no_number)}</dd>
      </dl>
      <div className="hint">{t('windows.since')}</div>
      {lost.length > 0 && (
        <>
          <h3>{t('windows.evictedBy')}</h3>
          <DataTable
            label={t('windows.evictedBy')}
            rows={lost.slice(0, 50)}
            rowKey={([id]) => id}
            columns={[
              { key: 'rule', title: t('windows.rule'), render: ([id]) => <Link to={`/rules/${encodeURIComponent(id)}`}>{title(id)}</Link> },
              { key: 'n', title: t('windows.evicted'), num: true, render: ([, x]) => n(x) },
            ]}
          />
        </>
      )}
      <h3>{t('windows.closed')}</h3>
      <Closings w={w} />
    </div>
  );
}

/** What changes of rules did to open windows; of one rule where it is named. */
export function Closings({ w, rule }: { w: Windows; rule?: string }) {
  const { t, tx, locale } = useSettings();
  const rows = list(w.closed).filter((c) => rule === undefined || c.rule === rule);
  if (rows.length === 0) return <Empty small title={t('windows.none')} />;
  return (
    <DataTable
      label={t('windows.closed')}
      rows={rows}
      rowKey={(c) => `${c.at} ${c.rule}`}
      columns={[
        { key: 'at', title: t('windows.when'), render: (c) => <When time={c.at} /> },
        ...(rule === undefined ? [{ key: 'rule', title: t('windows.rule'), render: (c: (typeof rows)[number]) => <Link to={`/rules/${encodeURIComponent(c.rule)}`}>{tx(c.title) || c.rule}</Link> }] : []),
        { key: 'lost', title: t('windows.lost'), num: true, render: (c) => number(c.groups, locale) },
        { key: 'kept', title: t('windows.kept'), num: true, render: (c) => number(c.kept, locale) },
        { key: 'why', title: t('windows.why'), render: (c) => tx(c.reason) },
      ]}
    />
  );
}
