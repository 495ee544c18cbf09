import { useQuery } from '@tanstack/react-query';
import { Button, Checkbox, Input, Modal } from 'antd';
import { useRef, useState } from 'react';
import { get, post, upload } from '../../api/client';
import type { FindingImport, FindingReport } from '../../api/findings';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { engineName } from '../../logic/findings';
import { number } from '../../logic/format';
import { SeverityMark } from '../../parts/severity';
import { Failed, Loaded } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When } from '../../parts/time';

/** The fields of a table whose columns can be named. */
const FIELDS = ['title', 'address', 'host', 'port', 'service', 'level', 'cve', 'score', 'text', 'solution', 'check', 'time'] as const;
const isTable = (name: string) => /\.(csv|xlsx)(\.gz)?$/i.test(name);

/** Takes in a scanner's report: it is shown first, kept once confirmed, and can be taken back. */
export function ImportReport({ close }: { close: () => void }) {
  const { t, locale } = useSettings();
  const { act, busy } = useAct();
  const input = useRef<HTMLInputElement>(null);
  const [file, setFile] = useState<File | null>(null);
  const [tenant, setTenant] = useState('');
  const [zone, setZone] = useState('');
  const [item, setItem] = useState('');
  const [complete, setComplete] = useState(false);
  const [mapping, setMapping] = useState<Record<string, string>>({});
  const [scanner, setScanner] = useState('');
  const can = useCan();
  const [seen, setSeen] = useState<FindingImport | null>(null);
  const [refused, setRefused] = useState<unknown>(null);
  const send = (f: File, dry: boolean) =>
    upload<FindingImport>('/finding-imports', { name: f.name, format: /\.csv(\.gz)?$/i.test(f.name) ? 'csv' : undefined, engine: (isTable(f.name) && scanner.trim()) || undefined, mapping: isTable(f.name) && Object.keys(mapping).length > 0 ? JSON.stringify(mapping) : undefined, tenant: tenant || undefined, zone: zone || undefined, item: item || undefined, complete: complete || undefined, dry_run: dry || undefined }, f, 'application/octet-stream');
  const look = async (f: File) => {
    setFile(f);
    setSeen(null);
    setRefused(null);
    try {
      setSeen(await send(f, true));
    } catch (e) {
      setRefused(e);
    }
  };
  const keep = async () => {
    if (!file) return;
    let done: FindingImport | null = null;
    const ok = await act(
      async () => {
        done = await send(file, false);
      },
      { said: t('finding.imported', { n: seen?.new ?? 0, a: seen?.again ?? 0 }), renew: ['findings'], undo: () => void act(() => post(`/finding-changes/${encodeURIComponent(done?.change ?? '')}/undo`), { said: t('finding.undone'), renew: ['findings'] }) },
    );
    if (ok) close();
  };
  const again = (set: () => void) => {
    set();
    setSeen(null);
    setRefused(null); // what was refused may be read otherwise now
  };
  return (
    <Modal open width={820} title={t('finding.import')} okText={t('finding.importTake')} okButtonProps={{ disabled: !seen || busy }} onOk={() => void keep()} onCancel={close}>
      <div style={{ display: 'grid', gap: 10 }}>
        <span className="dim">{t('finding.importWhy')}</span>
        <Input aria-label={t('finding.importTenant')} addonBefore={t('finding.importTenant')} value={tenant} onChange={(e) => again(() => setTenant(e.target.value))} />
        <Input aria-label={t('finding.importZone')} addonBefore={t('finding.importZone')} value={zone} onChange={(e) => again(() => setZone(e.target.value))} />
        <Input aria-label={t('finding.importItem')} addonBefore={t('finding.importItem')} value={item} onChange={(e) => again(() => setItem(e.target.value))} />
        <Checkbox checked={complete} onChange={(e) => again(() => setComplete(e.target.checked))}>
          {t('finding.importComplete')}
        </Checkbox>
        <input
          ref={input}
          type="file"
          accept=".nessus,.xml,.json,.jsonl,.sarif,.csv,.xlsx,.gz"
          hidden
          aria-label={t('finding.importChoose')}
          onChange={(e) => {
            const f = e.target.files?.[0];
            if (f) void look(f);
            e.target.value = '';
          }}
        />
        <span className="row">
          <Button onClick={() => input.current?.click()}>{t('finding.importChoose')}</Button>
          {file && <span className="mono">{file.name}</span>}
          {file && !seen && refused === null && <Button onClick={() => void look(file)}>{t('finding.import')}</Button>}
        </span>
        {file && isTable(file.name) && (
          <fieldset style={{ border: '1px solid var(--border)', borderRadius: 6, display: 'grid', gridTemplateColumns: 'repeat(3, 1fr)', gap: 8, padding: 10 }}>
            <legend>{t('finding.mapping')}</legend>
            <Input aria-label={t('finding.f.engine')} addonBefore={t('finding.f.engine')} maxLength={60} value={scanner} onChange={(e) => again(() => setScanner(e.target.value))} />
            {FIELDS.map((f) => (
              <Input
                key={f}
                aria-label={t(`finding.map.${f}`)}
                addonBefore={t(`finding.map.${f}`)}
                placeholder={t('finding.mapAuto')}
                value={mapping[f] ?? ''}
                onChange={(e) => {
                  const { [f]: _, ...rest } = mapping;
                  again(() => setMapping(e.target.value ? { ...rest, [f]: e.target.value } : rest));
                }}
              />
            ))}
          </fieldset>
        )}
        {refused !== null && <Failed small error={refused} what="finding.import" />}
        {seen && (
          <>
            <b>{t('finding.importPreview', { e: engineName(seen.engine, t), h: number(seen.hosts, locale), f: number(seen.found, locale), n: number(seen.new, locale), a: number(seen.again, locale), g: number(seen.gone, locale), s: number(seen.skipped, locale) })}</b>
            {list(seen.services).length > 0 && <span>{t('finding.importServices', { n: number(list(seen.services).length, locale) })}</span>}
            {list(seen.unknown).length > 0 && <span className="dim">{t('finding.importUnknown', { x: list(seen.unknown).slice(0, 20).join(', ') })}</span>}
            {list(seen.sample).length > 0 && (
              <DataTable
                label={t('finding.import')}
                rows={list(seen.sample).map((x, i) => ({ ...x, i }))}
                rowKey={(x) => String(x.i)}
                columns={[
                  { key: 'host', title: t('finding.asset'), render: (x) => <span className="mono">{x.port ? `${x.host}:${x.port}` : x.host}</span> },
                  { key: 'level', title: t('vuln.level'), render: (x) => (x.level ? <SeverityMark level={x.level} /> : '–') },
                  { key: 'title', title: t('finding.title'), render: (x) => x.title },
                  { key: 'cve', title: 'CVE', render: (x) => <span className="mono">{x.cve}</span> },
                ]}
              />
            )}
          </>
        )}
        {!file && can('list-finding-imports') && <Past />}
      </div>
    </Modal>
  );
}

