import { Form, Input, Switch } from 'antd';
import type { ProviderKind } from '../api/federation';
import { useT } from '../app/settings';
import type { Key } from '../locales/zh';
import { FIELDS } from '../logic/providers';
import { WordsInput } from './pickers';

/** The fields of one protocol, below the form's `at`. */
export function ProtocolFields({ kind, known = {} }: { kind: ProviderKind; /** What the server has: tells whether a secret is set. */ known?: Record<string, unknown> }) {
  const t = useT();
  return (
    <>
      {FIELDS[kind].map((f) => {
        const label = t(`idp.${f.key}` as Key);
        const set = known[`${f.key}_set`] === true;
        return (
          <Form.Item
            key={f.key}
            name={['protocol', f.key]}
            label={label}
            valuePropName={f.kind === 'switch' ? 'checked' : 'value'}
            rules={f.required ? [{ required: true, message: t('word.required', { x: label }) }] : []}
          >
            {f.kind === 'switch' ? (
              <Switch />
            ) : f.kind === 'words' ? (
              <WordsInput />
            ) : f.kind === 'secret' ? (
              <Input.Password autoComplete="new-password" placeholder={set ? t('idp.secretSet') : undefined} />
            ) : f.kind === 'long' ? (
              <Input.TextArea rows={2} className="mono grows" spellCheck={false} />
            ) : (
              <Input autoComplete="off" spellCheck={false} placeholder={f.placeholder} />
            )}
          </Form.Item>
        );
      })}
    </>
  );
}
