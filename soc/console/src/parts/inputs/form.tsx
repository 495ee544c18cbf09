import { Button, Checkbox, Input, InputNumber, Segmented, Select } from 'antd';
import { useId, type ReactNode } from 'react';
import type { Schema, Settings } from '../../api/inputs';
import { useSettings } from '../../app/settings';
import { zh, type Key } from '../../locales/zh';
import { GROUPS, faultAt, groupOf, needed, order, widgetOf } from '../../logic/inputs';
import { WordsInput } from '../pickers';

interface Common {
  schema: Schema;
  value: Settings;
  change: (v: Settings) => void;
  /** Path of the object in the input: settings, settings.sasl. */
  at: string;
  faults: Record<string, string>;
  /** Paths of the secrets that are kept, without "settings.". */
  kept: readonly string[];
}

/** A form made of the schema of a kind's settings. */
export function SchemaForm(p: Common) {
  const { t } = useSettings();
  const names = order(p.schema);
  return (
    <>
      {GROUPS.map((g) => {
        const mine = names.filter((n) => groupOf(n, p.schema.properties?.[n] ?? {}) === g);
        if (mine.length === 0) return null;
        const fields = mine.map((n) => <Setting key={n} name={n} {...p} />);
        if (g === 'main')
          return (
            <section className="stack" key={g} aria-label={t('inputs.group.main')}>
              {fields}
            </section>
          );
        const open = mine.some((n) => faultAt(p.faults, `${p.at}.${n}`) || p.value[n]);
        return (
          <details key={g} open={open}>
            <summary className="dim">{t(`inputs.group.${g}`)}</summary>
            <div className="stack" style={{ paddingTop: 8 }}>
              {fields}
            </div>
          </details>
        );
      })}
    </>
  );
}

/** The word for a setting, and what there is to know of it: in Chinese where we have it, else as the source says it. */
function useWords(name: string, s: Schema): { label: string; help: string } {
  const { t, locale } = useSettings();
  const label = `inputs.field.${name}` in zh ? t(`inputs.field.${name}` as Key) : name.replaceAll('_', ' ');
  const own = `inputs.zh.${name}`;
  return { label, help: locale === 'zh-CN' && own in zh ? t(own as Key) : (s.description ?? '') };
}

