import { Checkbox, Modal } from 'antd';
import { useState } from 'react';
import { upload } from '../../api/client';
import type { ImportReport } from '../../api/rules';
import { list } from '../../api/types';
import { useRefusal } from '../../app/refusal';
import { useSettings } from '../../app/settings';
import { Refused } from '../dialog';
import { DataTable } from '../table';

/** Takes in rules in two steps: the server judges each file, then keeps them. */
export function RuleImport({ close, imported }: { close: () => void; imported: (r: ImportReport) => void }) {
  const { t } = useSettings();
  const refusal = useRefusal();
  const [file, setFile] = useState<File | null>(null);
  const [replace, setReplace] = useState(false);
  const [report, setReport] = useState<ImportReport | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const send = async (f: File, dry: boolean, over: boolean) => {
    setBusy(true);
    setError(null);
    try {
      const r = await upload<ImportReport>('/rules/import', { dry_run: dry, on_conflict: over ? 'replace' : 'skip', name: f.name.slice(0, 200) }, await f.arrayBuffer(), 'application/octet-stream');
      if (dry) setReport(r);
      else {
        imported(r);
        close();
      }
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  const changes = report ? report.created + report.changed : 0;
  // What needs a look stands first.
  const rows = list(report?.files)
    .filter((f) => f.result !== 'same')
    .sort((a, b) => Number(b.result === 'invalid') - Number(a.result === 'invalid'));
  return (
    <Modal open width={760} title={t('ruleimp.title')} maskClosable={false} onCancel={close} cancelText={t('do.cancel')} okText={t('ruleimp.do', { n: changes })} okButtonProps={{ disabled: changes === 0 }} confirmLoading={busy} onOk={() => file && void send(file, false, replace)}>
      <p className="dim">{t('ruleimp.why')}</p>
      <div className="row wrap" style={{ marginBottom: 10 }}>
        <label className="filebtn">
          {t('ruleimp.choose')}
          <input
            type="file"
            className="visually-hidden"
            accept=".zip,.yml,.yaml"
            aria-label={t('ruleimp.choose')}
            onChange={(e) => {
              const f = e.target.files?.[0];
              if (!f) return;
              setFile(f);
              setReport(null);
              void send(f, true, replace);
            }}
          />
        </label>
        <span className="mono">{file?.name}</span>
        <Checkbox
          checked={replace}
          onChange={(e) => {
            setReplace(e.target.checked);
            if (file) void send(file, true, e.target.checked);
          }}
        >
          {t('ruleimp.replace')}
        </Checkbox>
      </div>
      <Refused error={error} />
      {report && (
        <>
          <div style={{ marginBottom: 6 }} data-testid="import-sum">
            {t('ruleimp.sum', { a: report.created, b: report.changed, c: report.same, d: report.skipped, e: report.invalid })}
          </div>
          <div style={{ maxHeight: 340, overflow: 'auto' }}>
            <DataTable
              label={t('ruleimp.title')}
              rows={rows.slice(0, 500)}
              rowKey={(f) => f.file}
              columns={[
                { key: 'result', title: '', width: 70, render: (f) => <span className={f.result === 'invalid' ? 'tag strong' : 'tag'}>{t(`ruleimp.${f.result}`)}</span> },
                { key: 'file', title: t('rules.path'), render: (f) => <span className="mono" style={{ overflowWrap: 'anywhere' }}>{f.file}{f.line ? `:${f.line}` : ''}</span> },
                { key: 'title', title: t('col.name'), render: (f) => (f.reason ? <span style={{ overflowWrap: 'anywhere' }}>{refusal(f.reason)}</span> : f.title) },
              ]}
            />
          </div>
        </>
      )}
    </Modal>
  );
}
