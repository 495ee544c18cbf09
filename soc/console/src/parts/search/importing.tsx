import { Modal, Radio } from 'antd';
import { useState } from 'react';
import { ApiError, upload } from '../../api/client';
import { list, type List } from '../../api/types';
import { useAct } from '../../app/act';
import { useRefusal } from '../../app/refusal';
import { useT } from '../../app/settings';
import { Refused } from '../dialog';

interface Report {
  created: number;
  updated: number;
  renamed?: number;
  errors?: List<{ entry: number | string; name?: string; field?: string; message: string }>;
}

/** Takes in a file of saved searches or log groups (JSON or YAML): checked first, written after. */
export function ImportDialog({ title, path, conflicts, renew, close }: { title: string; path: string; /** Whether names that are taken may be replaced or given a number. */ conflicts?: boolean; renew: readonly string[]; close: () => void }) {
  const t = useT();
  const refusal = useRefusal();
  const { tell } = useAct();
  const [file, setFile] = useState<{ text: string; yaml: boolean; name: string } | null>(null);
  const [report, setReport] = useState<Report | null>(null);
  const [onConflict, setOnConflict] = useState<'fail' | 'replace' | 'rename'>('fail');
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const send = async (f: NonNullable<typeof file>, dry: boolean, conflict = onConflict) => {
    setBusy(true);
    setError(null);
    try {
      const r = await upload<Report>(path, { format: f.yaml ? 'yaml' : 'json', dry_run: dry, on_conflict: conflicts ? conflict : undefined }, f.text, f.yaml ? 'application/yaml' : 'application/json');
      if (!dry) {
        tell({ said: t('imports.done', { c: r.created, u: r.updated }), renew });
        close();
      } else setReport(r);
    } catch (e) {
      const refused = e instanceof ApiError ? (e.problem as { report?: Report }).report : undefined;
      if (refused) setReport(refused);
      else setError(e);
    } finally {
      setBusy(false);
    }
  };
  const take = async (f: File | undefined) => {
    if (!f) return;
    const next = { text: await f.text(), yaml: /\.ya?ml$/i.test(f.name), name: f.name };
    setFile(next);
    setReport(null);
    await send(next, true);
  };
  const errors = list(report?.errors);
  return (
    <Modal open title={title} onCancel={close} okText={t('do.import')} okButtonProps={{ disabled: !file || !report || errors.length > 0 }} confirmLoading={busy} cancelText={t('do.cancel')} onOk={() => file && void send(file, false)}>
      <Refused error={error} />
      <label className="ant-btn ant-btn-default filebtn">
        <input type="file" accept=".json,.yaml,.yml" className="visually-hidden" onChange={(e) => void take(e.target.files?.[0])} />
        {t('imports.choose')}
      </label>{' '}
      <span className="dim">{file?.name}</span>
      {conflicts && (
        <div style={{ margin: '10px 0' }}>
          <Radio.Group
            value={onConflict}
            onChange={(e) => {
              const next = e.target.value as typeof onConflict;
              setOnConflict(next);
              if (file) void send(file, true, next);
            }}
            options={(['fail', 'replace', 'rename'] as const).map((v) => ({ value: v, label: t(`imports.${v}`) }))}
          />
        </div>
      )}
      {report && errors.length === 0 && <p>{t('imports.would', { c: report.created, u: report.updated })}</p>}
      {errors.length > 0 && (
        <div className="notice warn" role="alert">
          <ul>
            {errors.slice(0, 20).map((e, i) => (
              <li key={i}>
                {e.name || e.entry} {e.field && `(${e.field})`}: {refusal(e.message)}
              </li>
            ))}
          </ul>
        </div>
      )}
    </Modal>
  );
}
