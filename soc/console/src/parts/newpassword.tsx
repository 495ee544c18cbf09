import { Form, Input } from 'antd';
import { useAuthPolicy } from '../api/ui';
import { useSettings } from '../app/settings';

/** What the policy asks of a new password, in words. */
export function PolicyHint() {
  const { t } = useSettings();
  const p = useAuthPolicy().data?.password;
  if (!p) return null;
  const lines = [
    t('policy.length', { n: p.min_length ?? 12 }),
    (p.classes ?? 1) > 1 ? t('policy.classes', { n: p.classes ?? 1 }) : '',
    (p.min_strength ?? 0) > 0 ? t('policy.common') : '',
    (p.history ?? 0) > 0 ? t('policy.history', { n: p.history ?? 0 }) : '',
    (p.max_age_days ?? 0) > 0 ? t('policy.age', { n: p.max_age_days ?? 0 }) : '',
  ].filter(Boolean);
  return (
    <ul className="hint" style={{ margin: '0 0 12px', paddingLeft: 18 }}>
      {lines.map((l) => (
        <li key={l}>{l}</li>
      ))}
    </ul>
  );
}

/** The fields of a change of password: now, new, new again. */
export function PasswordFields({ current = true }: { current?: boolean }) {
  const { t } = useSettings();
  const least = useAuthPolicy().data?.password?.min_length ?? 12;
  return (
    <>
      {current && (
        <Form.Item name="current" label={t('account.current')} rules={[{ required: true, message: t('login.needPassword') }]}>
          <Input.Password autoComplete="current-password" autoFocus />
        </Form.Item>
      )}
      <Form.Item name="next" label={t('account.new')} rules={[{ required: true, min: least, message: t('policy.length', { n: least }) }]} style={{ marginBottom: 6 }}>
        <Input.Password autoComplete="new-password" />
      </Form.Item>
      <PolicyHint />
      <Form.Item
        name="repeat"
        label={t('account.repeat')}
        dependencies={['next']}
        rules={[
          ({ getFieldValue }) => ({
            validator: (_, v) => (v === getFieldValue('next') ? Promise.resolve() : Promise.reject(new Error(t('account.mismatch')))),
          }),
        ]}
      >
        <Input.Password autoComplete="new-password" />
      </Form.Item>
    </>
  );
}
