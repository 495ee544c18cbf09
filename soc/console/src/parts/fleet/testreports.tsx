import { useQuery } from '@tanstack/react-query';
import { Button, Form, InputNumber } from 'antd';
import { useState } from 'react';
import { buildPath, del, get, post } from '../../api/client';
import type { FleetTestReport, TestSpread } from '../../api/fleet';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { absolute, number } from '../../logic/format';
import { Ask, FormDialog } from '../dialog';
import { useActorName } from '../names';
import { Panel } from '../page';
import { Empty, Loaded } from '../states';
import { DataTable } from '../table';
import { When } from '../time';
import { HostLink } from './marks';

const pathOf = (id: string) => `/fleet/test-reports/${encodeURIComponent(id)}`;

function Verdict({ of }: { of: FleetTestReport['verdict'] }) {
  const { t } = useSettings();
  return (
    <span className="status">
      <i className={`dot ${{ pass: 'ok', fail: 'bad', insufficient: 'idle' }[of]}`} />
      {t(`fleet.test.${of}`)}
    </span>
  );
}

/** Reports, of one version or of all. */
export function Reports({ version, open }: { version?: string; open: (id: string) => void }) {
  const { t, locale } = useSettings();
  const actor = useActorName();
  const query = useQuery({ queryKey: ['fleet-test-reports', version], queryFn: ({ signal }) => get<Page<FleetTestReport>>('/fleet/test-reports', { version, limit: 200 }, signal), refetchInterval: 10_000 });
  const rows = list(query.data?.items);
  return (
    <Loaded query={query} what="fleet.test.reports" lines={3}>
      {() =>
        rows.length === 0 ? (
          <Empty small title={t('fleet.test.none')} why={t('fleet.test.noneWhy')} />
        ) : (
          <DataTable
            label={t('fleet.test.reports')}
            rows={rows}
            rowKey={(x) => x.id}
            onRow={(x) => open(x.id)}
            columns={[
              {
                key: 'version',
                title: t('fleet.test.report'),
                render: (x) => (
                  <button className="plain link" onClick={() => open(x.id)}>
                    {x.version}
                  </button>
                ),
              },
              { key: 'verdict', title: t('fleet.test.verdict'), render: (x) => <Verdict of={x.verdict} /> },
              { key: 'before', title: t('fleet.test.before'), render: (x) => list(x.before).join(', ') || <span className="faint">–</span> },
              { key: 'hosts', title: t('fleet.test.counted'), num: true, render: (x) => `${number(x.measured, locale)} / ${number(x.compared, locale)}` },
              { key: 'by', title: t('fleet.log.who'), render: (x) => actor(x.by) },
              { key: 'at', title: t('col.time'), num: true, render: (x) => <When time={x.at} age /> },
            ]}
          />
        )
      }
    </Loaded>
  );
}

/** Asks for a report of a version that runs. */
export function MakeReport({ version, made, close }: { version: string; made: (r: FleetTestReport) => void; close: () => void }) {
  const { t } = useSettings();
  const { tell } = useAct();
  return (
    <FormDialog<{ cpu: number; memory: number }>
      title={t('fleet.test.makeOf', { x: version })}
      ok={t('fleet.test.make')}
      initial={{ cpu: 1, memory: 100 }}
      submit={async (v) => {
        const r = await post<FleetTestReport>('/fleet/test-reports', { version, ceiling_cpu_percent: v.cpu, ceiling_memory_mb: v.memory });
        tell({ said: t('fleet.test.made'), renew: ['fleet-test-reports'] });
        made(r);
      }}
      close={close}
    >
      <p className="hint">{t('fleet.test.source')}</p>
      <Form.Item name="cpu" label={t('fleet.test.cpuCeiling')} extra={t('fleet.test.cpuHelp')} rules={[{ required: true, message: t('fleet.need') }]}>
        <InputNumber min={0.01} max={10_000} />
      </Form.Item>
      <Form.Item name="memory" label={t('fleet.test.memoryCeiling')} extra={t('fleet.test.memoryHelp')} rules={[{ required: true, message: t('fleet.need') }]}>
        <InputNumber min={1} max={1_000_000} />
      </Form.Item>
    </FormDialog>
  );
}

