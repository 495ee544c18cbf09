import { keepPreviousData, useQuery, useQueryClient } from '@tanstack/react-query';
import { Button, Input, Modal } from 'antd';
import { useEffect, useRef, useState } from 'react';
import { Link, useNavigate } from 'react-router-dom';
import { get, post, request } from '../../api/client';
import { useCan } from '../../api/queries';
import { list, type Page, type Severity } from '../../api/types';
import type { VulnFigures, VulnImport, VulnLine } from '../../api/vulnerabilities';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useRefusal } from '../../app/refusal';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { parseWords } from '../../logic/urlstate';
import { Listing } from '../../parts/listing';
import { Head } from '../../parts/page';
import { SeverityMark } from '../../parts/severity';
import { Empty, Failed, Loaded } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When } from '../../parts/time';

const LEVELS = ['critical', 'high', 'medium', 'low'] as const;
const PIECE = 8 << 20;
const RENEW = ['vulnerabilities'];

/** The library of vulnerabilities. ?q=, ?product=, ?level=, ?exploited=1 and ?sort= narrow and order it. */
export default function Vulnerabilities() {
  const { t, tx, locale } = useSettings();
  const can = useCan();
  const go = useNavigate();
  const [url, setUrl] = useUrl();
  const q = url.get('q') ?? '';
  const product = url.get('product') ?? '';
  const levels = parseWords(url, 'level', LEVELS);
  const exploited = url.get('exploited') === '1';
  const sort = url.get('sort') ?? '';
  const cursor = url.get('cursor') ?? '';
  const filter = { q, product, level: levels.join(','), exploited: exploited || undefined, sort: sort || undefined, cursor: cursor || undefined, limit: 100 };
  const query = useQuery({ queryKey: ['vulnerabilities', JSON.stringify(filter)], queryFn: ({ signal }) => get<Page<VulnLine>>('/vulnerabilities', filter, signal), placeholderData: keepPreviousData });
  const figures = useQuery({ queryKey: ['vulnerabilities', 'figures'], queryFn: ({ signal }) => get<VulnFigures>('/vulnerability-figures', {}, signal), staleTime: 60_000 });
  const narrowed = q !== '' || product !== '' || levels.length > 0 || exploited;
  const importing = url.get('imports') === '1';
  const set = (change: Record<string, string | undefined>) => setUrl({ ...change, cursor: undefined });
  return (
    <div className="page">
      <Head title={t('page.vulnerabilities')} sub={figures.data && figures.data.total > 0 ? t('vuln.figures', { n: number(figures.data.total, locale), x: number(figures.data.exploited, locale) }) : t('vuln.lead')}>
        <Input.Search key={`q${q}`} allowClear style={{ width: 240 }} placeholder={t('vuln.search')} aria-label={t('vuln.search')} defaultValue={q} onSearch={(x) => set({ q: x || undefined })} />
        <Input.Search key={`p${product}`} allowClear style={{ width: 180 }} placeholder={t('vuln.product')} aria-label={t('vuln.product')} defaultValue={product} onSearch={(x) => set({ product: x || undefined })} />
        {can('list-vulnerability-imports') && <Button onClick={() => setUrl({ imports: '1' })}>{t('vuln.imports')}</Button>}
      </Head>
      <div className="row wrap" style={{ marginBottom: 10 }}>
        {LEVELS.map((l) => (
          <button
            key={l}
            className="plain toggle"
            aria-pressed={levels.includes(l)}
            onClick={() => set({ level: (levels.includes(l) ? levels.filter((x) => x !== l) : [...levels, l]).join(',') || undefined })}
          >
            {t(`sev.${l}`)}
          </button>
        ))}
        <button className="plain toggle" aria-pressed={exploited} onClick={() => set({ exploited: exploited ? undefined : '1' })}>
          {t('vuln.exploitedOnly')}
        </button>
        {query.data && <span className="faint">{(query.data.total ?? 0) < 0 ? t('vuln.totalMore') : t('vuln.total', { n: number(query.data.total ?? 0, locale) })}</span>}
      </div>
      <Listing
        query={query}
        what="page.vulnerabilities"
        lines={8}
        empty={
          <Empty title={t(narrowed ? 'vuln.none' : 'vuln.empty')} why={t(narrowed ? 'vuln.noneWhy' : 'vuln.emptyWhy')}>
            {!narrowed && can('start-vulnerability-import') && <Button onClick={() => setUrl({ imports: '1' })}>{t('vuln.import')}</Button>}
          </Empty>
        }
      >
        {(rows) => (
          <DataTable
            label={t('page.vulnerabilities')}
            rows={rows}
            rowKey={(v) => v.id}
            onRow={(v) => go(`/vulnerabilities/${encodeURIComponent(v.id)}`)}
            sort={sort}
            onSort={(s) => set({ sort: s || undefined })}
            oneWay
            columns={[
              {
                key: 'id',
                title: t('vuln.id'),
                render: (v) => (
                  <>
                    <Link className="mono" to={`/vulnerabilities/${encodeURIComponent(v.id)}`}>
                      {v.id}
                    </Link>
                    <div className="faint mono">{list(v.aliases).find((a) => a.startsWith('CNNVD-') || a.startsWith('CNVD-')) ?? list(v.aliases)[0]}</div>
                  </>
                ),
              },
              { key: 'level', title: t('vuln.level'), render: (v) => <Level level={v.level} /> },
              {
                key: 'name',
                title: t('vuln.name'),
                render: (v) => (
                  <>
                    {tx(v.title) || <span className="faint">–</span>} {v.exploited && <span className="tag">{t('vuln.exploited')}</span>} {v.rejected && <span className="tag">{t('vuln.rejected')}</span>}
                    <div className="faint">{tx(v.class)}</div>
                  </>
                ),
              },
              { key: 'score', title: t('vuln.score'), num: true, sort: 'score', most: true, render: (v) => (v.score ? v.score.toFixed(1) : '–') },
              { key: 'epss', title: t('vuln.epss'), num: true, sort: 'epss', most: true, render: (v) => (v.epss ? `${(v.epss * 100).toFixed(1)} %` : '–') },
              { key: 'published', title: t('vuln.published'), sort: 'published', most: true, render: (v) => <When time={v.published} /> },
              { key: 'modified', title: t('vuln.modified'), sort: 'modified', most: true, render: (v) => <When time={v.modified} /> },
            ]}
          />
        )}
      </Listing>
      {importing && <Imports close={() => setUrl({ imports: undefined })} />}
    </div>
  );
}

