import { Button, Modal } from 'antd';
import { useState } from 'react';
import type { ImportAnswer } from '../api/access';
import { ApiError, upload } from '../api/client';
import { list } from '../api/types';
import { useRefusal } from '../app/refusal';
import { useSettings } from '../app/settings';
import { parseCSV } from '../logic/csv';
import { download } from '../logic/export';
import { Refused } from './dialog';
import { Drop } from './drop';
import { DataTable } from './table';

const SHOWN = 8;

/** Imports a CSV file in two steps: the server checks it without writing, then writes. */
export function CSVImport({ title, why, path, columns, example, close, imported }: { title: string; why?: string; path: string; columns: string[]; example: string[]; close: () => void; imported: (a: ImportAnswer) => void }) {
  const { t } = useSettings();
  const refusal = useRefusal();
  const [file, setFile] = useState<{ name: string; text: string } | null>(null);
  const [report, setReport] = useState<ImportAnswer | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);

  const send = async (text: string, dry: boolean) => {
    setBusy(true);
    setError(null);
    try {
      const answer = await upload<ImportAnswer>(path, { dry_run: dry }, text, 'text/csv');
      if (!dry && list(answer.errors).length === 0) {
        imported(answer);
        close();
        return;
      }
      setReport(answer);
    } catch (e) {
      // Refused rows come as a problem with their places, or as a report: both read alike.
      const rows = e instanceof ApiError && e.status === 422 ? list(e.problem.errors).filter((x) => x.row !== undefined) : [];
      if (rows.length > 0) setReport({ created: 0, updated: 0, unchanged: 0, errors: rows });
      else setError(e);
    } finally {
      setBusy(false);
    }
  };
  const take = async (f: File) => {
    const text = await f.text();
    setFile({ name: f.name, text });
    setReport(null);
    await send(text, true);
  };
  const rows = file ? parseCSV(file.text, SHOWN + 1) : [];
  const errors = list(report?.errors);
  const changes = report ? report.created + report.updated : 0;
  return (
    <Modal
      open
      width={760}
      title={title}
      maskClosable={false}
      onCancel={close}
      cancelText={t('do.cancel')}
      okText={changes > 0 ? t('import.do', { n: changes }) : t('do.import')}
      okButtonProps={{ disabled: !file || errors.length > 0 || changes === 0 }}
      confirmLoading={busy}
      onOk={() => file && void send(file.text, false)}
    >
      {why && <p className="dim">{why}</p>}
      <p className="hint" style={{ margin: '6px 0 10px' }}>
        {t('import.columns')} <code>{columns.join(',')}</code>{' '}
        <Button type="link" size="small" onClick={() => download('template.csv', 'text/csv;charset=utf-8', `\ufeff${columns.join(',')}\r\n${example.join(',')}\r\n`)}>
          {t('import.template')}
        </Button>
      </p>
      <Drop accept=".csv,text/csv" take={(files) => void take(files[0]!)}>
        {file ? `${file.name} · ${t('import.again')}` : t('import.drop')}
      </Drop>
      <div style={{ marginTop: 12 }} />
      <Refused error={error} />
      {report &&
        (errors.length > 0 ? (
          <>
            <div className="notice warn" role="alert">
              {t('import.bad', { n: errors.length })}
            </div>
            <DataTable
              label={t('import.bad', { n: errors.length })}
              rows={errors.slice(0, 50).map((e, i) => ({ ...e, i }))}
              rowKey={(e) => String(e.i)}
              columns={[
                { key: 'row', title: t('import.row'), num: true, width: 60, render: (e) => e.row ?? '–' },
                { key: 'column', title: t('import.column'), width: 140, render: (e) => <code>{e.column ?? '–'}</code> },
                { key: 'message', title: t('import.message'), render: (e) => refusal(e.message) },
              ]}
            />
          </>
        ) : (
          <div className="notice good" role="status">
            {changes === 0 ? t('import.nothing') : t('import.checked', { c: report.created, u: report.updated, n: report.unchanged })}
          </div>
        ))}
      {rows.length > 1 && errors.length === 0 && (
        <div style={{ overflowX: 'auto' }}>
          <div className="hint">{t('import.preview', { n: Math.min(rows.length - 1, SHOWN) })}</div>
          <DataTable
            label={file?.name ?? ''}
            rows={rows.slice(1).map((r, i) => ({ r, i }))}
            rowKey={(x) => String(x.i)}
            columns={(rows[0] ?? []).map((title, c) => ({ key: String(c), title, render: ({ r }: { r: string[] }) => <span className="nowrap">{r[c] || '–'}</span> }))}
          />
        </div>
      )}
    </Modal>
  );
}
