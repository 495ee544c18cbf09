import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Button, Dropdown, Input, Popconfirm, Progress, Select } from 'antd';
import { useState } from 'react';
import { ApiError, get, post, request, upload } from '../../api/client';
import { useCan } from '../../api/queries';
import { list, type CMDBClass, type ImportError, type ImportReport, type List, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useFeedback } from '../../app/feedback';
import { useRefusal } from '../../app/refusal';
import { useSettings } from '../../app/settings';
import { download } from '../../logic/export';
import { number } from '../../logic/format';
import { Drop } from '../../parts/drop';
import { Head, Panel } from '../../parts/page';
import { Empty, Loaded } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When } from '../../parts/time';

interface Mistake extends ImportError {
  sheet?: string;
  cell?: string;
  value?: unknown;
}
interface Report extends ImportReport {
  protected?: number;
  change_request?: { id: number };
}
interface Done {
  id: number;
  time: string;
  actor: string;
  source: string;
  created: number;
  updated: number;
  unchanged: number;
  undone_at?: string;
  undone_by?: string;
}
interface Imports {
  items: List<Done>;
  running: List<{ source: string; phase: string; done: number; rows: number; dry_run: boolean }>;
}

const FORMATS = ['xlsx', 'csv', 'json', 'ndjson', 'yaml'] as const;
const XLSX = 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet';

/** The format that a file's ending says it has. */
export function formatOf(name: string): string | undefined {
  const ending = name.slice(name.lastIndexOf('.') + 1).toLowerCase();
  return ending === 'yml' ? 'yaml' : FORMATS.find((f) => f === ending);
}

/** Brings ledgers in and out: checks without writing, shows every mistake by its cell, imports whole, and takes back. */
export default function CMDBImport() {
  const { t, tx } = useSettings();
  const can = useCan();
  const write = can('import-cmdb');
  const { failed } = useFeedback();
  const classes = useQuery({ queryKey: ['cmdb', 'classes'], queryFn: async ({ signal }) => list((await get<Page<CMDBClass>>('/cmdb/classes', {}, signal)).items), staleTime: 300_000 });
  const names = list(classes.data).map((c) => ({ key: c.class, label: tx(c.name) || c.class }));
  const save = async (path: string, name: string, query: Record<string, string>) => {
    try {
      const res = await request('GET', path, { query });
      download(name, res.headers.get('Content-Type') ?? XLSX, await res.blob());
    } catch (e) {
      failed(e);
    }
  };
  const { locale } = useSettings();
  const template = (c: string) => void save('/cmdb/import/template', `icewatch-cmdb-${c || 'all'}.xlsx`, { class: c, language: locale });
  return (
    <div className="page">
      <Head title={t('page.cmdbImport')} sub={t('cmdbImport.lead')}>
        <Dropdown menu={{ items: [{ key: '', label: t('cmdbImport.templateAll') }, ...names], onClick: (i) => template(i.key), style: { maxHeight: 360, overflow: 'auto' } }}>
          <Button>{t('cmdbImport.template')}</Button>
        </Dropdown>
        <Dropdown menu={{ items: FORMATS.map((f) => ({ key: f, label: f.toUpperCase() })), onClick: (i) => void save('/cmdb/export', `icewatch-cmdb.${i.key}`, { format: i.key }) }}>
          <Button>{t('cmdbImport.export')}</Button>
        </Dropdown>
      </Head>
      {write ? (
        <div className="stack" style={{ gap: 14 }}>
          <Wizard classes={names.map((n) => ({ value: n.key, label: n.label }))} />
          <History />
        </div>
      ) : (
        <div className="panel">
          <Empty title={t('cmdbImport.readOnly')} why={t('cmdbImport.readOnlyWhy')} />
        </div>
      )}
    </div>
  );
}

