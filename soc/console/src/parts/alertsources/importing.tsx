import { Modal } from 'antd';
import { useState } from 'react';
import { upload } from '../../api/client';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useRefusal } from '../../app/refusal';
import { useT } from '../../app/settings';
import { CodeBox } from '../codebox';
import { Refused } from '../dialog';

interface Report {
  created: string[] | null;
  updated: string[] | null;
  failed: Record<string, string> | null;
  tokens: Record<string, string> | null;
}

/** Takes in a file of sources: checked first, written after; tokens of new ones are shown at the end. */
export function SourceImport({ close }: { close: () => void }) {
  const t = useT();
  const refusal = useRefusal();
  const { tell } = useAct();
  const [file, setFile] = useState<{ text: string; name: string } | null>(null);
  const [report, setReport] = useState<Report | null>(null);
  const [done, setDone] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const counts = (r: Report) => ({ c: list(r.created).length, u: list(r.updated).length });
  const send = async (text: string, dry: boolean) => {
    setError(null);
    try {
      const r = await upload<Report>('/alert-sources/import', { dry_run: dry || undefined }, text, 'application/yaml');
      setReport(r);
      if (dry) return;
      setDone(true);
      tell({ said: t('asource.importDone', counts(r)), renew: ['alert-sources', 'alert-templates'] });
    } catch (e) {
      setReport(null);
      setError(e);
    }
  };
  const failures = Object.entries(report?.failed ?? {});
  const tokens = Object.entries(report?.tokens ?? {});
  return (
    <Modal open title={t('asource.import')} onCancel={close} okText={done ? t('do.close') : t('do.import')} okButtonProps={{ disabled: !report || (!done && failures.length > 0) }} cancelText={t('do.cancel')} onOk={() => (done ? close() : file && void send(file.text, false))}>
      <Refused error={error} />
      <label className="ant-btn ant-btn-default filebtn">
        <input
          type="file"
          accept=".yaml,.yml"
          className="visually-hidden"
          onChange={(e) => {
            const f = e.target.files?.[0];
            if (f)
              void f.text().then((text) => {
                setFile({ text, name: f.name });
                return send(text, true);
              });
          }}
        />
        {t('imports.choose')}
      </label>{' '}
      <span className="dim">{file?.name}</span>
      {report && !done && failures.length === 0 && <p style={{ marginTop: 10 }}>{t('asource.importWould', counts(report))}</p>}
      {failures.length > 0 && (
        <ul role="alert">
          {failures.map(([name, why]) => (
            <li key={name}>
              {name}: {refusal(why)}
            </li>
          ))}
        </ul>
      )}
      {done && tokens.length > 0 && <CodeBox into={t('asource.importTokens')} text={tokens.map(([name, token]) => `${name}\t${token}`).join('\n')} />}
    </Modal>
  );
}
