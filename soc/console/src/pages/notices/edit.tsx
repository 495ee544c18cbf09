import { useQuery } from '@tanstack/react-query';
import { Button, Input, Select } from 'antd';
import { useEffect, useId, useState } from 'react';
import { Link, useNavigate, useParams } from 'react-router-dom';
import { get, post, put } from '../../api/client';
import type { Notice, NoticeContent, NoticeDetail, NoticeKind, Proof } from '../../api/notices';
import { PROOF_KINDS } from '../../api/notices';
import { useTenants } from '../../api/queries';
import { SEVERITIES, list, type Severity } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { localInput, localTime } from '../../logic/access';
import { freshBlock, tidyNotice } from '../../logic/notices';
import { Refused } from '../../parts/dialog';
import { NoticeBody } from '../../parts/notices/body';
import { BodyEditor, ProofEditor } from '../../parts/notices/editor';
import { Head, Panel } from '../../parts/page';
import { ReceiversPicker } from '../../parts/receivers';
import { Loaded } from '../../parts/states';

/** Drafts a notice; ?kind=, ?name=, ?tenant=, ?evidence=incident:ID begin it from what is at hand. */
export default function EditNotice() {
  const { id } = useParams();
  const query = useQuery({ enabled: !!id, queryKey: ['notices', 'one', id], queryFn: ({ signal }) => get<NoticeDetail>(`/notices/${encodeURIComponent(id ?? '')}`, {}, signal), refetchOnWindowFocus: false, staleTime: Infinity });
  const [url] = useUrl();
  if (!id) {
    const proofs = url.getAll('evidence').flatMap((x): Proof[] => {
      const [kind, ...rest] = x.split(':');
      return PROOF_KINDS.some((k) => k === kind) && rest.length > 0 ? [{ kind: kind as Proof['kind'], id: rest.join(':') }] : [];
    });
    const level = SEVERITIES.find((s) => s === url.get('level')) ?? 'high';
    const tenant = url.get('tenant');
    return <Editor initial={{ kind: url.get('kind') === 'circular' ? 'circular' : 'warning', name: url.get('name') ?? '', level, tenants: tenant ? [tenant] : [], body: [freshBlock('text')], evidence: proofs }} />;
  }
  return (
    <Loaded query={query} what="page.notices" lines={12}>
      {(d) => <Editor key={d.notice.id} notice={d.notice} initial={d.notice} />}
    </Loaded>
  );
}