function Wizard({ classes }: { classes: { value: string; label: string }[] }) {
  const { t, locale } = useSettings();
  const refusal = useRefusal();
  const client = useQueryClient();
  const { done, failed } = useFeedback();
  const [file, setFile] = useState<File | null>(null);
  const [cls, setCls] = useState<string>();
  const [busy, setBusy] = useState<'' | 'checking' | 'writing'>('');
  const [report, setReport] = useState<Report | null>(null);
  const [mistakes, setMistakes] = useState<{ all: number; detail: string; rows: Mistake[] } | null>(null);
  const [reason, setReason] = useState('');
  const running = useQuery({
    queryKey: ['cmdb-imports', 'running'],
    queryFn: async ({ signal }) => list((await get<Imports>('/cmdb/imports', { limit: 1 }, signal)).running),
    enabled: busy !== '',
    refetchInterval: 1_000,
  });
  const step = busy ? list(running.data).find((r) => r.source === file?.name) : undefined;
  const query = (f: File, c?: string) => ({ format: formatOf(f.name), class: c });

  const refused = (e: unknown) => {
    if (!(e instanceof ApiError) || (e.status !== 422 && e.status !== 400)) return failed(e);
    const rows = list(e.problem.errors) as Mistake[];
    setMistakes({ all: (e.problem as { rejected?: number }).rejected ?? Math.max(1, rows.length), detail: refusal(e), rows });
  };
  const check = async (f: File, c?: string) => {
    setFile(f);
    setReport(null);
    setMistakes(null);
    if (!formatOf(f.name)) return setMistakes({ all: 1, detail: t('cmdbImport.format'), rows: [] });
    setBusy('checking');
    try {
      setReport(await upload<Report>('/cmdb/import', { ...query(f, c), dry_run: true, source: f.name }, f, 'application/octet-stream'));
    } catch (e) {
      refused(e);
    } finally {
      setBusy('');
    }
  };
  const run = async () => {
    if (!file || !report) return;
    setBusy('writing');
    try {
      const r = await upload<Report>('/cmdb/import', { ...query(file, cls), source: file.name, request: report.protected ? reason : undefined }, file, 'application/octet-stream');
      done(r.change_request ? t('cmdbImport.requested', { n: r.change_request.id }) : t('cmdbImport.done', { c: r.created, u: r.updated }));
      setFile(null);
      setReport(null);
      setReason('');
    } catch (e) {
      refused(e);
    } finally {
      setBusy('');
      void client.invalidateQueries({ queryKey: ['cmdb'] });
      void client.invalidateQueries({ queryKey: ['cmdb-imports'] });
      void client.invalidateQueries({ queryKey: ['cmdb-requests'] });
    }
  };
  const marked = async () => {
    if (!file) return;
    try {
      const res = await request('POST', '/cmdb/import/marked', { query: query(file, cls), raw: { data: file, type: 'application/octet-stream' } });
      download(file.name.replace(/\.[^.]*$/, '') + '-errors.xlsx', XLSX, await res.blob());
    } catch (e) {
      failed(e);
    }
  };
  const changes = report ? report.created + report.updated : 0;
  const cells = mistakes?.rows.some((m) => m.cell) ?? false;
  return (
    <Panel>
      <div className="stack">
        <Drop accept=".xlsx,.csv,.json,.ndjson,.yaml,.yml" label={t('cmdbImport.file')} take={(files) => void check(files[0]!, cls)}>
          {file ? (
            <>
              <b>{file.name}</b> · {t('cmdb.importAgain')}
            </>
          ) : (
            t('cmdbImport.file')
          )}
        </Drop>
        <div className="row">
          <span className="dim">{t('cmdbImport.class')}</span>
          <Select
            allowClear
            showSearch
            optionFilterProp="label"
            style={{ width: 220 }}
            placeholder={t('cmdbImport.classNone')}
            value={cls}
            aria-label={t('cmdbImport.class')}
            options={classes}
            onChange={(c?: string) => {
              setCls(c);
              if (file) void check(file, c);
            }}
          />
        </div>
        {busy && (
          <div role="status">
            {t(`cmdbImport.${busy}`)}
            <Progress percent={step?.done ?? 0} status="active" size="small" />
          </div>
        )}
        {report && !busy && (
          <>
            <div role="status">✓ {t('cmdbImport.ok', { c: report.created, u: report.updated, n: report.unchanged })}</div>
            {!!report.protected && (
              <div className="notice warn">
                <div>{t('cmdbImport.protected', { n: report.protected })}</div>
                <Input.TextArea rows={2} maxLength={1000} placeholder={t('cmdbImport.reason')} aria-label={t('cmdbImport.reason')} value={reason} onChange={(e) => setReason(e.target.value)} />
              </div>
            )}
            <div>
              <Button type="primary" disabled={changes === 0 || (!!report.protected && !reason.trim())} onClick={() => void run()}>
                {changes === 0 ? t('cmdbImport.nothing') : report.protected ? t('cmdbImport.request') : t('cmdbImport.do', { n: changes })}
              </Button>
            </div>
          </>
        )}
        {mistakes && (
          <div role="alert" className="stack">
            <div className="row">
              <b>{t('cmdbImport.bad', { n: number(mistakes.all, locale) })}</b>
              {mistakes.rows.length < mistakes.all && mistakes.rows.length > 0 && <span className="dim">{t('cmdbImport.first', { n: mistakes.rows.length })}</span>}
              {cells && (
                <Button size="small" onClick={() => void marked()}>
                  {t('cmdbImport.marked')}
                </Button>
              )}
              {file && (
                <Button size="small" onClick={() => void check(file, cls)}>
                  {t('do.retry')}
                </Button>
              )}
            </div>
            {mistakes.rows.length === 0 ? (
              <div>{mistakes.detail}</div>
            ) : (
              <div style={{ maxHeight: 420, overflow: 'auto' }}>
                <DataTable
                  label={t('cmdbImport.what')}
                  rows={mistakes.rows.map((m, i) => ({ ...m, i }))}
                  rowKey={(m) => String(m.i)}
                  columns={[
                    ...(mistakes.rows.some((m) => m.sheet) ? [{ key: 'sheet', title: t('cmdbImport.sheet'), render: (m: Mistake) => m.sheet || '–' }] : []),
                    { key: 'cell', title: cells ? t('cmdbImport.cell') : t('cmdb.importRow'), render: (m) => <span className="mono">{m.cell || m.row || '–'}</span> },
                    { key: 'column', title: t('cmdbImport.column'), render: (m) => <span className="mono">{m.column || '–'}</span> },
                    ...(cells ? [{ key: 'value', title: t('cmdbImport.value'), render: (m: Mistake) => <code>{typeof m.value === 'string' ? m.value : ''}</code> }] : []),
                    { key: 'message', title: t('cmdbImport.message'), render: (m) => refusal(m.message) },
                  ]}
                />
              </div>
            )}
          </div>
        )}
      </div>
    </Panel>
  );
}

