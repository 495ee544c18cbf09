import { Button, Input, InputNumber, Select, Switch } from 'antd';
import { useState } from 'react';
import { useFeedback } from '../app/feedback';
import { useSettings, useT } from '../app/settings';
import { zh, type Key } from '../locales/zh';
import { shown } from '../logic/diff';
import { valueAt, type Field } from '../logic/settingform';
import { readImage } from './image';
import { RolesPicker, WordsInput } from './pickers';
import { Targets } from './targets';

interface FormProps {
  name: string;
  fields: readonly Field[];
  value: Record<string, unknown>;
  defaults: Record<string, unknown>;
  onChange: (path: string[], value: unknown) => void;
}

/** A field's name, or its key where the catalogue has none: a new server may know more fields than this console. */
export function useFieldName(): (name: string, path: readonly string[]) => string {
  const t = useT();
  return (name, path) => {
    const key = `set.${name}.${path.join('.')}`;
    return key in zh ? t(key as Key) : path.join('.');
  };
}

/** The fields of one setting, each with its default beside it where it differs. */
export function SettingFields({ name, fields, value, defaults, onChange }: FormProps) {
  const t = useT();
  const fieldName = useFieldName();
  return (
    <>
      {fields.map((f) => {
        const id = `${name}.${f.path.join('.')}`;
        if (f.kind === 'group') {
          return (
            <fieldset key={id} className="setgroup">
              <legend>{fieldName(name, f.path)}</legend>
              <SettingFields name={name} fields={f.fields ?? []} value={value} defaults={defaults} onChange={onChange} />
            </fieldset>
          );
        }
        const now = valueAt(value, f.path);
        const usual = valueAt(defaults, f.path);
        const differs = JSON.stringify(now) !== JSON.stringify(usual);
        return (
          <div className={`setfield${f.kind === 'targets' || f.kind === 'json' ? ' tall' : ''}`} key={id} data-field={f.path.join('.')}>
            <label htmlFor={id}>{fieldName(name, f.path)}</label>
            <div>
              <FieldInput id={id} name={name} field={f} value={now} onChange={(v) => onChange(f.path, v)} />
            </div>
            <div className="hint">{differs && f.kind !== 'image' && f.kind !== 'both' && f.kind !== 'targets' && t('settings.default', { x: usual === '' ? t('word.none') : choiceText(t, name, f, usual) })}</div>
          </div>
        );
      })}
    </>
  );
}

function choiceText(t: (k: Key) => string, name: string, f: Field, v: unknown): string {
  if (typeof v === 'boolean') return t(v ? 'word.on' : 'word.off');
  if (f.kind !== 'choice') return shown(v);
  for (const key of [`choice.${name}.${f.path.join('.')}.${String(v)}`, `choice.abnormal.${String(v)}`]) if (key in zh) return t(key as Key);
  return String(v);
}

function FieldInput({ id, name, field: f, value, onChange }: { id: string; name: string; field: Field; value: unknown; onChange: (v: unknown) => void }) {
  const { t } = useSettings();
  switch (f.kind) {
    case 'switch':
      return <Switch id={id} checked={value === true} onChange={onChange} />;
    case 'number':
      return <InputNumber id={id} value={value as number} onChange={(v) => v !== null && onChange(v)} step={Number.isInteger(value) ? 1 : 0.01} style={{ width: 130 }} />;
    case 'choice':
      return <Select id={id} value={value as string} onChange={onChange} options={(f.choices ?? []).map((c) => ({ value: c, label: choiceText(t, name, f, c) }))} style={{ width: 220 }} />;
    case 'words':
      return <WordsInput id={id} value={(value as string[] | null) ?? []} onChange={onChange} />;
    case 'roles':
      return <RolesPicker id={id} value={(value as string[] | null) ?? []} onChange={onChange} />;
    case 'both': {
      const both = (value ?? {}) as { zh?: string; en?: string };
      return (
        <span className="stack" style={{ gap: 6 }}>
          <Input id={id} addonBefore={t('word.zh')} value={both.zh ?? ''} onChange={(e) => onChange({ ...both, zh: e.target.value })} />
          <Input aria-label={t('word.en')} addonBefore={t('word.en')} value={both.en ?? ''} onChange={(e) => onChange({ ...both, en: e.target.value })} />
        </span>
      );
    }
    case 'image':
      return <ImageInput id={id} value={typeof value === 'string' ? value : ''} onChange={onChange} />;
    case 'targets':
      return <Targets value={Array.isArray(value) ? (value as Record<string, unknown>[]) : []} onChange={onChange} />;
    case 'json':
      return <JSONInput id={id} value={value} onChange={onChange} />;
    default:
      return <Input id={id} value={typeof value === 'string' ? value : ''} onChange={(e) => onChange(e.target.value)} />;
  }
}

/** What has no form of its own yet: the document itself, checked before it is taken. */
function JSONInput({ id, value, onChange }: { id: string; value: unknown; onChange: (v: unknown) => void }) {
  const t = useT();
  const [text, setText] = useState(() => JSON.stringify(value ?? null, null, 2));
  const [bad, setBad] = useState(false);
  return (
    <>
      <Input.TextArea
        id={id}
        className="mono grows"
        rows={5}
        spellCheck={false}
        status={bad ? 'warning' : undefined}
        value={text}
        onChange={(e) => {
          setText(e.target.value);
          try {
            onChange(JSON.parse(e.target.value));
            setBad(false);
          } catch {
            setBad(true);
          }
        }}
      />
      {bad && <div style={{ color: 'var(--medium)' }}>{t('settings.bad')}</div>}
    </>
  );
}

export const LOGO_BYTES = 256 << 10;

/** A picture as base64. It shows once it is saved: the content policy allows no picture out of memory. */
export function ImageInput({ id, value, onChange, limit = LOGO_BYTES }: { id?: string; value: string; onChange: (v: string) => void; limit?: number }) {
  const t = useT();
  const { failed } = useFeedback();
  const [name, setName] = useState('');
  const take = async (file: File | undefined) => {
    if (!file) return;
    if (file.size > limit) return failed(new Error(t('welcome.logoBig')));
    setName(file.name);
    onChange(await readImage(file));
  };
  return (
    <span className="row wrap">
      <label className="ant-btn ant-btn-default filebtn">
        <input id={id} type="file" accept="image/png,image/jpeg" className="visually-hidden" onChange={(e) => void take(e.target.files?.[0])} />
        {t('settings.choose')}
      </label>
      {value ? (
        <>
          <span className="dim">{name || `${Math.round((value.length * 3) / 4 / 1024).toLocaleString()} KiB`}</span>
          <Button size="small" onClick={() => onChange('')}>
            {t('settings.remove')}
          </Button>
        </>
      ) : (
        <span className="faint">{t('word.none')}</span>
      )}
    </span>
  );
}