function Editor({ notice, initial }: { notice?: Notice; initial: NoticeContent }) {
  const { t, tx } = useSettings();
  const navigate = useNavigate();
  const { tell } = useAct();
  const id = useId();
  const tenants = useTenants().data ?? [];
  const [v, setV] = useState<NoticeContent>(initial);
  const [dirty, setDirty] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const set = (part: Partial<NoticeContent>) => {
    setDirty(true);
    setV((x) => ({ ...x, ...part }));
  };
  useEffect(() => {
    if (!dirty) return undefined;
    const warn = (e: BeforeUnloadEvent) => e.preventDefault();
    window.addEventListener('beforeunload', warn);
    return () => window.removeEventListener('beforeunload', warn);
  }, [dirty]);
  const body = tidyNotice(v);
  const send = async () => {
    setBusy(true);
    setError(null);
    try {
      const n = notice ? await put<Notice>(`/notices/${encodeURIComponent(notice.id)}`, { ...body, revision: notice.revision }) : await post<Notice>('/notices', body);
      setDirty(false);
      tell({ said: t('notice.saved', { x: body.name }), renew: ['notices'] });
      navigate(`/notices/${encodeURIComponent(n.id)}`, { replace: true });
    } catch (e) {
      setError(e);
      window.scrollTo({ top: 0 });
    } finally {
      setBusy(false);
    }
  };
  const back = notice ? `/notices/${encodeURIComponent(notice.id)}` : '/notices';
  return (
    <div className="page">
      <div className="row" style={{ marginBottom: 8 }}>
        <Link to={back}>← {notice ? notice.name : t('page.notices')}</Link>
      </div>
      <Head title={t(notice ? 'notice.edit' : 'notice.new')} sub={dirty ? t('settings.unsaved') : ''}>
        <Link to={back}>
          <Button>{t('do.cancel')}</Button>
        </Link>
        <Button type="primary" disabled={body.name === ''} loading={busy} onClick={() => void send()}>
          {t('notice.save')}
        </Button>
      </Head>
      <Refused error={error} />
      <div className="halves">
        <div className="stack" style={{ gap: 14 }}>
          <Panel title={t('notice.what')}>
            <div className="stack">
              <div className="row wrap">
                {(['warning', 'circular'] as NoticeKind[]).map((k) => (
                  <button key={k} type="button" className="plain toggle" aria-pressed={v.kind === k} onClick={() => set({ kind: k })}>
                    {t(`notice.kind.${k}`)}
                  </button>
                ))}
                <span className="faint">{t(`notice.kindWhy.${v.kind}`)}</span>
              </div>
              <label className="labelled">
                <span className="dim">{t('notice.name')}</span>
                <Input autoFocus={!notice} maxLength={200} value={v.name} placeholder={t('notice.nameHint')} onChange={(e) => set({ name: e.target.value })} />
              </label>
              <div className="two" style={{ rowGap: 8 }}>
                <label className="labelled" htmlFor={`${id}-level`}>
                  <span className="dim">{t('col.severity')}</span>
                  <Select id={`${id}-level`} value={v.level} onChange={(level: Severity) => set({ level })} options={SEVERITIES.map((x) => ({ value: x, label: t(`sev.${x}`) }))} />
                </label>
                <label className="labelled">
                  <span className="dim">{t('notice.region')}</span>
                  <Input maxLength={100} value={v.region ?? ''} onChange={(e) => set({ region: e.target.value })} />
                </label>
              </div>
              <label className="labelled" htmlFor={`${id}-tags`}>
                <span className="dim">{t('notice.tags')}</span>
                <Select id={`${id}-tags`} mode="tags" open={false} suffixIcon={null} maxCount={20} tokenSeparators={[',', '，']} value={[...list(v.tags)]} onChange={(tags: string[]) => set({ tags: tags.map((x) => x.slice(0, 40)) })} style={{ width: '100%' }} />
              </label>
            </div>
          </Panel>
          <Panel title={t('notice.to')}>
            <div className="stack">
              <label className="labelled" htmlFor={`${id}-tenants`}>
                <span className="dim">{t('notice.tenants')}</span>
                <Select id={`${id}-tenants`} mode="multiple" allowClear value={[...list(v.tenants)]} onChange={(x: string[]) => set({ tenants: x })} optionFilterProp="label" options={tenants.map((x) => ({ value: x.slug, label: tx(x.name) || x.slug }))} style={{ width: '100%' }} />
                <span className="row">
                  <Button size="small" type="link" style={{ padding: 0 }} onClick={() => set({ tenants: tenants.map((x) => x.slug) })}>
                    {t('notice.all', { n: tenants.length })}
                  </Button>
                  {list(v.tenants).length === 0 && <span className="faint">{t('notice.noTenants')}</span>}
                </span>
              </label>
              {v.kind === 'circular' && (
                <label className="labelled">
                  <span className="dim">{t('notice.dueBy')}</span>
                  <input type="datetime-local" value={v.due ? localInput(new Date(v.due).toISOString()) : ''} onChange={(e) => set({ due: Date.parse(localTime(e.target.value) ?? '') || undefined })} />
                </label>
              )}
              <div className="labelled">
                <label className="dim" htmlFor={`${id}-receivers`}>
                  {t('notice.receivers')}
                </label>
                <ReceiversPicker id={`${id}-receivers`} value={list(v.receivers)} onChange={(receivers) => set({ receivers })} />
                <span className="faint">{t('notice.receiversWhy')}</span>
              </div>
            </div>
          </Panel>
          <Panel title={t('notice.evidence')}>
            <ProofEditor proofs={list(v.evidence)} set={(evidence) => set({ evidence })} />
          </Panel>
        </div>
        <div className="stack" style={{ gap: 14 }}>
          <Panel title={t('notice.body')}>
            <BodyEditor body={list(v.body)} set={(x) => set({ body: x })} />
          </Panel>
          {list(body.body).length > 0 && (
            <Panel title={t('notice.preview')}>
              <NoticeBody body={list(body.body)} />
            </Panel>
          )}
        </div>
      </div>
    </div>
  );
}