function History() {
  const { t, locale } = useSettings();
  const { act, busy } = useAct();
  const query = useQuery({ queryKey: ['cmdb-imports'], queryFn: ({ signal }) => get<Imports>('/cmdb/imports', { limit: 50 }, signal), refetchInterval: 10_000 });
  return (
    <Panel title={t('cmdbImport.history')} flush>
      {list(query.data?.running)
        .filter((r) => !r.dry_run)
        .map((r, i) => (
          <div key={i} role="status" style={{ padding: 8 }}>
            {t('cmdbImport.running', { x: r.source, p: r.done })}
          </div>
        ))}
      <Loaded query={query} what="cmdbImport.what" lines={4}>
        {(data) =>
          list(data.items).length === 0 ? (
            <Empty title={t('cmdbImport.none')} why={t('cmdbImport.noneWhy')} />
          ) : (
            <DataTable
              label={t('cmdbImport.history')}
              rows={list(data.items)}
              rowKey={(i) => String(i.id)}
              columns={[
                { key: 'when', title: t('cmdbImport.when'), render: (i) => <When time={i.time} /> },
                { key: 'source', title: t('cmdbImport.source'), render: (i) => <b>{i.source}</b> },
                { key: 'by', title: t('cmdbImport.by'), render: (i) => i.actor },
                { key: 'counts', title: t('cmdbImport.counts'), num: true, render: (i) => [i.created, i.updated, i.unchanged].map((n) => number(n, locale)).join(' / ') },
                {
                  key: 'do',
                  title: '',
                  num: true,
                  render: (i) =>
                    i.undone_at ? (
                      <span className="dim">{t('cmdbImport.undoneBy', { x: i.undone_by ?? '' })}</span>
                    ) : (
                      <Popconfirm
                        title={t('cmdbImport.undoAsk', { x: i.source, n: i.created + i.updated })}
                        okText={t('cmdbImport.undo')}
                        cancelText={t('do.cancel')}
                        onConfirm={() => act(() => post(`/cmdb/imports/${i.id}/undo`), { said: t('cmdbImport.undone'), renew: ['cmdb', 'cmdb-imports'] })}
                      >
                        <Button size="small" disabled={busy}>
                          {t('cmdbImport.undo')}
                        </Button>
                      </Popconfirm>
                    ),
                },
              ]}
            />
          )
        }
      </Loaded>
    </Panel>
  );
}
