import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Button, Radio } from 'antd';
import { Fragment, useState } from 'react';
import { Link } from 'react-router-dom';
import { itemPath, useWords } from '../../api/cmdb';
import { get, post } from '../../api/client';
import { useCan } from '../../api/queries';
import { DUPLICATE_STATES, type CmdbMerge, type SurfaceDuplicate } from '../../api/scans';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { fieldName } from '../cmdb/fieldname';
import { useSayValue } from '../cmdb/value';
import { FormDialog } from '../dialog';
import { useTenantName } from '../names';
import { Empty, Loaded } from '../states';
import { DataTable } from '../table';
import { When } from '../time';
import { Listing } from '../listing';

const RENEW = ['surface', 'cmdb'];
const path = (x: SurfaceDuplicate) => `/surface/duplicates/${encodeURIComponent(x.id)}`;

/** Items of the CMDB that discoveries hold to be one host. ?state= narrows them, ?merge= opens the merge of one. */
export function Duplicates() {
  const { t } = useSettings();
  const can = useCan();
  const tenantName = useTenantName();
  const { act, busy } = useAct();
  const [url, setUrl] = useUrl();
  const state = DUPLICATE_STATES.find((s) => s === url.get('state')) ?? 'open';
  const cursor = url.get('cursor') ?? '';
  const query = useQuery({ queryKey: ['surface', 'duplicates', state, cursor], queryFn: ({ signal }) => get<Page<SurfaceDuplicate>>('/surface/duplicates', { state, cursor: cursor || undefined, limit: 50 }, signal), placeholderData: keepPreviousData, refetchInterval: 30_000 });
  const merging = list(query.data?.items).find((x) => x.id === url.get('merge'));
  const undo = (merge: string) => void act(() => post(`/cmdb/merges/${encodeURIComponent(merge)}/undo`), { said: t('dup.parted'), renew: RENEW });
  const decide = (x: SurfaceDuplicate, action: 'dismiss' | 'reopen') => {
    const other = action === 'dismiss' ? 'reopen' : 'dismiss';
    void act(() => post(path(x), { action }), { said: t(`dup.did.${action}`), renew: RENEW, undo: () => void act(() => post(path(x), { action: other }), { said: t(`dup.did.${other}`), renew: RENEW }) });
  };
  return (
    <>
      <div className="filters" role="search">
        {DUPLICATE_STATES.map((s) => (
          <button key={s} className="plain toggle" aria-pressed={state === s} onClick={() => setUrl({ state: s === 'open' ? undefined : s, cursor: undefined })}>
            {t(`dup.state.${s}`)}
          </button>
        ))}
        {query.data && <span className="faint">{t('vuln.total', { n: query.data.total ?? 0 })}</span>}
      </div>
      <Listing query={query} what="surface.tab.duplicates" empty={<Empty title={t(state === 'open' ? 'dup.none' : 'scan.none')} why={state === 'open' ? t('dup.noneWhy') : undefined} />}>
        {(rows) => (
          <DataTable
            label={t('surface.tab.duplicates')}
            rows={rows}
            rowKey={(x) => x.id}
            columns={[
              {
                key: 'keep',
                title: t('dup.keep'),
                render: (x) => (
                  <>
                    <Link to={itemPath(x.keep.id)}>{x.keep.name}</Link>
                    <div className="faint">
                      {tenantName(x.tenant)} · {x.zone}
                    </div>
                  </>
                ),
              },
              { key: 'gone', title: t('dup.gone'), render: (x) => (x.state === 'merged' ? x.gone.name : <Link to={itemPath(x.gone.id)}>{x.gone.name}</Link>) },
              {
                key: 'marks',
                title: t('dup.marks'),
                render: (x) => (
                  <span className="row wrap">
                    {list(x.marks).map((m) => (
                      <span key={m} className="tag">
                        {t(`dup.mark.${m}`)}
                      </span>
                    ))}
                    {x.certain && <b>{t('dup.certain')}</b>}
                  </span>
                ),
              },
              { key: 'seen', title: t('surface.seen'), render: (x) => <Link to={`/scans/${encodeURIComponent(x.run)}`}><When time={x.seen_at} /></Link> },
              {
                key: 'decided',
                title: t('dup.decided'),
                render: (x) => (
                  <>
                    {x.decided_by ? (
                      <>
                        {x.decided_by} <When time={x.decided_at} />
                      </>
                    ) : (
                      !x.note && <span className="faint">–</span>
                    )}
                    {x.note && <div className="faint">{x.note}</div>}
                  </>
                ),
              },
              {
                key: 'do',
                title: '',
                num: true,
                render: (x) => (
                  <span className="row" style={{ justifyContent: 'flex-end' }}>
                    {(x.state === 'open' || x.state === 'undone') && can('decide-surface-duplicate') && (
                      <>
                        {can('merge-cmdb-items') && (
                          <Button size="small" type="primary" onClick={() => setUrl({ merge: x.id }, true)}>
                            {t('dup.merge')}…
                          </Button>
                        )}
                        {x.state === 'open' && (
                          <Button size="small" disabled={busy} onClick={() => decide(x, 'dismiss')}>
                            {t('dup.dismiss')}
                          </Button>
                        )}
                      </>
                    )}
                    {x.state === 'dismissed' && can('decide-surface-duplicate') && (
                      <Button size="small" disabled={busy} onClick={() => decide(x, 'reopen')}>
                        {t('dup.reopen')}
                      </Button>
                    )}
                    {x.state === 'merged' && x.merge && can('undo-cmdb-merge') && (
                      <Button size="small" disabled={busy} onClick={() => undo(x.merge ?? '')}>
                        {t('dup.undo')}
                      </Button>
                    )}
                  </span>
                ),
              },
            ]}
          />
        )}
      </Listing>
      {merging && <Merge of={merging} undo={undo} close={() => setUrl({ merge: undefined })} />}
    </>
  );
}

