import { Modal } from 'antd';
import { useState } from 'react';
import { upload } from '../../api/client';
import type { InputsImported } from '../../api/inputs';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useRefusal } from '../../app/refusal';
import { useT } from '../../app/settings';
import { Refused } from '../dialog';

/** Takes in a file of inputs: checked first, written after. */
export function InputImportDialog({ close }: { close: () => void }) {
  const t = useT();
  const refusal = useRefusal();
  const { tell } = useAct();
  const [file, setFile] = useState<{ text: string; yaml: boolean; name: string } | null>(null);
  const [report, setReport] = useState<InputsImported | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const counts = (r: InputsImported) => ({ c: list(r.created).length, u: list(r.updated).length, n: list(r.unchanged).length });
  const send = async (f: NonNullable<typeof file>, dry: boolean) => {
    setBusy(true);
    setError(null);
    try {
      const r = await upload<InputsImported>('/inputs/import', { format: f.yaml ? 'yaml' : 'json', dry_run: dry || undefined }, f.text, 'application/json');
      setReport(r);
      if (!dry && Object.keys(r.failed ?? {}).length === 0) {
        tell({ said: t('inputs.importDone', counts(r)), renew: ['inputs', 'sources'] });
        close();
      }
    } catch (e) {
      setReport(null);
      setError(e);
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
  const failed = Object.entries(report?.failed ?? {});
  const waiting = Object.entries(report?.waiting ?? {});
  return (
    <Modal open title={t('inputs.importTitle')} onCancel={close} okText={t('do.import')} okButtonProps={{ disabled: !file || !report || failed.length > 0 }} confirmLoading={busy} cancelText={t('do.cancel')} onOk={() => file && void send(file, false)}>
      <Refused error={error} />
      <p className="dim" style={{ margin: '8px 0' }}>
        {t('inputs.importWhy')}
      </p>
      <label className="ant-btn ant-btn-default filebtn">
        <input type="file" accept=".json,.yaml,.yml" className="visually-hidden" onChange={(e) => void take(e.target.files?.[0])} />
        {t('imports.choose')}
      </label>{' '}
      <span className="dim">{file?.name}</span>
      {report && failed.length === 0 && <p style={{ marginTop: 10 }}>{t('inputs.importWould', counts(report))}</p>}
      {waiting.length + failed.length > 0 && (
        <div className="notice warn" role="alert" style={{ marginTop: 10 }}>
          <ul>
            {failed.map(([name, why]) => (
              <li key={name}>
                {name}: {refusal(why)}
              </li>
            ))}
            {waiting.map(([name, lacks]) => (
              <li key={name}>{t('inputs.importWaiting', { x: name, y: lacks })}</li>
            ))}
          </ul>
        </div>
      )}
    </Modal>
  );
}
