import { useQuery } from '@tanstack/react-query';
import { Button, Form, Input, Modal, Progress } from 'antd';
import { useRef, useState } from 'react';
import { del, get, uploadWatched } from '../../api/client';
import type { FleetPackage, FleetPackageDetail, FleetStatistics } from '../../api/fleet';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useRefusal } from '../../app/refusal';
import { useSettings } from '../../app/settings';
import { absolute, bytes } from '../../logic/format';
import { Ask } from '../dialog';
import { Drop } from '../drop';
import { useActorName } from '../names';
import { Panel } from '../page';
import { Empty, Loaded, Stale } from '../states';
import { DataTable } from '../table';
import { When } from '../time';
import { MakeReport, Report, Reports } from './testreports';

const nameOf = (x: Pick<FleetPackage, 'version' | 'os' | 'arch'>) => `${x.version} ${x.os}/${x.arch}`;

/** How agents of each version do on their hosts: what a new one is judged by. */
function Performance({ report }: { report?: (version: string) => void }) {
  const { t, locale } = useSettings();
  const query = useQuery({ queryKey: ['fleet-statistics'], queryFn: ({ signal }) => get<FleetStatistics>('/fleet/statistics', {}, signal), refetchInterval: 5_000 });
  const rows = list(query.data?.performance);
  if (rows.length === 0) return null;
  return (
    <Panel title={t('fleet.perf')} flush>
      <DataTable
        label={t('fleet.perf')}
        rows={rows}
        rowKey={(x) => `${x.version} ${x.os} ${x.arch}`}
        columns={[
          { key: 'version', title: t('fleet.version'), render: (x) => <b style={{ fontWeight: 550 }}>{x.version}</b> },
          { key: 'platform', title: t('fleet.pkg.platform'), render: (x) => `${x.os}/${x.arch}` },
          { key: 'agents', title: t('fleet.perf.agents'), num: true, render: (x) => x.agents },
          { key: 'cpu', title: t('fleet.perf.cpu'), num: true, render: (x) => `${x.cpu_percent.toFixed(1)} / ${x.cpu_percent_p95.toFixed(1)} %` },
          { key: 'memory', title: t('fleet.perf.memory'), num: true, render: (x) => `${bytes(x.memory_bytes, locale)} / ${bytes(x.memory_bytes_p95, locale)}` },
          { key: 'tripped', title: t('fleet.perf.tripped'), num: true, render: (x) => x.tripped },
          { key: 'failing', title: t('fleet.perf.failing'), num: true, render: (x) => x.failing },
          { key: 'lost', title: t('fleet.perf.lost'), num: true, render: (x) => x.lost_samples + x.lost_lines },
          {
            key: 'do',
            title: '',
            num: true,
            render: (x) => {
              const version = x.version.replace(/ \(.*$/, '');
              return (
                report &&
                version !== 'unknown' && (
                  <Button size="small" aria-label={`${t('fleet.test.make')} ${version}`} onClick={() => report(version)}>
                    {t('fleet.test.make')}
                  </Button>
                )
              );
            },
          },
        ]}
      />
    </Panel>
  );
}

interface Upload {
  file: File;
  state: 'waits' | 'goes' | 'done' | 'failed';
  share: number;
  said: string;
}

interface Taken {
  name: string;
  ok: boolean;
  text?: string;
  package?: FleetPackage;
}

/** Uploads packages one after the other, and tells what came of each. */
function UploadDialog({ close }: { close: () => void }) {
  const { t, locale } = useSettings();
  const refusal = useRefusal();
  const { tell } = useAct();
  const [files, setFiles] = useState<Upload[]>([]);
  const [version, setVersion] = useState('');
  const [note, setNote] = useState('');
  const [busy, setBusy] = useState(false);
  const stop = useRef<AbortController | null>(null);
  const put = (file: File, change: Partial<Upload>) => setFiles((all) => all.map((x) => (x.file === file ? { ...x, ...change } : x)));
  const take = (more: File[]) => setFiles((all) => [...all, ...more.filter((f) => !all.some((x) => x.file.name === f.name && x.file.size === f.size)).map((file): Upload => ({ file, state: 'waits', share: 0, said: '' }))]);
  const waiting = files.filter((x) => x.state === 'waits' || x.state === 'failed');
  const failed = files.filter((x) => x.state === 'failed');
  const send = async () => {
    setBusy(true);
    const stopped = new AbortController();
    stop.current = stopped;
    for (const { file } of waiting) {
      put(file, { state: 'goes', share: 0, said: '' });
      const many = /\.(tgz|gz|zip)$/i.test(file.name);
      try {
        const query = { version: version.trim() || undefined, note: note.trim() || undefined };
        const watch = (share: number) => put(file, { share });
        const answer = many
          ? list((await uploadWatched<Page<Taken>>('/fleet/packages/batch', query, file, watch, stopped.signal)).items)
          : [{ name: '', ok: true, package: await uploadWatched<FleetPackage>('/fleet/packages', query, file, watch, stopped.signal) } as Taken];
        const said = answer.map((x) => (x.name ? `${x.name}: ` : '') + (x.package ? t('fleet.pkg.taken', { x: nameOf(x.package) }) : refusal(x.text ?? ''))).join('\n');
        put(file, { state: answer.some((x) => x.ok) ? 'done' : 'failed', share: 1, said });
        tell({ renew: ['fleet-packages'] });
      } catch (e) {
        if (stopped.signal.aborted) return;
        put(file, { state: 'failed', said: refusal(e) });
      }
    }
    setBusy(false);
  };
  return (
    <Modal
      open
      width={720}
      title={t('fleet.pkg.upload')}
      okText={failed.length > 0 && failed.length === waiting.length ? t('fleet.pkg.again', { n: failed.length }) : t('fleet.pkg.begin', { n: waiting.length })}
      okButtonProps={{ disabled: waiting.length === 0 }}
      cancelText={t(busy || waiting.length > 0 ? 'do.cancel' : 'do.close')}
      confirmLoading={busy}
      maskClosable={false}
      onOk={() => void send()}
      onCancel={() => {
        stop.current?.abort();
        close();
      }}
    >
      <Drop multiple busy={busy} label={t('fleet.pkg.name')} take={take}>
        {t('fleet.pkg.drop')}
      </Drop>
      {files.length > 0 && (
        <DataTable
          label={t('fleet.pkg.upload')}
          rows={files}
          rowKey={(x) => `${x.file.name} ${x.file.size}`}
          columns={[
            { key: 'name', title: t('fleet.pkg.name'), render: (x) => <span style={{ overflowWrap: 'anywhere' }}>{x.file.name}</span> },
            { key: 'size', title: t('fleet.pkg.size'), num: true, width: 90, render: (x) => bytes(x.file.size, locale) },
            {
              key: 'said',
              title: t('fleet.pkg.result'),
              width: '48%',
              render: (x) =>
                x.state === 'goes' ? (
                  <span role="status">
                    <Progress percent={Math.round(x.share * 100)} size="small" showInfo={x.share < 1} />
                    {x.share >= 1 && t('fleet.pkg.reading')}
                  </span>
                ) : x.state === 'waits' ? (
                  <span className="row">
                    {t('fleet.pkg.waits')}
                    <Button type="link" size="small" disabled={busy} aria-label={t('fleet.pkg.remove', { x: x.file.name })} onClick={() => setFiles((all) => all.filter((y) => y !== x))}>
                      {t('fleet.pkg.leave')}
                    </Button>
                  </span>
                ) : (
                  <span style={{ whiteSpace: 'pre-line', overflowWrap: 'anywhere', color: x.state === 'failed' ? 'var(--high)' : undefined }}>{x.said}</span>
                ),
            },
          ]}
        />
      )}
      <Form layout="vertical" requiredMark={false} style={{ marginTop: 12 }}>
        <Form.Item label={t('fleet.pkg.version')} htmlFor="package-version" extra={t('fleet.pkg.versionHelp')}>
          <Input id="package-version" maxLength={64} value={version} onChange={(e) => setVersion(e.target.value)} />
        </Form.Item>
        <Form.Item label={t('fleet.note')} htmlFor="package-note">
          <Input id="package-note" maxLength={2000} value={note} onChange={(e) => setNote(e.target.value)} />
        </Form.Item>
      </Form>
    </Modal>
  );
}

/** One package: what the file says, who signed it, what is inside. */
function PackageDetail({ id, report, close }: { id: string; report?: (version: string) => void; close: () => void }) {
  const { t, locale } = useSettings();
  const [, setUrl] = useUrl();
  const actor = useActorName();
  const query = useQuery({ queryKey: ['fleet-packages', id], queryFn: ({ signal }) => get<FleetPackageDetail>(`/fleet/packages/${encodeURIComponent(id)}`, {}, signal) });
  const unsaid = <span className="faint">{t('fleet.pkg.unsaid')}</span>;
  return (
    <Panel
      title={query.data ? nameOf(query.data) : t('fleet.packages')}
      end={
        <span className="row">
          {query.data && report && query.data.running > 0 && (
            <Button size="small" onClick={() => report(query.data.version)}>
              {t('fleet.test.make')}
            </Button>
          )}
          <Button size="small" onClick={close}>
            {t('do.close')}
          </Button>
        </span>
      }
    >
      <Loaded query={query} what="fleet.packages" lines={6}>
        {(x) => (
          <>
            <dl className="facts information">
              <dt>{t('fleet.pkg.platform')}</dt>
              <dd>{`${x.os}/${x.arch}`}</dd>
              <dt>{t('fleet.pkg.size')}</dt>
              <dd>{bytes(x.size, locale)}</dd>
              <dt>SHA-256</dt>
              <dd className="mono" style={{ overflowWrap: 'anywhere' }}>
                {x.sha256}
              </dd>
              <dt>{t('fleet.pkg.signature')}</dt>
              <dd style={x.verified ? undefined : { color: 'var(--high)' }}>{t(x.verified ? 'fleet.pkg.verified' : 'fleet.pkg.unverified')} · Ed25519</dd>
              <dt>{t('fleet.pkg.key')}</dt>
              <dd className="mono" style={{ overflowWrap: 'anywhere' }}>
                {x.key}
              </dd>
              <dt>{t('fleet.pkg.file')}</dt>
              <dd style={x.intact ? undefined : { color: 'var(--high)' }}>{t(x.intact ? 'fleet.pkg.intact' : 'fleet.pkg.changed')}</dd>
              <dt>{t('fleet.pkg.build')}</dt>
              <dd>{x.build.go ? [x.build.go, x.build.telegraf && `telegraf ${x.build.telegraf}`].filter(Boolean).join(', ') : unsaid}</dd>
              <dt>{t('fleet.pkg.commit')}</dt>
              <dd>
                {x.build.commit ? <code>{x.build.commit.slice(0, 12)}</code> : unsaid} {x.build.committed && absolute(x.build.committed)} {x.build.modified && t('fleet.pkg.modified')}
              </dd>
              <dt>{t('fleet.pkg.running')}</dt>
              <dd>{x.running}</dd>
              <dt>{t('fleet.pkg.inputs')}</dt>
              <dd>{list(x.contents.inputs).length > 0 ? list(x.contents.inputs).join(', ') : unsaid}</dd>
              <dt>{t('fleet.log.who')}</dt>
              <dd>
                {actor(x.by)} · {absolute(x.at)}
              </dd>
              <dt>{t('fleet.note')}</dt>
              <dd>{x.note || '–'}</dd>
            </dl>
            {list(x.contents.modules).length > 0 && (
              <details style={{ margin: '10px 0' }}>
                <summary>{`${t('fleet.pkg.modules')} ${list(x.contents.modules).length}`}</summary>
                <p className="mono" style={{ fontSize: 12, columnWidth: 420 }}>
                  {list(x.contents.modules).map((m) => (
                    <span key={m.path} style={{ display: 'block', overflowWrap: 'anywhere' }}>
                      {m.path} <span className="faint">{m.version}</span>
                    </span>
                  ))}
                </p>
              </details>
            )}
            <Reports version={x.version} open={(report) => setUrl({ report })} />
          </>
        )}
      </Loaded>
    </Panel>
  );
}

export function Packages() {
  const { t, locale } = useSettings();
  const can = useCan();
  const { act } = useAct();
  const actor = useActorName();
  const [url, setUrl] = useUrl();
  const [adding, setAdding] = useState(false);
  const [making, setMaking] = useState('');
  const [removing, setRemoving] = useState<FleetPackage | null>(null);
  const query = useQuery({ queryKey: ['fleet-packages'], queryFn: ({ signal }) => get<Page<FleetPackage>>('/fleet/packages', { limit: 1000 }, signal), refetchInterval: 10_000 });
  const rows = list(query.data?.items);
  const makes = can('add-fleet-package');
  const open = url.get('package') ?? '';
  const report = url.get('report') ?? '';
  const make = can('create-fleet-test-report') ? setMaking : undefined;
  return (
    <>
      {makes && (
        <div className="filters">
          <Button onClick={() => setAdding(true)}>{t('fleet.pkg.upload')}</Button>
        </div>
      )}
      <Stale query={query} />
      {report && <Report key={report} id={report} close={() => setUrl({ report: undefined })} />}
      <div className="panel" style={{ overflowX: 'auto' }}>
        <Loaded query={query} what="fleet.packages" lines={4}>
          {() =>
            rows.length === 0 ? (
              <Empty title={t('fleet.pkg.empty')} why={t('fleet.pkg.emptyWhy')}>
                {makes && <Button onClick={() => setAdding(true)}>{t('fleet.pkg.upload')}</Button>}
              </Empty>
            ) : (
              <DataTable
                label={t('fleet.packages')}
                rows={rows}
                rowKey={(x) => x.sha256}
                marked={open}
                onRow={(x) => setUrl({ package: x.sha256 === open ? undefined : x.sha256 })}
                columns={[
                  {
                    key: 'version',
                    title: t('fleet.version'),
                    render: (x) => (
                      <button className="plain link" aria-label={t('fleet.pkg.open', { x: nameOf(x) })} onClick={() => setUrl({ package: x.sha256 })}>
                        <b style={{ fontWeight: 550 }}>{x.version}</b>
                      </button>
                    ),
                  },
                  { key: 'platform', title: t('fleet.pkg.platform'), render: (x) => `${x.os}/${x.arch}` },
                  { key: 'size', title: t('fleet.pkg.size'), num: true, render: (x) => bytes(x.size, locale) },
                  { key: 'build', title: t('fleet.pkg.build'), render: (x) => (x.build.go ? `${x.build.go}${x.build.telegraf ? `, telegraf ${x.build.telegraf}` : ''}` : <span className="faint">{t('fleet.pkg.unsaid')}</span>) },
                  { key: 'signed', title: t('fleet.pkg.signature'), render: (x) => <span style={x.verified ? undefined : { color: 'var(--high)' }}>{t(x.verified ? 'fleet.pkg.verified' : 'fleet.pkg.unverified')}</span> },
                  { key: 'running', title: t('fleet.pkg.running'), num: true, render: (x) => x.running },
                  { key: 'note', title: t('fleet.note'), render: (x) => x.note || <span className="faint">–</span> },
                  { key: 'by', title: t('fleet.log.who'), render: (x) => actor(x.by) },
                  { key: 'at', title: t('col.time'), num: true, render: (x) => <When time={x.at} age /> },
                  {
                    key: 'do',
                    title: '',
                    num: true,
                    render: (x) =>
                      makes && (
                        <Button
                          size="small"
                          danger
                          aria-label={t('fleet.pkg.delete', { x: nameOf(x) })}
                          onClick={(e) => {
                            e.stopPropagation();
                            setRemoving(x);
                          }}
                        >
                          {t('do.delete')}
                        </Button>
                      ),
                  },
                ]}
              />
            )
          }
        </Loaded>
      </div>
      {open && (
        <div style={{ marginTop: 12 }}>
          <PackageDetail key={open} id={open} report={make} close={() => setUrl({ package: undefined })} />
        </div>
      )}
      <div style={{ marginTop: 12 }}>
        <Performance report={make} />
      </div>
      <div style={{ marginTop: 12 }}>
        <Panel title={t('fleet.test.reports')} flush>
          <Reports open={(report) => setUrl({ report })} />
        </Panel>
      </div>
      {adding && <UploadDialog close={() => setAdding(false)} />}
      {making && <MakeReport version={making} close={() => setMaking('')} made={(r) => setUrl({ report: r.id })} />}
      {removing && (
        <Ask title={t('fleet.pkg.delete', { x: nameOf(removing) })} why={t('fleet.pkg.deleteWhy')} ok={t('do.delete')} close={() => setRemoving(null)} submit={() => act(() => del(`/fleet/packages/${removing.sha256}`), { said: t('fleet.pkg.deleted'), renew: ['fleet-packages'] })} />
      )}
    </>
  );
}
