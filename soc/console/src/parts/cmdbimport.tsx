import { useQueryClient } from '@tanstack/react-query';
import { Button, Modal, Select } from 'antd';
import { useState } from 'react';
import { ApiError, upload } from '../api/client';
import { list, type CMDBClass, type ImportError, type ImportReport } from '../api/types';
import { useFeedback } from '../app/feedback';
import { useSettings } from '../app/settings';

/** Checks a file without writing, shows what would change or every fault by its row, and only then imports. */
export function ImportDialog({ classes, close }: { classes: CMDBClass[]; close: () => void }) {
  const { t, tx } = useSettings();
  const client = useQueryClient();
  const { done, failed } = useFeedback();
  const [file, setFile] = useState<File | null>(null);
  const [cls, setCls] = useState('host');
  const [over, setOver] = useState(false);
  const [busy, setBusy] = useState(false);
  const [report, setReport] = useState<ImportReport | null>(null);
  const [errors, setErrors] = useState<ImportError[] | null>(null);
  const [detail, setDetail] = useState('');
  const format = file && /\.ya?ml$/i.test(file.name) ? 'yaml' : 'csv';

  const send = (f: File, c: string, dry: boolean) => {
    const yaml = /\.ya?ml$/i.test(f.name);
    return upload<ImportReport>('/cmdb/import', { format: yaml ? 'yaml' : 'csv', class: yaml ? undefined : c, dry_run: dry }, f, yaml ? 'application/yaml' : 'text/csv');
  };
  const check = async (f: File, c: string) => {
    setFile(f);
    setReport(null);
    setErrors(null);
    setBusy(true);
    try {
      setReport(await send(f, c, true));
    } catch (e) {
      if (e instanceof ApiError && (e.status === 422 || e.status === 400)) {
        setDetail(e.message);
        setErrors(list(e.problem.errors));
      } else failed(e);
    } finally {
      setBusy(false);
    }
  };
  const run = async () => {
    if (!file) return;
    setBusy(true);
    try {
      const r = await send(file, cls, false);
      done(t('cmdb.imported', { c: r.created, u: r.updated }));
      void client.invalidateQueries({ queryKey: ['cmdb'] });
      close();
    } catch (e) {
      failed(e);
    } finally {
      setBusy(false);
    }
  };
  const changes = report ? report.created + report.updated : 0;
  return (
    <Modal
      open
      width={620}
      title={t('cmdb.importTitle')}
      onCancel={close}
      cancelText={t('do.cancel')}
      okText={report && changes === 0 ? t('cmdb.importNothing') : t('cmdb.importDo', { n: changes })}
      okButtonProps={{ disabled: !report || changes === 0, loading: busy && !!report }}
      onOk={() => void run()}
    >
      <div className="stack">
        <label
          className={`drop${over ? ' over' : ''}`}
          onDragOver={(e) => {
            e.preventDefault();
            setOver(true);
          }}
          onDragLeave={() => setOver(false)}
          onDrop={(e) => {
            e.preventDefault();
            setOver(false);
            const f = e.dataTransfer.files[0];
            if (f) void check(f, cls);
          }}
        >
          <input
            type="file"
            accept=".yaml,.yml,.csv"
            className="visually-hidden"
            aria-label={t('cmdb.importFile')}
            onChange={(e) => {
              const f = e.target.files?.[0];
              e.target.value = '';
              if (f) void check(f, cls);
            }}
          />
          {file ? (
            <>
              <b>{file.name}</b> · {t('cmdb.importAgain')}
            </>
          ) : (
            <>
              {t('cmdb.importFile')}
              <br />
              {t('cmdb.importDrop')}
            </>
          )}
        </label>
        {(!file || format === 'csv') && (
          <div className="row">
            <span className="dim">{t('cmdb.importClass')}</span>
            <Select
              style={{ width: 180 }}
              value={cls}
              aria-label={t('cmdb.importClass')}
              options={classes.map((c) => ({ value: c.class, label: tx(c.name) || c.class }))}
              onChange={(c: string) => {
                setCls(c);
                if (file) void check(file, c);
              }}
            />
          </div>
        )}
        {busy && !report && <div className="dim">{t('cmdb.importChecking')}…</div>}
        {report && <div role="status">✓ {t('cmdb.importOk', { c: report.created, u: report.updated, n: report.unchanged })}</div>}
        {errors && (
          <div role="alert">
            <b>{t('cmdb.importBad', { n: Math.max(1, errors.length) })}</b>
            {errors.length === 0 && <div>{detail}</div>}
            <div style={{ maxHeight: 260, overflow: 'auto' }}>
              <table className="data">
                <thead>
                  <tr>
                    <th>{t('cmdb.importRow')}</th>
                    <th>{t('cmdb.importColumn')}</th>
                    <th>{t('cmdb.importMessage')}</th>
                  </tr>
                </thead>
                <tbody>
                  {errors.map((e, i) => (
                    <tr key={i}>
                      <td>{e.row ?? '–'}</td>
                      <td className="mono">{e.column || '–'}</td>
                      <td>{e.message}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
            {file && (
              <Button size="small" style={{ marginTop: 8 }} onClick={() => void check(file, cls)}>
                {t('do.retry')}
              </Button>
            )}
          </div>
        )}
      </div>
    </Modal>
  );
}
