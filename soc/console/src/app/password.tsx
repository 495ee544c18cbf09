import { useQueryClient } from '@tanstack/react-query';
import { Form, Input, Modal } from 'antd';
import { useState } from 'react';
import { post } from '../api/client';
import { ME } from '../api/queries';
import { useFeedback } from './feedback';
import { useT } from './settings';

export default function PasswordDialog({ must, close }: { must: boolean; close: () => void }) {
  const t = useT();
  const client = useQueryClient();
  const { done, failed } = useFeedback();
  const [busy, setBusy] = useState(false);
  const [form] = Form.useForm<{ current: string; next: string; repeat: string }>();
  const submit = async () => {
    const v = await form.validateFields().catch(() => null);
    if (!v) return;
    setBusy(true);
    try {
      await post('/me/password', { current: v.current, new: v.next });
      done(t('account.changed'));
      await client.invalidateQueries({ queryKey: ME });
      close();
    } catch (e) {
      failed(e);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Modal
      open
      title={t(must ? 'account.mustChange' : 'account.password')}
      okText={t('account.password')}
      cancelText={t('do.cancel')}
      confirmLoading={busy}
      closable={!must}
      maskClosable={!must}
      keyboard={!must}
      cancelButtonProps={must ? { style: { display: 'none' } } : undefined}
      onCancel={close}
      onOk={() => void submit()}
      width={400}
    >
      <Form form={form} layout="vertical" requiredMark={false} onFinish={() => void submit()}>
        <Form.Item name="current" label={t('account.current')} rules={[{ required: true, message: t('login.needPassword') }]}>
          <Input.Password autoComplete="current-password" autoFocus />
        </Form.Item>
        <Form.Item name="next" label={t('account.new')} rules={[{ required: true, min: 12, message: t('account.short') }]}>
          <Input.Password autoComplete="new-password" />
        </Form.Item>
        <Form.Item
          name="repeat"
          label={t('account.repeat')}
          dependencies={['next']}
          rules={[{ validator: (_, v) => (v === form.getFieldValue('next') ? Promise.resolve() : Promise.reject(new Error(t('account.mismatch')))) }]}
        >
          <Input.Password autoComplete="new-password" />
        </Form.Item>
      </Form>
    </Modal>
  );
}
