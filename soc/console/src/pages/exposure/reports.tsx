import { useQuery } from '@tanstack/react-query';
import { Button, Modal, Select } from 'antd';
import { useRef, useState } from 'react';
import { buildPath, del, get, post, put, type Query } from '../../api/client';
import type { FindingTemplate } from '../../api/findings';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { Failed, Loaded } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When } from '../../parts/time';

const RENEW = ['finding-templates'];

/** Makes a report of the findings that are listed, and keeps the templates that reports are made by. */
export function Reports({ narrow, close }: { narrow: Query; close: () => void }) {
  const { t, tx, locale } = useSettings();
  const can = useCan();
  const { act, busy } = useAct();
  const input = useRef<HTMLInputElement>(null);
  const replacing = useRef('');
  const [template, setTemplate] = useState('');
  const [format, setFormat] = useState('pdf');
  const [refused, setRefused] = useState<unknown>(null);
  const query = useQuery({ queryKey: ['finding-templates'], queryFn: ({ signal }) => get<Page<FindingTemplate>>('/finding-report-templates', {}, signal) });
  const report = (id: string, as: string) => buildPath('/finding-reports', { ...narrow, template: id || undefined, format: as, lang: locale.startsWith('zh') ? 'zh' : 'en' });
  const send = async (f: File) => {
    setRefused(null);
    try {
      const text = await f.text();
      const id = replacing.current;
      await (id ? put(`/finding-report-templates/${encodeURIComponent(id)}`, { text }) : post('/finding-report-templates', { text }));
      void query.refetch();
    } catch (e) {
      setRefused(e);
    }
  };
  const choose = (id: string) => {
    replacing.current = id;
    input.current?.click();
  };
  return (
    <Modal open width={860} footer={null} title={t('finding.report')} onCancel={close}>
      <Loaded query={query} what="finding.report" lines={4} small>
        {(d) => {
          const chosen = template || list(d.items).find((x) => x.default)?.id || '';
          return (
            <div className="stack">
              <span className="dim">{t('finding.reportWhy')}</span>
              <div className="row wrap">
                <Select aria-label={t('finding.template')} style={{ minWidth: 260 }} value={chosen} onChange={setTemplate} options={list(d.items).map((x) => ({ value: x.id, label: tx(x.name) || x.id }))} />
                <Select aria-label={t('finding.format')} style={{ width: 110 }} value={format} onChange={setFormat} options={[{ value: 'pdf', label: 'PDF' }, { value: 'docx', label: 'Word' }, { value: 'xlsx', label: 'Excel' }]} />
                <a className="ant-btn ant-btn-primary filebtn" href={report(chosen, format)} download>
                  {t('finding.reportMake')}
                </a>
              </div>
              <input
                ref={input}
                type="file"
                accept=".yaml,.yml"
                hidden
                aria-label={t('finding.templateUpload')}
                onChange={(e) => {
                  const f = e.target.files?.[0];
                  if (f) void send(f);
                  e.target.value = '';
                }}
              />
              <div className="row">
                <h3>{t('finding.templates')}</h3>
                {can('create-finding-template') && (
                  <Button size="small" onClick={() => choose('')}>
                    {t('finding.templateUpload')}
                  </Button>
                )}
              </div>
              {refused !== null && <Failed small error={refused} what="finding.templateUpload" />}
              <DataTable
                label={t('finding.templates')}
                rows={list(d.items)}
                rowKey={(x) => x.id}
                columns={[
                  {
                    key: 'name',
                    title: t('finding.template'),
                    render: (x) => (
                      <>
                        {tx(x.name) || x.id} {x.default && <span className="tag">{t('finding.templateDefault')}</span>} {x.shipped && <span className="tag">{t('finding.templateShipped')}</span>}
                      </>
                    ),
                  },
                  { key: 'by', title: t('finding.by'), render: (x) => x.by ?? '' },
                  { key: 'at', title: t('finding.at'), render: (x) => <When time={x.at} /> },
                  {
                    key: 'do',
                    title: '',
                    num: true,
                    render: (x) => (
                      <span className="row wrap" style={{ justifyContent: 'flex-end' }}>
                        <a href={report(x.id, 'pdf')} target="_blank" rel="noopener noreferrer">
                          {t('finding.templatePreview')}
                        </a>
                        <a href={buildPath(`/finding-report-templates/${encodeURIComponent(x.id)}/file`)} download>
                          {t('finding.templateDownload')}
                        </a>
                        {!x.shipped && can('replace-finding-template') && (
                          <Button size="small" onClick={() => choose(x.id)}>
                            {t('finding.templateReplace')}
                          </Button>
                        )}
                        {!x.default && can('choose-finding-template') && (
                          <Button size="small" disabled={busy} onClick={() => void act(() => post(`/finding-report-templates/${encodeURIComponent(x.id)}/default`), { renew: RENEW })}>
                            {t('finding.templateChoose')}
                          </Button>
                        )}
                        {!x.shipped && can('delete-finding-template') && (
                          <Button size="small" danger disabled={busy} onClick={() => Modal.confirm({ title: t('finding.templateDelete', { x: tx(x.name) || x.id }), okText: t('finding.templateDeleteDo'), onOk: () => act(() => del(`/finding-report-templates/${encodeURIComponent(x.id)}`), { renew: RENEW }) })}>
                            {t('finding.templateDeleteDo')}
                          </Button>
                        )}
                      </span>
                    ),
                  },
                ]}
              />
            </div>
          );
        }}
      </Loaded>
    </Modal>
  );
}