/** A level, or that nobody rated. */
export function Level({ level }: { level?: Severity }) {
  const { t } = useSettings();
  return level ? <SeverityMark level={level} /> : <span className="faint">{t('vuln.unrated')}</span>;
}

/** Imported files, and the upload of another in pieces. */
function Imports({ close }: { close: () => void }) {
  const { t, locale } = useSettings();
  const refusal = useRefusal();
  const can = useCan();
  const client = useQueryClient();
  const { act, tell, busy } = useAct();
  const file = useRef<HTMLInputElement>(null);
  const [sending, setSending] = useState(false);
  const [refused, setRefused] = useState<unknown>(null);
  const query = useQuery({ queryKey: ['vulnerabilities', 'imports'], queryFn: ({ signal }) => get<Page<VulnImport>>('/vulnerability-imports', {}, signal), refetchInterval: 2_000 });
  // The list behind this one has more once an import ends.
  const ended = list(query.data?.items).filter((i) => /^(done|failed|cancelled)$/.test(i.state)).length;
  const seen = useRef(ended);
  useEffect(() => {
    if (ended !== seen.current) void client.invalidateQueries({ queryKey: RENEW });
    seen.current = ended;
  }, [client, ended]);
  const send = async (f: File) => {
    setRefused(null);
    setSending(true);
    try {
      let at = await post<VulnImport>('/vulnerability-imports', { name: f.name, size: f.size });
      while (at.state === 'uploading') {
        const answer = await request('PUT', `/vulnerability-imports/${encodeURIComponent(at.id)}/content`, { query: { offset: at.received }, raw: { data: f.slice(at.received, at.received + PIECE), type: 'application/octet-stream' } });
        at = (await answer.json()) as VulnImport;
        void client.invalidateQueries({ queryKey: ['vulnerabilities', 'imports'] });
      }
      tell({ said: t('vuln.started', { x: f.name }), renew: RENEW });
    } catch (e) {
      setRefused(e);
    } finally {
      setSending(false);
    }
  };
  return (
    <Modal open width={820} footer={null} title={t('vuln.imports')} onCancel={close}>
      <div className="row wrap" style={{ marginBottom: 10 }}>
        <span className="dim">{t('vuln.importsWhy')}</span>
        {can('start-vulnerability-import') && (
          <>
            <input
              ref={file}
              type="file"
              accept=".json,.xml,.csv,.gz,.zip,.jsonl"
              hidden
              aria-label={t('vuln.import')}
              onChange={(e) => {
                const f = e.target.files?.[0];
                if (f) void send(f);
                e.target.value = '';
              }}
            />
            <Button type="primary" loading={sending} onClick={() => file.current?.click()}>
              {t('vuln.import')}
            </Button>
          </>
        )}
      </div>
      {refused !== null && <Failed small error={refused} what="vuln.imports" />}
      <Loaded query={query} what="vuln.imports" lines={3} small>
        {(d) =>
          list(d.items).length === 0 ? (
            <Empty small title={t('vuln.empty')} why={t('vuln.emptyWhy')} />
          ) : (
            <DataTable
              label={t('vuln.imports')}
              rows={list(d.items)}
              rowKey={(i) => i.id}
              columns={[
                {
                  key: 'file',
                  title: t('vuln.file'),
                  render: (i) => (
                    <>
                      {i.name}
                      <div className="faint">{i.error && refusal(i.error)}</div>
                    </>
                  ),
                },
                {
                  key: 'state',
                  title: t('col.status'),
                  render: (i) => (
                    <>
                      {t(`vuln.state.${i.state}`)}
                      <div className="faint">
                        {i.state === 'uploading' ? `${Math.floor((100 * i.received) / i.size)} %` : i.state === 'done' ? t('vuln.result', { w: number(i.written, locale), a: number(i.added, locale) }) : t('vuln.progress', { c: number(i.checked, locale), w: number(i.written, locale) })}
                      </div>
                    </>
                  ),
                },
                { key: 'by', title: t('notify.by'), render: (i) => i.actor },
                { key: 'at', title: t('notify.at'), render: (i) => <When time={i.created_at} /> },
                {
                  key: 'do',
                  title: '',
                  num: true,
                  render: (i) =>
                    !i.ended_at &&
                    can('cancel-vulnerability-import') && (
                      <Button size="small" disabled={busy} onClick={() => void act(() => post(`/vulnerability-imports/${encodeURIComponent(i.id)}/cancel`), { renew: RENEW })}>
                        {t('vuln.cancel')}
                      </Button>
                    ),
                },
              ]}
            />
          )
        }
      </Loaded>
    </Modal>
  );
}
