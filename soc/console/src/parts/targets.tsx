import { Button, Input, Select, Switch } from 'antd';
import { useT } from '../app/settings';
import type { Key } from '../locales/zh';
import { WordsInput } from './pickers';

type Target = Record<string, unknown>;

const FIELDS: Record<string, readonly string[]> = {
  syslog: ['transport', 'address', 'ca_file', 'server_name'],
  kafka: ['brokers', 'topic', 'tls', 'username', 'password'],
};

/** The receivers the audit log is sent on to. */
export function Targets({ value, onChange }: { value: readonly Target[]; onChange: (v: Target[]) => void }) {
  const t = useT();
  const set = (i: number, change: Target) => onChange(value.map((x, j) => (j === i ? { ...x, ...change } : x)));
  return (
    <div className="stack">
      {value.map((target, i) => {
        const kind = String(target.kind ?? 'syslog');
        const text = (k: string) => (typeof target[k] === 'string' ? (target[k] as string) : '');
        return (
          <div className="notice" key={i} style={{ marginBottom: 0 }}>
            <div className="row wrap" style={{ marginBottom: 8 }}>
              <Input aria-label={t('target.name')} placeholder={t('target.name')} value={text('name')} onChange={(e) => set(i, { name: e.target.value })} style={{ width: 160 }} />
              <Select
                aria-label={t('target.kind')}
                value={kind}
                onChange={(k: string) => onChange(value.map((x, j) => (j === i ? (k === 'kafka' ? { name: x.name, kind: k, brokers: [], topic: 'icewatch-audit', tls: true } : { name: x.name, kind: k, transport: 'tls', address: '' }) : x)))}
                options={[
                  { value: 'syslog', label: 'syslog' },
                  { value: 'kafka', label: 'Kafka' },
                ]}
                style={{ width: 110 }}
              />
              <Button size="small" style={{ marginLeft: 'auto' }} onClick={() => onChange(value.filter((_, j) => j !== i))}>
                {t('do.delete')}
              </Button>
            </div>
            <div className="two" style={{ gap: 8 }}>
              {(FIELDS[kind] ?? []).map((k) => {
                const label = t(`target.${k}` as Key);
                return (
                  <label key={k}>
                    <span className="hint">{label}</span>
                    {k === 'transport' ? (
                      <Select value={text(k) || 'tls'} onChange={(v) => set(i, { [k]: v })} options={['udp', 'tcp', 'tls'].map((x) => ({ value: x, label: x.toUpperCase() }))} style={{ width: '100%' }} />
                    ) : k === 'tls' ? (
                      <div>
                        <Switch checked={target[k] === true} onChange={(v) => set(i, { [k]: v })} />
                      </div>
                    ) : k === 'brokers' ? (
                      <WordsInput value={Array.isArray(target[k]) ? (target[k] as string[]) : []} onChange={(v) => set(i, { [k]: v })} />
                    ) : k === 'password' ? (
                      <Input.Password autoComplete="new-password" value={text(k)} onChange={(e) => set(i, { [k]: e.target.value })} />
                    ) : (
                      <Input autoComplete="off" value={text(k)} onChange={(e) => set(i, { [k]: e.target.value })} />
                    )}
                  </label>
                );
              })}
            </div>
          </div>
        );
      })}
      <div>
        <Button onClick={() => onChange([...value, { name: '', kind: 'syslog', transport: 'tls', address: '' }])}>{t('target.add')}</Button>
      </div>
    </div>
  );
}
