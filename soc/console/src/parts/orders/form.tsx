import { Button, Input, InputNumber, Modal, Segmented, Select, Switch } from 'antd';
import { useId, useState } from 'react';
import { post, put } from '../../api/client';
import { ANSWER_PARTS, THEIR_STATES, type Connection, type ConnectionContent, type MadeConnection, type OrderRequest, type OrderTrial, type StateMeaning } from '../../api/dispatch';
import { RESOLUTIONS, list } from '../../api/types';
import { useAct } from '../../app/act';
import { useT } from '../../app/settings';
import { objectOf, pairsIn, secretsOf, tidyConnection, type Pair } from '../../logic/dispatch';
import { CodeBox } from '../codebox';
import { Refused } from '../dialog';
import { PairsEditor } from '../pairs';
import { TenantsPicker } from '../pickers';
import { WhyNot } from '../why';
import { SecretField } from './secret';

/** What templates know, in the order people look for it. */
const KNOWN = ['Subject.Title', 'Subject.TitleEN', 'Subject.ID', 'Subject.Severity', 'Subject.Priority', 'Subject.Status', 'Subject.Tenant', 'Subject.System', 'Subject.Item', 'Subject.Owner', 'Subject.Unit', 'Subject.Assignee', 'Subject.Description', 'Subject.Link', 'Subject.OpenedAt | time', 'Subject.Due | time', 'Change.Text', 'Change.Actor', 'Order', 'External', 'Delivery', 'Token'] as const;
const VALUES = KNOWN.map((x) => ({ value: `{{.${x}}}` }));
const HEADERS = ['Authorization', 'Content-Type', 'X-Api-Key'];

/** A request as the form holds it. */
interface Draft {
  method?: string;
  url: string;
  headers: Pair[];
  mode: 'own' | 'fields' | 'body';
  fields: Pair[];
  body: string;
}
const draftOf = (r: OrderRequest | undefined): Draft => ({ method: r?.method, url: r?.url ?? '', headers: pairsIn(r?.headers), fields: pairsIn(r?.fields), body: r?.body ?? '', mode: Object.keys(r?.fields ?? {}).length > 0 ? 'fields' : r?.body ? 'body' : 'own' });
const requestOf = (d: Draft): OrderRequest => ({ method: d.method, url: d.url, headers: objectOf(d.headers), fields: d.mode === 'fields' ? objectOf(d.fields) : undefined, body: d.mode === 'body' ? d.body : undefined });

const FRESH: ConnectionContent = { name: '', enabled: true, poll_seconds: 300, resolution: 'true_positive' };
const STEPS = ['basics', 'requests', 'answers', 'secrets', 'try'] as const;
type Step = (typeof STEPS)[number];