/** Reports that were taken in, each of which can be taken back. */
function Past() {
  const { t, locale } = useSettings();
  const can = useCan();
  const { act, busy } = useAct();
  const query = useQuery({ queryKey: ['findings', 'imports'], queryFn: ({ signal }) => get<Page<FindingReport>>('/finding-imports', {}, signal) });
  return (
    <Loaded query={query} what="finding.past" lines={2} small>
      {(d) =>
        list(d.items).length === 0 ? null : (
          <section>
            <h3>{t('finding.past')}</h3>
            <div style={{ maxHeight: 260, overflowY: 'auto' }}>
              <DataTable
                label={t('finding.past')}
                rows={list(d.items)}
                rowKey={(r) => r.change}
                columns={[
                  { key: 'at', title: t('finding.at'), render: (r) => <When time={r.at} /> },
                  { key: 'by', title: t('finding.by'), render: (r) => r.actor },
                  {
                    key: 'name',
                    title: t('vuln.file'),
                    render: (r) => (
                      <>
                        {r.undone ? <s>{r.name || '–'}</s> : r.name || '–'}
                        <div className="faint">{engineName(r.engine, t)}</div>
                      </>
                    ),
                  },
                  { key: 'n', title: t('finding.pastCounts'), render: (r) => [r.new, r.again, r.gone].map((n) => number(n, locale)).join(' / ') },
                  {
                    key: 'do',
                    title: '',
                    num: true,
                    render: (r) =>
                      r.undone ? (
                        <span className="faint">{t('finding.undone')}</span>
                      ) : (
                        can('undo-finding-change') && (
                          <Button size="small" disabled={busy} onClick={() => void act(() => post(`/finding-changes/${encodeURIComponent(r.change)}/undo`), { said: t('finding.undone'), renew: ['findings'] })}>
                            {t('finding.takeBack')}
                          </Button>
                        )
                      ),
                  },
                ]}
              />
            </div>
          </section>
        )
      }
    </Loaded>
  );
}
