import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Button, Checkbox, Form, Input, InputNumber, Modal, Progress, Radio, Select } from 'antd';
import { useState } from 'react';
import { Link } from 'react-router-dom';
import { buildPath, get, post } from '../../api/client';
import { EXPORT_FORMATS, exporting, type Asked, type Export, type ExportFormat, type ExportLimits } from '../../api/search';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { bytes, number } from '../../logic/format';
import { FormDialog } from '../dialog';

export const fileOf = (x: Export) => buildPath(`/exports/${encodeURIComponent(x.id)}/file`);

interface Values {
  name?: string;
  format: ExportFormat;
  fields?: string[];
  max_rows: number;
  kept?: boolean;
  bom?: boolean;
}

/** Asks what to write, then stays with the work until it is done, cancelled, or left to go on in the background. */
export function ExportDialog({ asked, fields, columns, close }: { asked: Asked; fields: readonly string[]; columns: readonly string[]; close: () => void }) {
  const { t, locale } = useSettings();
  const client = useQueryClient();
  const [job, setJob] = useState('');
  const limits = useQuery({ queryKey: ['export-limits'], queryFn: ({ signal }) => get<ExportLimits>('/exports/limits', {}, signal) });
  if (job) return <ExportProgress id={job} close={close} />;
  const most = limits.data?.max_rows ?? 1_000_000;
  return (
    <FormDialog<Values>
      title={t('export.title')}
      ok={t('export.start')}
      initial={{ format: 'csv', max_rows: Math.min(100_000, most), bom: true, fields: [...columns] }}
      cancel={close}
      close={() => undefined}
      submit={async (v) => {
        const x = await post<Export>('/exports', { ...asked, ...v, name: v.name?.trim() ?? '', fields: v.fields ?? [], bom: v.format === 'csv' && v.bom });
        void client.invalidateQueries({ queryKey: ['exports'] });
        setJob(x.id);
      }}
    >
      {(form) => (
        <>
          <Form.Item name="format" label={t('export.format')}>
            <Radio.Group optionType="button" options={EXPORT_FORMATS.map((f) => ({ value: f, label: t(`format.${f}`) }))} />
          </Form.Item>
          <Form.Item name="name" label={t('export.name')}>
            <Input autoComplete="off" placeholder={t('export.nameHint')} maxLength={128} />
          </Form.Item>
          <Form.Item name="fields" label={t('export.fields')} extra={t('export.fieldsWhy')}>
            <Select mode="tags" options={fields.map((f) => ({ value: f, label: f }))} placeholder={t('export.allFields')} />
          </Form.Item>
          <Form.Item name="max_rows" label={t('export.rows')} extra={limits.data && t('export.rowsWhy', { n: most, b: bytes(limits.data.max_bytes, locale) })}>
            <InputNumber min={1} max={most} step={1000} style={{ width: 160 }} />
          </Form.Item>
          <Form.Item noStyle shouldUpdate={(a, b) => a.format !== b.format}>
            {() =>
              form.getFieldValue('format') === 'csv' && (
                <Form.Item name="bom" valuePropName="checked" style={{ marginBottom: 4 }}>
                  <Checkbox>{t('export.bom')}</Checkbox>
                </Form.Item>
              )
            }
          </Form.Item>
          <Form.Item name="kept" valuePropName="checked">
            <Checkbox>{t('export.keep', { n: limits.data?.days ?? '–' })}</Checkbox>
          </Form.Item>
        </>
      )}
    </FormDialog>
  );
}

export function useExport(id: string) {
  return useQuery({
    queryKey: ['export', id],
    queryFn: ({ signal }) => get<Export>(`/exports/${encodeURIComponent(id)}`, {}, signal),
    refetchInterval: (q) => (q.state.data && !exporting(q.state.data) ? false : 700),
  });
}

/** How far an export is, in words and as a bar. */
export function ExportState({ job }: { job: Export }) {
  const { t, locale } = useSettings();
  const rows = t('export.written', { n: job.rows, b: bytes(job.bytes, locale) });
  return (
    <div data-testid="export-state" data-state={job.state}>
      {exporting(job) && <Progress percent={job.progress === null || job.progress === undefined ? 0 : Math.round(job.progress * 100)} showInfo={job.progress !== null && job.progress !== undefined} status="active" size="small" />}
      <div>
        <b>{t(`exportstate.${job.state}`)}</b> <span className="dim">{job.state !== 'queued' && rows}</span>
        {job.estimated ? <span className="faint"> / ≈ {number(job.estimated, locale)}</span> : null}
      </div>
      {job.error && <div style={{ color: 'var(--medium)' }}>{job.error}</div>}
      {(job.notes ?? []).map((n) => (
        <div className="hint" key={n}>
          {n}
        </div>
      ))}
    </div>
  );
}

function ExportProgress({ id, close }: { id: string; close: () => void }) {
  const { t } = useSettings();
  const { act, busy } = useAct();
  const job = useExport(id).data;
  return (
    <Modal
      open
      title={t('export.title')}
      onCancel={close}
      width={480}
      footer={
        <span className="row" style={{ justifyContent: 'flex-end' }}>
          {job && exporting(job) && (
            <Button loading={busy} onClick={() => void act(() => post(`/exports/${encodeURIComponent(id)}/cancel`), { renew: ['export', 'exports'] })}>
              {t('export.cancel')}
            </Button>
          )}
          {job && exporting(job) && (
            <Button type="primary" onClick={close}>
              {t('export.background')}
            </Button>
          )}
          {job?.state === 'done' && (
            <Button type="primary" href={fileOf(job)} download>
              {t('export.download')}
            </Button>
          )}
          {job && !exporting(job) && <Button onClick={close}>{t('do.close')}</Button>}
        </span>
      }
    >
      {job && <ExportState job={job} />}
      <p className="hint">
        {t('export.stays')} <Link to="/search/exports">{t('page.exports')}</Link>
      </p>
    </Modal>
  );
}