/** Connects a work-order system or changes a connection, and tries it with a sample. */
export function ConnectionForm({ connection, close }: { /** The one to be changed. */ connection?: Connection; close: () => void }) {
  const t = useT();
  const { tell } = useAct();
  const id = useId();
  const [step, setStep] = useState<Step>('basics');
  const [v, setV] = useState<ConnectionContent>(connection ?? FRESH);
  const [requests, setRequests] = useState({ create: draftOf(connection?.create), update: draftOf(connection?.update), query: draftOf(connection?.query) });
  const [shown, setShown] = useState<keyof typeof requests>('create');
  const [states, setStates] = useState<StateMeaning[]>([...list(connection?.states)]);
  const [token, setToken] = useState('');
  const [key, setKey] = useState('');
  const [vars, setVars] = useState<Pair[]>([]);
  const [gone, setGone] = useState<ReadonlySet<string>>(new Set());
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const [trial, setTrial] = useState<OrderTrial | null>(null);
  const [made, setMade] = useState<MadeConnection | null>(null);
  const set = (part: Partial<ConnectionContent>) => setV({ ...v, ...part });
  const content = tidyConnection({ ...v, create: requestOf(requests.create), update: requestOf(requests.update), query: requestOf(requests.query), states });
  const secrets = secretsOf(token, key, vars, gone);
  const has = (name: string) => list(connection?.secrets_set).includes(name) && !gone.has(name);
  const drop = (name: string, off: boolean) => setGone((g) => new Set(off ? [...g, name] : [...g].filter((x) => x !== name)));
  const ready = content.name !== '' && (!!content.url || !!content.create?.url);
  const run = async (work: () => Promise<void>) => {
    setBusy(true);
    setError(null);
    try {
      await work();
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  const save = () =>
    run(async () => {
      if (connection) {
        await put(`/work-order-connections/${encodeURIComponent(connection.id)}`, { connection: content, secrets, revision: connection.revision });
        tell({ said: t('order.saved', { x: content.name }), renew: ['work-order-connections', 'work-order-targets'] });
        close();
        return;
      }
      const r = await post<MadeConnection>('/work-order-connections', { connection: content, secrets });
      tell({ said: t('order.saved', { x: content.name }), renew: ['work-order-connections', 'work-order-targets'] });
      setMade(r);
    });
  const attempt = (send: boolean) => run(async () => setTrial(await post<OrderTrial>('/work-order-connections/test', { id: connection?.id, send, connection: content, secrets })));
  if (made) return <TokenDialog made={made} close={close} />;
  const r = requests[shown];
  const request = (part: Partial<Draft>) => setRequests({ ...requests, [shown]: { ...r, ...part } });
  return (
    <Modal open width={860} title={connection ? t('order.edit', { x: connection.name }) : t('order.connect')} okText={t('do.save')} okButtonProps={{ disabled: !ready }} confirmLoading={busy} cancelText={t('do.cancel')} maskClosable={false} onCancel={close} onOk={() => void save()}>
      <div style={{ padding: '6px 0 12px' }}>
        <Segmented<Step> value={step} onChange={setStep} options={STEPS.map((s) => ({ value: s, label: t(`order.step.${s}`) }))} />
      </div>
      <Refused error={error} />
      {step === 'basics' && (
        <div className="stack">
          <div className="two">
            <label className="labelled">
              <span className="dim">{t('order.name')}</span>
              <Input autoFocus maxLength={80} placeholder={t('order.nameHint')} value={v.name} onChange={(e) => set({ name: e.target.value })} />
            </label>
            <label className="labelled">
              <span className="dim">{t('order.poll')}</span>
              <InputNumber min={0} max={86_400} value={v.poll_seconds ?? 0} onChange={(n) => set({ poll_seconds: n ?? 0 })} style={{ width: '100%' }} />
            </label>
          </div>
          <label className="labelled">
            <span className="dim">{t('order.url')}</span>
            <Input className="mono" maxLength={2000} placeholder="https://itsm.example.gov.cn/api/orders" value={v.url} onChange={(e) => set({ url: e.target.value })} />
            <span className="faint">{t('order.urlWhy')}</span>
          </label>
          <div className="labelled">
            <label className="dim" htmlFor={`${id}-tenants`}>
              {t('order.tenants')}
            </label>
            <TenantsPicker id={`${id}-tenants`} value={list(v.tenants).length > 0 ? [...list(v.tenants)] : ['*']} onChange={(x) => set({ tenants: x.filter((s) => s !== '*') })} />
          </div>
          <div className="row wrap">
            <Switch size="small" id={`${id}-close`} checked={!!v.close} onChange={(close) => set({ close })} />
            <label htmlFor={`${id}-close`}>{t('order.closes')}</label>
            {v.close && <Select size="small" aria-label={t('act.resolution')} style={{ width: 140 }} value={v.resolution ?? 'true_positive'} onChange={(resolution: string) => set({ resolution })} options={RESOLUTIONS.map((x) => ({ value: x, label: t(`resolution.${x}`) }))} />}
          </div>
          <div className="row">
            <Switch size="small" id={`${id}-on`} checked={v.enabled} onChange={(enabled) => set({ enabled })} />
            <label htmlFor={`${id}-on`}>{t('order.enabled')}</label>
          </div>
          <label className="labelled">
            <span className="dim">{t('silence.comment')}</span>
            <Input maxLength={2000} value={v.description} onChange={(e) => set({ description: e.target.value })} />
          </label>
        </div>
      )}
      {step === 'requests' && (
        <div className="stack">
          <div className="dim">{t('order.requestsWhy')}</div>
          <Segmented<keyof typeof requests> value={shown} onChange={setShown} options={(['create', 'update', 'query'] as const).map((x) => ({ value: x, label: t(`order.request.${x}`) }))} />
          <div className="labelled">
            <span className="dim">{t('order.address')}</span>
            <div className="row">
              <Select allowClear aria-label={t('order.method')} placeholder={shown === 'create' ? 'POST' : shown === 'update' ? 'PUT' : 'GET'} style={{ width: 104 }} value={r.method} onChange={(method?: string) => request({ method })} options={['GET', 'POST', 'PUT', 'PATCH'].map((value) => ({ value }))} />
              <Input className="mono grow" aria-label={t('order.address')} maxLength={2000} value={r.url} placeholder={v.url ? `${v.url.replace(/\/$/, '')}${shown === 'create' ? '' : '/{{.External | path}}'}` : 'https://…'} onChange={(e) => request({ url: e.target.value })} />
            </div>
          </div>
          <PairsEditor label={t('order.headers')} why={t('order.headersWhy')} nameHint={t('order.header')} valueHint={t('order.template')} names={HEADERS} values={VALUES} pairs={r.headers} set={(headers) => request({ headers })} />
          {shown !== 'query' && (
            <>
              <Segmented<Draft['mode']> value={r.mode} onChange={(mode) => request({ mode })} options={(['own', 'fields', 'body'] as const).map((x) => ({ value: x, label: t(`order.mode.${x}`) }))} />
              {r.mode === 'own' && <div className="faint">{t('order.ownWhy')}</div>}
              {r.mode === 'fields' && <PairsEditor label={t('order.fields')} why={t('order.fieldsWhy')} nameHint={t('order.theirField')} valueHint={t('order.template')} values={VALUES} pairs={r.fields.length > 0 ? r.fields : [{ name: '', value: '' }]} set={(fields) => request({ fields })} />}
              {r.mode === 'body' && (
                <label className="labelled">
                  <span className="dim">{t('order.bodyWhy')}</span>
                  <Input.TextArea className="mono grows" rows={7} maxLength={32_768} spellCheck={false} value={r.body} placeholder={'{"summary": "{{.Subject.Title | json}}"}'} onChange={(e) => request({ body: e.target.value })} />
                </label>
              )}
            </>
          )}
        </div>
      )}
      {step === 'answers' && (
        <div className="stack">
          <div className="dim">{t('order.answersWhy')}</div>
          <div className="two" style={{ rowGap: 8 }}>
            {ANSWER_PARTS.map((p) => (
              <label className="labelled" key={p}>
                <span className="dim">{t(`order.answer.${p}`)}</span>
                <Input className="mono" maxLength={500} placeholder={p === 'success' ? 'code == `0`' : p} value={v.answer?.[p] ?? ''} onChange={(e) => set({ answer: { ...v.answer, [p]: e.target.value } })} />
              </label>
            ))}
          </div>
          <fieldset className="matchers">
            <legend>
              {t('order.meanings')} <span className="faint">{t('order.meaningsWhy')}</span>
            </legend>
            {states.map((s, i) => (
              <div key={i} className="matcher two-fields">
                <Input aria-label={t('order.theirState')} placeholder={t('order.theirState')} maxLength={100} value={s.theirs} onChange={(e) => setStates(states.map((x, k) => (k === i ? { ...x, theirs: e.target.value } : x)))} />
                <Select aria-label={t('order.means')} value={s.ours} onChange={(ours) => setStates(states.map((x, k) => (k === i ? { ...x, ours } : x)))} options={THEIR_STATES.map((x) => ({ value: x, label: t(`order.state.${x}`) }))} />
                <button type="button" className="plain x" aria-label={t('do.remove', { x: s.theirs || t('order.theirState') })} onClick={() => setStates(states.filter((_, k) => k !== i))}>
                  ✕
                </button>
              </div>
            ))}
            <Button size="small" type="dashed" onClick={() => setStates([...states, { theirs: '', ours: 'working' }])}>
              + {t('pairs.add')}
            </Button>
          </fieldset>
        </div>
      )}
      {step === 'secrets' && (
        <div className="stack">
          <div className="dim">{t('order.secretsWhy')}</div>
          <SecretField label={t('order.token')} why={t('order.tokenWhy')} kept={has('token')} value={token} set={setToken} drop={(off) => drop('token', off)} dropped={gone.has('token')} />
          <SecretField label={t('order.key')} why={t('order.keyWhy')} kept={has('key')} value={key} set={setKey} drop={(off) => drop('key', off)} dropped={gone.has('key')} />
          {list(connection?.secrets_set)
            .filter((x) => x.startsWith('vars.'))
            .map((x) => (
              <div className="row" key={x}>
                <code>{`{{.Vars.${x.slice(5)}}}`}</code>
                <span className="dim">{gone.has(x) ? t('secret.goes') : t('secret.kept')}</span>
                <Button size="small" type="text" onClick={() => drop(x, !gone.has(x))}>
                  {gone.has(x) ? t('do.undo') : t('do.remove', { x: x.slice(5) })}
                </Button>
              </div>
            ))}
          <PairsEditor label={t('order.vars')} why={t('order.varsWhy')} nameHint={t('order.var')} valueHint={t('order.secretValue')} secret pairs={vars} set={setVars} />
        </div>
      )}
      {step === 'try' && (
        <div className="stack">
          <div className="dim">{t('order.tryWhy')}</div>
          <div className="row">
            <Button disabled={!ready} loading={busy} onClick={() => void attempt(false)}>
              {t('order.show')}
            </Button>
            <Button disabled={!ready} loading={busy} onClick={() => void attempt(true)}>
              {t('order.send')}
            </Button>
            {!ready && <span className="faint">{t('order.incomplete')}</span>}
          </div>
          {trial && <Trial trial={trial} />}
        </div>
      )}
    </Modal>
  );
}

function Trial({ trial: r }: { trial: OrderTrial }) {
  const t = useT();
  return (
    <div className="stack" data-testid="order-trial">
      {r.sent && (
        <div className={r.error ? 'notice warn' : 'notice good'} role="status" style={{ margin: 0 }}>
          {r.error ? <WhyNot error={r.error} status={r.http_status} /> : t('order.worked', { id: r.id || '–', state: r.state || '–', means: r.means && THEIR_STATES.some((s) => s === r.means) ? t(`order.state.${r.means as StateMeaning['ours']}`) : t('order.unknown') })}
          {r.http_status ? <span className="dim"> · HTTP {r.http_status}</span> : null}
          {r.took_ms ? <span className="dim"> · {r.took_ms} ms</span> : null}
        </div>
      )}
      {!r.sent && <div className="dim">{t('order.notSent')}</div>}
      <CodeBox
        into={`${r.method} ${r.host}`}
        text={[...Object.entries(r.headers ?? {}).map(([k, x]) => `${k}: ${x}`), '', r.body].join('\n')}
        id="trial-request"
      />
      {r.answer && <CodeBox into={t('order.theirAnswer')} text={r.answer} />}
    </div>
  );
}

/** The token for results, told once. */
export function TokenDialog({ made, close }: { made: MadeConnection; close: () => void }) {
  const t = useT();
  return (
    <Modal open width={640} title={t('order.tokenTitle', { x: made.connection.name })} footer={<Button type="primary" onClick={close}>{t('do.close')}</Button>} onCancel={close} maskClosable={false}>
      <div className="stack" style={{ paddingTop: 6 }}>
        <div className="notice warn" style={{ margin: 0 }}>
          {t('order.once')}
        </div>
        {made.path && <CodeBox into={t('order.hook')} text={`${window.location.origin}${made.path}`} id="hook" />}
        {made.token && <CodeBox into={t('order.hookToken')} text={made.token} />}
        <div className="dim">{t('order.hookWhy')}</div>
      </div>
    </Modal>
  );
}
