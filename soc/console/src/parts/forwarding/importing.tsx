import { Modal } from 'antd';
import { useState } from 'react';
import { upload } from '../../api/client';
import type { TargetImport } from '../../api/forwarding';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useRefusal } from '../../app/refusal';
import { useT } from '../../app/settings';
import { Refused } from '../dialog';

/** Takes in a file of targets: checked first, written after. */
export function TargetImportDialog({ close }: { close: () => void }) {
  const t = useT();
  const refusal = useRefusal();
  const { tell } = useAct();
  const [file, setFile] = useState<{ text: string; yaml: boolean; name: string } | null>(null);
  const [report, setReport] = useState<TargetImport | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const counts = (r: TargetImport) => ({ c: list(r.created).length, u: list(r.updated).length });
  const send = async (f: NonNullable<typeof file>, dry: boolean) => {
    setBusy(true);
    setError(null);
    try {
      const r = await upload<TargetImport>('/forwarding/import', { dry_run: dry || undefined }, f.text, f.yaml ? 'application/yaml' : 'application/json');
      setReport(r);
      if (!dry && Object.keys(r.failed ?? {}).length === 0) {
        tell({ said: t('forward.importDone', counts(r)), renew: ['forward-targets'] });
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
  const failures = Object.entries(report?.failed ?? {});
  return (
    <Modal open title={t('forward.importTitle')} onCancel={close} okText={t('do.import')} okButtonProps={{ disabled: !file || !report || failures.length > 0 }} confirmLoading={busy} cancelText={t('do.cancel')} onOk={() => file && void send(file, false)}>
      <Refused error={error} />
      <p className="dim" style={{ margin: '8px 0' }}>
        {t('forward.importWhy')}
      </p>
      <label className="ant-btn ant-btn-default filebtn">
        <input type="file" accept=".json,.yaml,.yml" className="visually-hidden" onChange={(e) => void take(e.target.files?.[0])} />
        {t('imports.choose')}
      </label>{' '}
      <span className="dim">{file?.name}</span>
      {report && failures.length === 0 && <p style={{ marginTop: 10 }}>{t('forward.importWould', counts(report))}</p>}
      {failures.length > 0 && (
        <div className="notice warn" role="alert" style={{ marginTop: 10 }}>
          <ul>
            {failures.map(([name, why]) => (
              <li key={name}>
                {name}: {refusal(why)}
              </li>
            ))}
          </ul>
        </div>
      )}
    </Modal>
  );
}
