import { useQuery } from '@tanstack/react-query';
import { AutoComplete, Checkbox, Input, Modal, Select } from 'antd';
import { useId, useState } from 'react';
import { get, post, put, serverNow } from '../../api/client';
import type { ContactPoint } from '../../api/notify';
import { useCan, useTenants } from '../../api/queries';
import type { Matcher, Silence, SilencePreview } from '../../api/silences';
import { list, type Alert, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettled } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { localInput, localTime } from '../../logic/access';
import { absolute } from '../../logic/format';
import { zoneName } from '../../logic/zone';
import { repeatOf, repeats, ruleOf } from '../../logic/recurrence';
import { LENGTHS, LONG_LENGTHS, whole } from '../../logic/silence';
import { durationMs } from '../../logic/urlstate';
import { Refused } from '../dialog';
import { Found } from './found';
import { EMPTY, Matchers } from './matchers';
import { RepeatFields } from './repeat';

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
  const [repeat, setRepeatOnly] = useState(() => repeatOf(silence?.recurrence?.rule));
  const [minutes, setMinutes] = useState(Math.round((silence?.recurrence?.seconds ?? 7200) / 60));
  const [noData, setNoData] = useState(silence?.no_data ?? false);
  const [owner, setOwner] = useState(silence?.owner ?? '');
  const [receiver, setReceiver] = useState(silence?.receiver ?? '');
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const again = repeat.kind !== 'once';
  const setRepeat = (r: typeof repeat) => {
    // What recurs goes on for months, what is once for hours.
    if ((r.kind !== 'once') !== again && length) setLength(r.kind === 'once' ? '4h' : '90d');
    setRepeatOnly(r);
  };
  const zone = silence?.recurrence?.zone ?? zoneName();
  const recurrence = again ? { rule: ruleOf(repeat), seconds: minutes * 60, zone } : undefined;
  const ready = matchers.length > 0 && matchers.every(whole) && (!again || repeats(repeat));
  const starts = from ? (localTime(from) ?? undefined) : silence?.state === 'active' ? silence.starts_at : undefined;
  const now = JSON.stringify({ matchers: matchers.filter(whole), ...(whose.length > 0 ? { tenants: whose } : {}), ...(recurrence && repeats(repeat) ? { starts_at: starts, ends_at: length ? undefined : (localTime(until) ?? undefined), recurrence } : {}) });
  const asked = useSettled(now, 250);
  const preview = useQuery({
    queryKey: ['silence-preview', asked],
    enabled: ready,
    queryFn: () => post<SilencePreview>('/silences/preview', JSON.parse(asked)),
    retry: false,
  });
  const can = useCan();
  const contacts = useQuery({ queryKey: ['contacts'], enabled: can('list-contact-points'), queryFn: ({ signal }) => get<Page<ContactPoint>>('/contact-points', {}, signal) });
  const begin = () => (from ? (localTime(from) as string) : new Date(serverNow()).toISOString());
  const ends = () => (length ? new Date(Date.parse(begin()) + durationMs(length)).toISOString() : localTime(until));
  const send = async () => {
    setBusy(true);
    setError(null);
    const body = { matchers, comment: comment.trim(), starts_at: starts, ends_at: ends(), recurrence, no_data: noData, owner: owner.trim(), receiver, ...(whose.length > 0 ? { tenants: whose } : {}) };
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
          <Matchers title={t('silence.matchers')} why={t('silence.matchersWhy')} matchers={matchers} set={setMatchers} alert={alert} />
          <RepeatFields repeat={repeat} set={setRepeat} minutes={minutes} setMinutes={setMinutes} />
          <div>
            <div className="dim">{t(again ? 'repeat.until' : 'silence.length')}</div>
            <span className="row wrap" role="group" aria-label={t('silence.length')} style={{ gap: 4 }}>
              {(again ? LONG_LENGTHS : LENGTHS).map((l) => (
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
              <span className="dim">{t(again ? 'repeat.first' : 'silence.from')}</span>
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
          <div className="two">
            <label htmlFor={`${id}-owner`}>
              <span className="dim">{t('silence.owner')}</span>
              <Input id={`${id}-owner`} placeholder={t('silence.ownerWhy')} value={owner} maxLength={500} onChange={(e) => setOwner(e.target.value)} />
            </label>
            <label htmlFor={`${id}-receiver`}>
              <span className="dim">{t('silence.receiver')}</span>
              <AutoComplete id={`${id}-receiver`} allowClear placeholder={t('silence.receiverNone')} value={receiver} onChange={(v: string | undefined) => setReceiver(v ?? '')} options={list(contacts.data?.items).map((c) => ({ value: c.name }))} style={{ width: '100%' }} />
            </label>
          </div>
          <Checkbox checked={noData} onChange={(e) => setNoData(e.target.checked)}>
            {t('silence.noData')} <span className="faint">{t('silence.noDataWhy')}</span>
          </Checkbox>
        </div>
        <Found title={t('silence.preview')} ready={ready} incomplete={t('silence.incomplete')} error={preview.error} found={found}>
          {found && found.week > 0 && <div className="dim">{t(again ? 'silence.weekMuted' : 'silence.week', { n: found.week, m: found.muted })}</div>}
          {list(found?.times).length > 0 && (
            <div data-testid="silence-times">
              <div className="dim">{t('repeat.next')}</div>
              <ol className="plainlist">
                {list(found?.times).map(([a, b]) => (
                  <li key={a} className="num" style={{ textAlign: 'left' }}>
                    {absolute(a)} – {absolute(b)}
                  </li>
                ))}
              </ol>
            </div>
          )}
        </Found>
      </div>
    </Modal>
  );
}