/** One report: the verdict and why, the figures beside the version before, the hosts. */
export function Report({ id, close }: { id: string; close: () => void }) {
  const { t, tx, locale } = useSettings();
  const can = useCan();
  const { act } = useAct();
  const actor = useActorName();
  const [removing, setRemoving] = useState(false);
  const query = useQuery({ queryKey: ['fleet-test-reports', 'one', id], queryFn: ({ signal }) => get<FleetTestReport>(pathOf(id), {}, signal), retry: false });
  const middle = (x: TestSpread | undefined, unit = '') => (x ? `${number(Math.round(x.p50 * 100) / 100, locale)} / ${number(Math.round(x.p95 * 100) / 100, locale)}${unit && ` ${unit}`}` : <span className="faint">–</span>);
  const file = (format: string) => buildPath(`${pathOf(id)}/export`, { format, lang: locale === 'en-US' ? 'en' : 'zh' });
  return (
    <div style={{ marginBottom: 12 }}>
      <Panel
        title={query.data ? t('fleet.test.title', { x: query.data.version }) : t('fleet.test.report')}
        end={
          <span className="row">
            {(['pdf', 'docx', 'csv', 'xlsx'] as const).map((f) => (
              <Button key={f} size="small" href={file(f)} download>
                {f.toUpperCase()}
              </Button>
            ))}
            {can('delete-fleet-test-report') && (
              <Button size="small" danger onClick={() => setRemoving(true)}>
                {t('do.delete')}
              </Button>
            )}
            <Button size="small" onClick={close}>
              {t('do.close')}
            </Button>
          </span>
        }
      >
        <Loaded query={query} what="fleet.test.report" lines={8}>
          {(x) => (
            <>
              <p>
                <Verdict of={x.verdict} />
                <span className="faint">
                  {' '}
                  · {actor(x.by)} · {absolute(x.at)}
                  {list(x.before).length > 0 && ` · ${t('fleet.test.before')} ${list(x.before).join(', ')}`}
                </span>
              </p>
              <ul>
                {list(x.reasons).map((r) => (
                  <li key={r.en}>{tx(r)}</li>
                ))}
              </ul>
              <DataTable
                label={t('fleet.test.figure')}
                rows={list(x.figures)}
                rowKey={(f) => f.name}
                columns={[
                  { key: 'name', title: t('fleet.test.figure'), render: (f) => t(`fleet.test.${f.name}`) },
                  { key: 'all', title: t('fleet.test.all'), num: true, render: (f) => middle(f.all, f.unit) },
                  { key: 'after', title: t('fleet.test.after'), num: true, render: (f) => middle(f.after, f.unit) },
                  { key: 'before', title: t('fleet.test.was'), num: true, render: (f) => middle(f.before, f.unit) },
                  { key: 'worse', title: t('fleet.test.worse'), render: (f) => (f.worse ? <b style={{ color: 'var(--high)', fontWeight: 550 }}>{t('fleet.test.worse')}</b> : <span className="faint">–</span>) },
                ]}
              />
              <p className="hint" style={{ margin: '10px 14px 18px' }}>
                {t('fleet.test.source')}
              </p>
              <DataTable
                label={t('fleet.hosts')}
                rows={list(x.hosts)}
                rowKey={(h) => h.agent}
                columns={[
                  { key: 'host', title: t('fleet.host'), render: (h) => <HostLink id={h.agent} name={h.host} /> },
                  { key: 'platform', title: t('fleet.pkg.platform'), render: (h) => h.platform },
                  { key: 'minutes', title: t('fleet.test.minutes'), num: true, render: (h) => h.minutes },
                  { key: 'state', title: t('col.status'), render: (h) => (h.over ? <span style={{ color: 'var(--high)' }}>{t('fleet.test.over')}</span> : h.enough ? '–' : <span className="faint">{t('fleet.test.short')}</span>) },
                  { key: 'cpu', title: `${t('fleet.test.cpu')} P50 / P95`, num: true, render: (h) => middle(h.cpu, '%') },
                  { key: 'memory', title: `${t('fleet.test.memory')} P50 / P95`, num: true, render: (h) => middle(h.memory, 'MB') },
                  { key: 'before', title: t('fleet.test.before'), render: (h) => (h.before ? `${h.before} (${h.before_minutes} min)` : <span className="faint">–</span>) },
                  { key: 'was', title: t('fleet.test.was'), num: true, render: (h) => <>{middle(h.cpu_before, '%')}{h.memory_before && ' · '}{h.memory_before && middle(h.memory_before, 'MB')}</> },
                ]}
              />
            </>
          )}
        </Loaded>
      </Panel>
      {removing && (
        <Ask
          title={t('fleet.test.delete', { x: query.data?.version ?? '' })}
          why={t('fleet.test.deleteWhy')}
          ok={t('do.delete')}
          close={() => setRemoving(false)}
          submit={() =>
            act(() => del(pathOf(id)), { said: t('fleet.pkg.deleted'), renew: ['fleet-test-reports'] }).then((ok) => {
              if (ok) close();
            })
          }
        />
      )}
    </div>
  );
}
