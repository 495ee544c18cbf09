import { Form, Input, Radio, type FormInstance } from 'antd';
import { useSettings } from '../../app/settings';

/** Hosts of a text: one a line, or parted by commas and spaces. */
export const hostsOf = (text: string) => text.split(/[\s,;，；]+/).filter(Boolean);

export interface Credentials {
  user: string;
  by: 'password' | 'key';
  password?: string;
  key?: string;
  passphrase?: string;
  sudo?: string;
}

/** The credentials as the interface takes them. */
export const signInOf = (v: Credentials) => ({
  user: v.user,
  password: v.by === 'password' ? v.password : undefined,
  key: v.by === 'key' ? v.key : undefined,
  passphrase: v.by === 'key' ? v.passphrase || undefined : undefined,
  sudo_password: v.sudo || undefined,
});

/** Fields of how the suite signs in on hosts and becomes root. */
export function SignIn<T extends Credentials>({ form }: { form: FormInstance<T> }) {
  const { t } = useSettings();
  const value = (name: keyof Credentials): unknown => (form.getFieldsValue(true) as Partial<Credentials>)[name];
  return (
    <>
      <Form.Item name="user" label={t('fleet.dep.user')} rules={[{ required: true, message: t('fleet.need') }]} extra={t('fleet.dep.userHelp')}>
        <Input maxLength={64} autoComplete="off" />
      </Form.Item>
      <Form.Item name="by" label={t('fleet.dep.by')}>
        <Radio.Group
          options={[
            { value: 'key', label: t('fleet.dep.key') },
            { value: 'password', label: t('fleet.dep.password') },
          ]}
        />
      </Form.Item>
      <Form.Item noStyle shouldUpdate>
        {() => (
          <>
            {value('by') === 'password' ? (
              <Form.Item name="password" label={t('fleet.dep.password')} rules={[{ required: true, message: t('fleet.need') }]}>
                <Input.Password autoComplete="new-password" maxLength={1024} />
              </Form.Item>
            ) : (
              <>
                <Form.Item name="key" label={t('fleet.dep.key')} rules={[{ required: true, message: t('fleet.need') }]}>
                  <Input.TextArea rows={3} className="mono" spellCheck={false} autoComplete="off" maxLength={32768} placeholder="-----BEGIN OPENSSH PRIVATE KEY-----" />
                </Form.Item>
                <Form.Item name="passphrase" label={t('fleet.dep.passphrase')}>
                  <Input.Password autoComplete="new-password" maxLength={1024} />
                </Form.Item>
              </>
            )}
            {value('user') !== 'root' && (
              <Form.Item name="sudo" label={t('fleet.dep.sudo')} extra={t('fleet.dep.sudoHelp')}>
                <Input.Password autoComplete="new-password" maxLength={1024} />
              </Form.Item>
            )}
          </>
        )}
      </Form.Item>
    </>
  );
}
