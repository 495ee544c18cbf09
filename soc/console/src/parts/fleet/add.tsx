import { Form, Input, InputNumber } from 'antd';
import { useState } from 'react';
import { post } from '../../api/client';
import type { MadeToken } from '../../api/fleet';
import { useAct } from '../../app/act';
import { useT } from '../../app/settings';
import { FormDialog } from '../dialog';
import { WordsInput } from '../pickers';
import { InstallLine } from './line';
import { ConfigurationPicker, FleetGroupPicker, TenantPicker } from './marks';
import { JoiningFields } from './profiles';

interface Draft {
  tenant: string;
  note?: string;
  labels?: string[];
  group?: string;
  configuration?: string;
  profile?: string;
  plugins?: string[];
  tasks?: string[];
  uses: number;
  hours: number;
}

/** Makes an enrolment token and shows what to run on the host. */
export function AddHosts({ profile, tenant, close }: { profile?: string; tenant?: string; close: () => void }) {
  const t = useT();
  const { tell } = useAct();
  const [made, setMade] = useState<MadeToken | null>(null);
  if (made) return <InstallLine made={made} close={close} />;
  return (
    <FormDialog<Draft>
      title={t('fleet.add')}
      ok={t('fleet.token.make')}
      initial={{ uses: 1, hours: 24, profile, tenant }}
      submit={async (v) => {
        setMade(await post<MadeToken>('/fleet/tokens', v));
        tell({ renew: ['fleet-tokens'] });
      }}
      close={() => undefined}
      cancel={close}
    >
      {(form) => (
        <>
          <Form.Item name="tenant" label={t('fleet.tenant')} rules={[{ required: true, message: t('fleet.needTenant') }]}>
            <TenantPicker />
          </Form.Item>
          <Form.Item name="labels" label={t('fleet.labels')} extra={t('fleet.labelsHelp')}>
            <WordsInput />
          </Form.Item>
          <Form.Item noStyle shouldUpdate>
            {() => (
              <>
                <JoiningFields tenant={form.getFieldValue('tenant') as string} />
                <Form.Item name="group" label={t('fleet.group')}>
                  <FleetGroupPicker tenant={form.getFieldValue('tenant') as string} />
                </Form.Item>
                <Form.Item name="configuration" label={t('fleet.configuration')}>
                  <ConfigurationPicker tenant={form.getFieldValue('tenant') as string} />
                </Form.Item>
              </>
            )}
          </Form.Item>
          <div className="row" style={{ gap: 16 }}>
            <Form.Item name="uses" label={t('fleet.uses')}>
              <InputNumber min={1} max={1000} />
            </Form.Item>
            <Form.Item name="hours" label={t('fleet.hours')}>
              <InputNumber min={1} max={720} />
            </Form.Item>
          </div>
          <Form.Item name="note" label={t('fleet.note')}>
            <Input maxLength={200} />
          </Form.Item>
        </>
      )}
    </FormDialog>
  );
}
