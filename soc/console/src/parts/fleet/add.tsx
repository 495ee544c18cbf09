import { Form, Input, InputNumber, Modal } from 'antd';
import { useState } from 'react';
import { post } from '../../api/client';
import type { MadeToken } from '../../api/fleet';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useT } from '../../app/settings';
import { CodeBox } from '../codebox';
import { FormDialog } from '../dialog';
import { WordsInput } from '../pickers';
import { ConfigurationPicker, FleetGroupPicker, TenantPicker } from './marks';

interface Draft {
  tenant: string;
  note?: string;
  labels?: string[];
  group?: string;
  configuration?: string;
  uses: number;
  hours: number;
}

/** Makes an enrolment token and shows what to run on the host. */
export function AddHosts({ close }: { close: () => void }) {
  const t = useT();
  const { tell } = useAct();
  const [made, setMade] = useState<MadeToken | null>(null);
  if (made) {
    const urls = list(made.urls).join(', ');
    return (
      <Modal open width={760} title={t('fleet.add')} okText={t('do.close')} cancelButtonProps={{ style: { display: 'none' } }} onOk={close} onCancel={close} maskClosable={false}>
        <p>{t('fleet.token.once')}</p>
        <CodeBox id="install-linux" into={t('fleet.token.linux')} text={`./icewatch-agent enrol --token ${made.token} && ./icewatch-agent install`} />
        <CodeBox into={t('fleet.token.windows')} text={`.\\icewatch-agent.exe enrol --token ${made.token}; .\\icewatch-agent.exe install`} />
        <p className="dim">
          {t('fleet.token.binary')} {t('fleet.token.reach', { x: urls })}
        </p>
      </Modal>
    );
  }
  return (
    <FormDialog<Draft>
      title={t('fleet.add')}
      ok={t('fleet.token.make')}
      initial={{ uses: 1, hours: 24 }}
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