/** Shows what would come of a merge, lets one choose which item and which values stay, and makes it. */
function Merge({ of, undo, close }: { of: SurfaceDuplicate; undo: (merge: string) => void; close: () => void }) {
  const { t } = useSettings();
  const words = useWords();
  const say = useSayValue();
  const { tell } = useAct();
  const [turned, setTurned] = useState(false);
  const [choose, setChoose] = useState<Record<string, 'keep' | 'gone'>>({});
  const [keep, gone] = turned ? [of.gone, of.keep] : [of.keep, of.gone];
  const draft = { keep: keep.id, gone: gone.id, choose: Object.keys(choose).length > 0 ? choose : undefined };
  const query = useQuery({ queryKey: ['surface', 'merge', JSON.stringify(draft)], queryFn: () => post<CmdbMerge>('/cmdb/merges', { ...draft, dry_run: true }), placeholderData: keepPreviousData });
  const value = (field: string, v?: string) => (v ? say(field, v, keep.class) : '–');
  return (
    <FormDialog<Record<string, never>>
      title={t('dup.mergeOf', { x: of.keep.name, y: of.gone.name })}
      ok={t('dup.merge')}
      width={860}
      submit={async () => {
        const done = await post<SurfaceDuplicate>(path(of), { action: 'merge', keep: keep.id, choose: draft.choose });
        tell({ said: t('dup.merged', { x: keep.name, y: gone.name }), renew: RENEW, undo: done.merge ? () => undo(done.merge ?? '') : undefined });
      }}
      close={close}
    >
      <p className="dim">{t('dup.mergeWhy')}</p>
      <div className="row wrap" style={{ marginBottom: 10 }}>
        <span>{t('dup.stays')}</span>
        <Radio.Group
          optionType="button"
          aria-label={t('dup.stays')}
          value={keep.id}
          onChange={(e) => {
            setTurned(e.target.value !== of.keep.id);
            setChoose({});
          }}
          options={[of.keep, of.gone].map((r) => ({ value: r.id, label: r.name === (r === of.keep ? of.gone : of.keep).name ? `${r.name} (${r.id})` : r.name }))}
        />
      </div>
      <Loaded query={query} what="dup.preview" lines={4} small>
        {(m) => (
          <>
            {list(m.fields).length === 0 ? (
              <p>{t('dup.same')}</p>
            ) : (
              <div style={{ maxHeight: '50vh', overflow: 'auto' }}>
                <DataTable
                  label={t('dup.preview')}
                  rows={list(m.fields)}
                  rowKey={(f) => f.field}
                  columns={[
                    {
                      key: 'field',
                      title: t('ci.field'),
                      render: (f) => (
                        <>
                          {fieldName(f.field, words, t, keep.class)} {f.conflict && <span className="tag warn">{t('ci.clash')}</span>}
                        </>
                      ),
                    },
                    ...(['keep', 'gone'] as const).map((side) => ({
                      key: side,
                      title: t(side === 'keep' ? 'dup.keep' : 'dup.gone'),
                      render: (f: NonNullable<CmdbMerge['fields']>[number]) => (
                        <Fragment key={side}>
                          {value(f.field, f[side])}
                          {f[`${side}_source`] && <div className="faint">{f[`${side}_source`]}</div>}
                        </Fragment>
                      ),
                    })),
                    { key: 'value', title: t('dup.after'), render: (f) => <b>{value(f.field, f.value)}</b> },
                    {
                      key: 'choose',
                      title: '',
                      render: (f) =>
                        f.keep && f.gone && f.keep !== f.gone ? (
                          <Radio.Group size="small" optionType="button" aria-label={fieldName(f.field, words, t, keep.class)} value={choose[f.field] ?? (f.value === f.gone ? 'gone' : f.value === f.keep ? 'keep' : undefined)} onChange={(e) => setChoose({ ...choose, [f.field]: e.target.value === 'gone' ? 'gone' : 'keep' })} options={[{ value: 'keep', label: t('dup.takeKeep') }, { value: 'gone', label: t('dup.takeGone') }]} />
                        ) : null,
                    },
                  ]}
                />
              </div>
            )}
            <p className="dim">
              {t('dup.moves', { r: m.relations, n: list(m.referring).length })} {(m.dropped ?? 0) > 0 && <span className="warn">{t('dup.dropped', { n: m.dropped ?? 0 })}</span>}
            </p>
          </>
        )}
      </Loaded>
    </FormDialog>
  );
}
