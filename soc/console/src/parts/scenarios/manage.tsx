import { useQuery } from '@tanstack/react-query';
import { Button, Input, Modal } from 'antd';
import { useState } from 'react';
import { get, post } from '../../api/client';
import { SCENARIO_RENEW, scenarioPath, type Scenario, type ScenarioVersion } from '../../api/scenarios';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { Refused } from '../dialog';
import { Loaded } from '../states';
import { DataTable } from '../table';
import { When } from '../time';

/** What a scenario was before; each version can be put in force again. */
export function ScenarioHistory({ scenario, close }: { scenario: Scenario; close: () => void }) {
  const { t, tx } = useSettings();
  const { act, busy } = useAct();
  const query = useQuery({ queryKey: ['scenario', scenario.id, 'versions'], queryFn: ({ signal }) => get<Page<ScenarioVersion>>(`${scenarioPath(scenario.id)}/versions`, {}, signal) });
  const restore = (version: number) => post(`${scenarioPath(scenario.id)}/restore`, { version });
  return (
    <Modal open width={760} footer={null} title={`${t('scenario.history')} · ${tx(scenario.name)}`} onCancel={close}>
      <Loaded query={query} what="scenario.history" lines={3} small>
        {(d) => (
          <DataTable
            label={t('scenario.history')}
            rows={list(d.items)}
            rowKey={(v) => String(v.version)}
            columns={[
              { key: 'v', title: '#', num: true, render: (v) => v.version },
              { key: 'at', title: t('notify.at'), render: (v) => (v.updated_at ? <When time={v.updated_at} /> : t('scenario.shipped')) },
              { key: 'by', title: t('notify.by'), render: (v) => v.updated_by },
              {
                key: 'what',
                title: t('scenario.any'),
                render: (v) => (
                  <>
                    {(v.deleted || v.off) && <span className="tag">{t(v.deleted ? 'merge.deleted' : 'scenario.off')}</span>}
                    {list(v.any).map((l, i) => (
                      <div key={i} className="mono faint">
                        {list(l).join(' · ')}
                      </div>
                    ))}
                  </>
                ),
              },
              {
                key: 'do',
                title: '',
                num: true,
                render: (v) =>
                  scenario.editable && v.version !== scenario.version && !v.deleted && (
                    <Button
                      size="small"
                      disabled={busy}
                      onClick={() =>
                        void act(() => restore(v.version), {
                          said: t('scenario.restored', { x: tx(v.name) }),
                          renew: SCENARIO_RENEW,
                          undo: () => void act(() => restore(scenario.version), { renew: SCENARIO_RENEW }),
                        }).then((ok) => ok && close())
                      }
                    >
                      {t('notify.restore')}
                    </Button>
                  ),
              },
            ]}
          />
        )}
      </Loaded>
    </Modal>
  );
}

/** Takes scenarios in from a file, all or none. */
export function ScenarioImport({ close }: { close: () => void }) {
  const { t } = useSettings();
  const { tell } = useAct();
  const [yaml, setYAML] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const send = async () => {
    setBusy(true);
    setError(null);
    try {
      const made = await post<{ created: number; updated: number }>('/scenarios/import', { yaml });
      tell({ said: t('scenario.imported', { c: made.created, u: made.updated }), renew: SCENARIO_RENEW });
      close();
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Modal open width={760} title={t('scenario.importTitle')} okText={t('scenario.import')} okButtonProps={{ disabled: yaml.trim() === '' }} confirmLoading={busy} cancelText={t('do.cancel')} maskClosable={false} onCancel={close} onOk={() => void send()}>
      <Refused error={error} />
      <p className="dim">{t('scenario.importWhy')}</p>
      <input
        type="file"
        accept=".yml,.yaml"
        aria-label={t('scenario.importTitle')}
        onChange={(e) => {
          const file = e.target.files?.[0];
          if (file) void file.text().then(setYAML);
        }}
      />
      <Input.TextArea className="mono" aria-label="YAML" rows={14} spellCheck={false} value={yaml} onChange={(e) => setYAML(e.target.value)} style={{ marginTop: 8 }} />
    </Modal>
  );
}