function Setting({ name, schema, value, change, at, faults, kept }: Common & { name: string }) {
  const { t } = useSettings();
  const s = schema.properties?.[name] ?? {};
  const { label, help } = useWords(name, s);
  const path = `${at}.${name}`;
  const v = value[name];
  const set = (x: unknown) => change({ ...value, [name]: x });
  const fault = faultAt(faults, path);
  const isKept = kept.includes(path.replace(/^settings\./, ''));
  const preset = s.default !== undefined && s.default !== '' && typeof s.default !== 'object' ? String(s.default) : '';
  const secretHint = isKept ? (v === null ? t('inputs.secretGone') : t('inputs.secretKept')) : '';
  const frame = (input: (id: string) => ReactNode, more?: ReactNode) => (
    <Field label={label} must={needed(name, s, schema)} hint={help} fault={fault} more={more}>
      {input}
    </Field>
  );
  const removing = isKept && v !== null && !v && (
    <button className="plain link" onClick={() => set(null)}>
      {t('inputs.secretRemove')}
    </button>
  );
  switch (widgetOf(name, s)) {
    case 'check':
      return (
        <div className="field">
          <div>
            <Checkbox checked={Boolean(v ?? s.default)} onChange={(e) => set(e.target.checked)}>
              {label}
            </Checkbox>
          </div>
          <Hints help={help} fault={fault} />
        </div>
      );
    case 'number':
      return frame((id) => <InputNumber id={id} min={s.minimum} max={s.maximum} precision={s.type === 'integer' ? 0 : undefined} placeholder={preset} value={(v ?? s.default ?? null) as number | null} onChange={(x) => set(x ?? undefined)} status={fault ? 'error' : undefined} style={{ width: 200 }} />);
    case 'choice': {
      const options = (s.enum ?? []).map((x) => ({ value: String(x), label: x === '' ? '–' : `inputs.value.${String(x)}` in zh ? t(`inputs.value.${String(x)}` as Key) : String(x) }));
      const now = String(v ?? s.default ?? options[0]?.value ?? '');
      return frame((id) =>
        options.length <= 4 ? (
          <div>
            <Segmented aria-label={label} value={now} options={options} onChange={set} />
          </div>
        ) : (
          <Select id={id} aria-label={label} value={now} options={options} onChange={set} style={{ width: '100%' }} />
        ),
      );
    }
    case 'password':
      return frame((id) => <Input.Password id={id} autoComplete="new-password" placeholder={secretHint} value={(v as string) ?? ''} onChange={(e) => set(e.target.value)} status={fault ? 'error' : undefined} />, removing);
    case 'secretText':
      return frame((id) => <textarea id={id} className="pem" rows={3} spellCheck={false} autoComplete="off" placeholder={secretHint} value={(v as string) ?? ''} onChange={(e) => set(e.target.value)} />, removing);
    case 'longText':
      return frame((id) => <textarea id={id} className="pem" rows={3} spellCheck={false} placeholder={name.endsWith('_pem') ? '-----BEGIN CERTIFICATE-----' : preset} value={(v as string) ?? ''} onChange={(e) => set(e.target.value)} />);
    case 'words':
      return frame((id) => <WordsInput id={id} placeholder={Array.isArray(s.default) ? s.default.join(', ') : ''} value={((v ?? s.default ?? []) as unknown[]).map(String)} onChange={(x) => set(s.items?.type === 'integer' ? x.map(Number) : x)} />);
    case 'texts': {
      const texts = (v ?? []) as string[];
      return frame((id) => (
        <>
          {texts.map((x, i) => (
            <div className="row" key={i} style={{ marginBottom: 6 }}>
              <textarea id={i === 0 ? id : undefined} aria-label={`${label} ${i + 1}`} className="pem" rows={3} spellCheck={false} value={x} onChange={(e) => set(texts.map((y, j) => (j === i ? e.target.value : y)))} />
              <Button size="small" type="text" aria-label={t('inputs.remove', { n: i + 1 })} onClick={() => set(texts.filter((_, j) => j !== i))}>
                ✕
              </Button>
            </div>
          ))}
          <Button size="small" onClick={() => set([...texts, ''])}>
            {t('inputs.add')}
          </Button>
        </>
      ));
    }
    case 'object':
      return (
        <fieldset className="nested">
          <legend>{label}</legend>
          <SchemaForm schema={s} value={(v ?? {}) as Settings} change={set} at={path} faults={faults} kept={kept} />
        </fieldset>
      );
    case 'objects': {
      const rows = (v ?? []) as Settings[];
      return (
        <fieldset className="nested">
          <legend>{label}</legend>
          <Hints help={help} fault={fault} />
          {rows.map((x, i) => (
            <div key={i} className="row" style={{ alignItems: 'flex-start' }}>
              <div style={{ flex: 1 }}>
                <SchemaForm schema={s.items ?? {}} value={x} change={(y) => set(rows.map((z, j) => (j === i ? y : z)))} at={`${path}[${i}]`} faults={faults} kept={kept} />
              </div>
              <Button size="small" type="text" aria-label={t('inputs.remove', { n: i + 1 })} onClick={() => set(rows.filter((_, j) => j !== i))}>
                ✕
              </Button>
            </div>
          ))}
          <Button size="small" onClick={() => set([...rows, {}])}>
            {t('inputs.add')}
          </Button>
        </fieldset>
      );
    }
    default:
      return frame((id) => <Input id={id} className="mono" spellCheck={false} maxLength={s.maxLength} placeholder={preset} value={(v as string) ?? ''} onChange={(e) => set(e.target.value)} status={fault ? 'error' : undefined} />);
  }
}

function Hints({ help, fault }: { help?: string; fault?: string }) {
  return (
    <>
      {fault && (
        <div className="fault" role="alert">
          {fault}
        </div>
      )}
      {help && <div className="hint">{help}</div>}
    </>
  );
}

export function Field({ label, hint, fault, must, more, children }: { label: string; hint?: string; fault?: string; must?: boolean; more?: ReactNode; children: (id: string) => ReactNode }) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>
        {label}
        {must && <span aria-hidden="true"> *</span>} {more}
      </label>
      {children(id)}
      <Hints help={hint} fault={fault} />
    </div>
  );
}
