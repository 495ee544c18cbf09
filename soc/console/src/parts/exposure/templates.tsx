import { useQuery } from '@tanstack/react-query';
import { Button, Form, Input } from 'antd';
import { useState } from 'react';
import { del, get, upload } from '../../api/client';
import { useCan } from '../../api/queries';
import type { TemplatesPackage } from '../../api/scans';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { Ask, FormDialog } from '../dialog';
import { Panel } from '../page';
import { Loaded } from '../states';
import { DataTable } from '../table';
import { When } from '../time';

const RENEW = ['scan-templates'];

/** Packages of nuclei templates that scanners fetch. */
export function TemplatePackages() {
  const { t } = useSettings();
  const can = useCan();
  const { act, tell } = useAct();
  const [adding, setAdding] = useState(false);
  const [file, setFile] = useState<File | null>(null);
  const [removing, setRemoving] = useState<TemplatesPackage | null>(null);
  const sees = can('list-scan-templates');
  const query = useQuery({ enabled: sees, queryKey: ['scan-templates'], queryFn: ({ signal }) => get<Page<TemplatesPackage>>('/scan-templates', { limit: 1000 }, signal) });
  if (!sees) return null;
  return (
    <Panel
      flush
      title={t('scan.tpl')}
      end={
        can('add-scan-templates') && (
          <Button size="small" onClick={() => setAdding(true)}>
            {t('scan.tpl.add')}
          </Button>
        )
      }
    >
      <Loaded query={query} what="scan.tpl" lines={2}>
        {(d) =>
          list(d.items).length === 0 ? (
            <p className="dim" style={{ padding: '0 12px' }}>
              {t('scan.tpl.none')}
            </p>
          ) : (
            <DataTable
              label={t('scan.tpl')}
              rows={list(d.items)}
              rowKey={(p) => p.sha256}
              columns={[
                {
                  key: 'name',
                  title: t('scan.name'),
                  render: (p) => (
                    <>
                      {p.name}
                      {p.note && <div className="faint">{p.note}</div>}
                    </>
                  ),
                },
                { key: 'count', title: t('scan.tpl.count'), num: true, render: (p) => p.count },
                {
                  key: 'sha',
                  title: 'SHA-256',
                  render: (p) => (
                    <span className="mono" title={p.sha256}>
                      {p.sha256.slice(0, 12)}
                    </span>
                  ),
                },
                {
                  key: 'at',
                  title: t('scan.tpl.by'),
                  render: (p) => (
                    <>
                      {p.by} <When time={p.at} />
                    </>
                  ),
                },
                {
                  key: 'do',
                  title: '',
                  render: (p) =>
                    can('delete-scan-templates') && (
                      <Button size="small" type="text" onClick={() => setRemoving(p)}>
                        {t('do.delete')}
                      </Button>
                    ),
                },
              ]}
            />
          )
        }
      </Loaded>
      {adding && (
        <FormDialog<{ name: string; note?: string }>
          title={t('scan.tpl.add')}
          ok={t('scan.tpl.add')}
          submit={async (v) => {
            if (!file) throw new Error(t('scan.tpl.file'));
            await upload('/scan-templates', { name: v.name, note: v.note }, file, 'application/octet-stream');
            tell({ said: t('scan.tpl.added', { x: v.name }), renew: RENEW });
          }}
          close={() => {
            setAdding(false);
            setFile(null);
          }}
        >
          <Form.Item name="name" label={t('scan.name')} rules={[{ required: true, message: t('scan.tpl.need') }]}>
            <Input maxLength={64} />
          </Form.Item>
          <Form.Item label={t('scan.tpl.file')} extra={t('scan.tpl.fileHelp')}>
            <input type="file" aria-label={t('scan.tpl.file')} onChange={(e) => setFile(e.target.files?.[0] ?? null)} />
          </Form.Item>
          <Form.Item name="note" label={t('scan.notes')}>
            <Input maxLength={1000} />
          </Form.Item>
        </FormDialog>
      )}
      {removing && <Ask title={t('scan.tpl.delete', { x: removing.name })} why={t('scan.tpl.deleteWhy')} ok={t('do.delete')} close={() => setRemoving(null)} submit={() => act(() => del(`/scan-templates/${removing.sha256}`), { said: t('scan.tpl.deleted'), renew: RENEW })} />}
    </Panel>
  );
}
