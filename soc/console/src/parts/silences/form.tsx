import { useQuery } from '@tanstack/react-query';
import { AutoComplete, Button, Input, Modal, Select } from 'antd';
import { useId, useState } from 'react';
import { get, post, put, serverNow } from '../../api/client';
import { useTenants } from '../../api/queries';
import type { Matcher, Silence, SilencePreview } from '../../api/silences';
import { list, type Alert } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettled } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { localInput, localTime } from '../../logic/access';
import { LENGTHS, OPERATORS, operatorOf, whole, withOperator, type Operator } from '../../logic/silence';
import { durationMs } from '../../logic/urlstate';
import { Refused } from '../dialog';
import { SeverityMark } from '../severity';
import { Failed } from '../states';
import { When } from '../time';

/** Labels that alerts have, whatever made them; an alert at hand adds its own. */
const LABELS = ['alertname', 'rule_id', 'severity', 'tenant', 'ci', 'host', 'system', 'source_ip', 'priority', 'incident', 'alert'];
const EMPTY: Matcher = { name: '', value: '', isRegex: false, isEqual: true };

export interface Draft {
  matchers: Matcher[];
  comment: string;
  tenants: string[];
}

/** Makes or changes a silence, showing meanwhile which alerts it would mute. */
export function SilenceForm({ silence, draft, alert, close }: { /** The one to be changed. */ silence?: Silence; draft: Draft; /** Whose labels are offered. */ alert?: Alert; close: () => void }) {
  const { t, tx } = useSettings();
  const { tell } = useAct();
  const id = useId();
  const tenants = useTenants().data ?? [];
  const [matchers, setMatchers] = useState<Matcher[]>(draft.matchers.length > 0 ? draft.matchers : [EMPTY]);
  const [comment, setComment] = useState(draft.comment);
  const [whose, setWhose] = useState(draft.tenants);
  const [from, setFrom] = useState(silence?.state === 'pending' ? localInput(silence.starts_at) : '');
  const [until, setUntil] = useState(() => (silence && silence.state !== 'expired' ? localInput(silence.ends_at) : localInput(new Date(serverNow() + durationMs('4h')).toISOString())));
  const [length, setLength] = useState(silence && silence.state !== 'expired' ? '' : '4h');
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const change = (i: number, m: Matcher) => setMatchers((all) => all.map((x, k) => (k === i ? m : x)));
  const ready = matchers.length > 0 && matchers.every(whole);
  const now = JSON.stringify({ matchers: matchers.filter(whole), ...(whose.length > 0 ? { tenants: whose } : {}) });
  const asked = useSettled(now, 250);
  const preview = useQuery({
    queryKey: ['silence-preview', asked],
    enabled: ready,
    queryFn: () => post<SilencePreview>('/silences/preview', JSON.parse(asked)),
    retry: false,
  });
  const values = useLabelValues(alert);
  const begin = () => (from ? (localTime(from) as string) : new Date(serverNow()).toISOString());
  const ends = () => (length ? new Date(Date.parse(begin()) + durationMs(length)).toISOString() : localTime(until));
  const send = async () => {
    setBusy(true);
    setError(null);
    const body = { matchers, comment: comment.trim(), starts_at: from ? begin() : silence?.state === 'active' ? silence.starts_at : undefined, ends_at: ends(), ...(whose.length > 0 ? { tenants: whose } : {}) };
    try {
      if (silence) await put<Silence>(`/silences/${encodeURIComponent(silence.id)}`, body);
      else await post<Silence>('/silences', body);
      tell({ said: t('silence.saved'), renew: ['silences', 'alerts', 'alert'] });
      close();
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  // Only of what is written now: another's number on the button would mislead.
  const found = ready && asked === now ? preview.data : undefined;
  const n = found?.total;
  return (
    <Modal
      open
      width={880}
      title={t(silence ? (silence.state === 'expired' ? 'silence.again' : 'silence.edit') : 'silence.new')}
      okText={silence && silence.state !== 'expired' ? t('do.save') : n ? t('silence.create', { n }) : t('silence.createNone')}
      okButtonProps={{ disabled: !ready || comment.trim() === '' || !ends() }}
      confirmLoading={busy}
      cancelText={t('do.cancel')}
      maskClosable={false}
      onCancel={close}
      onOk={() => void send()}
    >
      <Refused error={error} />
      <div className="halves" style={{ paddingTop: 6 }}>
        <div className="stack">
          <fieldset className="matchers">
            <legend>
              {t('silence.matchers')} <span className="faint">{t('silence.matchersWhy')}</span>
            </legend>
            {matchers.map((m, i) => (
              <div key={i} className="matcher">
                <AutoComplete
                  aria-label={t('silence.name')}
                  placeholder={t('silence.name')}
                  value={m.name}
                  options={[...new Set([...Object.keys(alert?.labels ?? {}), ...LABELS])].filter((x) => x.includes(m.name) || m.name === '').map((x) => ({ value: x }))}
                  onChange={(name: string) => change(i, { ...m, name: name.trim(), value: m.value || (alert?.labels?.[name] ?? '') })}
                />
                <Select<Operator> aria-label={t('silence.operator')} value={operatorOf(m)} options={OPERATORS.map((o) => ({ value: o, label: o }))} onChange={(o) => change(i, withOperator(m, o))} />
                <AutoComplete aria-label={t('silence.value')} placeholder={t('silence.value')} value={m.value} options={values(m.name).map((v) => ({ value: v }))} filterOption={(text, o) => String(o?.value).includes(text)} onChange={(value: string) => change(i, { ...m, value })} />
                <button type="button" className="plain x" aria-label={t('do.remove', { x: m.name || t('silence.name') })} onClick={() => setMatchers((all) => (all.length > 1 ? all.filter((_, k) => k !== i) : [EMPTY]))}>
                  ✕
                </button>
              </div>
            ))}
            <Button size="small" type="dashed" onClick={() => setMatchers((all) => [...all, EMPTY])}>
              + {t('silence.add')}
            </Button>
          </fieldset>
          <div>
            <div className="dim">{t('silence.length')}</div>
            <span className="row wrap" role="group" aria-label={t('silence.length')} style={{ gap: 4 }}>
              {LENGTHS.map((l) => (
                <button key={l} type="button" className="plain toggle" aria-pressed={length === l} onClick={() => setLength(l)}>
                  {t(`silence.for.${l}`)}
                </button>
              ))}
              <button type="button" className="plain toggle" aria-pressed={!length} onClick={() => setLength('')}>
                {t('silence.until')}…
              </button>
            </span>
          </div>
          <div className="two">
            <label>
              <span className="dim">{t('silence.from')}</span>
              <input type="datetime-local" className="when" aria-label={t('silence.from')} value={from} onChange={(e) => setFrom(e.target.value)} />
              {!from && <span className="faint">{t('silence.fromNow')}</span>}
            </label>
            {!length && (
              <label>
                <span className="dim">{t('silence.until')}</span>
                <input type="datetime-local" className="when" aria-label={t('silence.until')} value={until} onChange={(e) => setUntil(e.target.value)} />
              </label>
            )}
          </div>
          {tenants.length > 1 && (
            <label htmlFor={`${id}-tenants`}>
              <span className="dim">{t('silence.tenants')}</span>
              <Select id={`${id}-tenants`} mode="multiple" allowClear placeholder={t('silence.myTenants')} value={whose} onChange={setWhose} optionFilterProp="label" options={tenants.map((x) => ({ value: x.slug, label: tx(x.name) || x.slug }))} style={{ width: '100%' }} />
            </label>
          )}
          <label htmlFor={`${id}-comment`}>
            <span className="dim">{t('silence.comment')}</span>
            <Input id={`${id}-comment`} placeholder={t('silence.commentWhy')} value={comment} maxLength={1000} onChange={(e) => setComment(e.target.value)} />
          </label>
        </div>
        <section className="panel" data-testid="silence-preview" style={{ maxHeight: 420, overflow: 'auto' }} aria-live="polite">
          <header>
            <h2>{t('silence.preview')}</h2>
          </header>
          <div className="body">
            {!ready ? (
              <span className="dim">{t('silence.incomplete')}</span>
            ) : preview.error ? (
              <Failed small error={preview.error} what="silence.preview" />
            ) : !found ? (
              <b className="faint">…</b>
            ) : (
              <>
                <b>{found.total > 0 ? t('silence.previewN', { n: found.total }) : t('silence.previewNone')}</b>
                <ul className="plainlist">
                  {list(found.items).map((a) => (
                    <li key={a.id} className="row">
                      <SeverityMark level={a.severity} word={false} />
                      <span className="grow ellipsis" title={tx(a.title)}>
                        {tx(a.title)}
                      </span>
                      <span className="faint">
                        <When time={a.last_seen} age />
                      </span>
                    </li>
                  ))}
                </ul>
                {found.total > list(found.items).length && <span className="faint">{t('silence.previewMore', { n: found.total - list(found.items).length })}</span>}
              </>
            )}
          </div>
        </section>
      </div>
    </Modal>
  );
}

/** What a label may say: of the alert at hand and of the alerts open now. */
function useLabelValues(alert?: Alert): (name: string) => string[] {
  const recent = useQuery({ queryKey: ['alerts', 'labels'], queryFn: ({ signal }) => get<{ items: Alert[] }>('/alerts', { limit: 200, status: 'open,acknowledged' }, signal), staleTime: 60_000 }).data;
  return (name) => [...new Set([alert, ...list(recent?.items)].map((a) => a?.labels?.[name]).filter((v): v is string => !!v))].slice(0, 100);
}
