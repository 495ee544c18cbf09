import { useQuery } from '@tanstack/react-query';
import { Button, Checkbox, Input, InputNumber, Modal, Select, Switch } from 'antd';
import { useId, useState, type ReactNode } from 'react';
import { Link } from 'react-router-dom';
import { get, post, put } from '../../api/client';
import type { DisposalContent, DisposalRule, Hours, OrderTarget, RuleMatch } from '../../api/dispatch';
import type { Team } from '../../api/duty';
import { useTenants } from '../../api/queries';
import { RESOLUTIONS, SEVERITIES, list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettled } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { contentOf, lacking, matcherOf, overnight, quotedMatcher } from '../../logic/dispatch';
import { whole } from '../../logic/silence';
import { Refused } from '../dialog';
import { UserPicker } from '../pickers';
import { ReceiversPicker } from '../receivers';
import { SeverityMark } from '../severity';
import { EMPTY, Matchers } from '../silences/matchers';
import { Failed } from '../states';
import { When } from '../time';
import { WEEK } from './words';

const FRESH: DisposalContent = { name: '', enabled: true, on: 'incident', zone: 'Asia/Shanghai' };
const PRIORITIES = ['P1', 'P2', 'P3', 'P4'];
const DAYS = [1, 2, 3, 4, 5, 6, 7] as const;

/** Makes or changes a disposal rule, showing meanwhile which of the latest alerts or incidents it would have matched. */
export function DisposalForm({ rule, close }: { /** The one to be changed. */ rule?: DisposalRule; close: () => void }) {
  const { t, tx } = useSettings();
  const { tell } = useAct();
  const id = useId();
  const tenants = useTenants().data ?? [];
  const [v, setV] = useState<DisposalContent>(rule ? contentOf(rule) : FRESH);
  const read = list(rule?.matchers).map(matcherOf);
  // A matcher that this form cannot show stays as it is written.
  const kept = list(rule?.matchers).filter((_, i) => !read[i]);
  const [matchers, setMatchers] = useState(() => {
    const known = read.filter((m) => m !== undefined);
    return known.length > 0 ? known : [EMPTY];
  });
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const set = (part: Partial<DisposalContent>) => setV({ ...v, ...part });
  const untouched = matchers.every((m) => m.name === '' && m.value === '');
  const body = contentOf({ ...v, matchers: [...kept, ...(untouched ? [] : matchers.filter(whole).map(quotedMatcher))] });
  const half = !untouched && !matchers.every(whole);
  const lacks = lacking(body);
  // The preview looks at the conditions; what the rule does is not asked for yet.
  const now = JSON.stringify({ ...body, name: body.name || '-', assign: undefined, tell: undefined, work_order: undefined, escalate: undefined, close: undefined, notice: true });
  const asked = useSettled(now, 400);
  const preview = useQuery({ queryKey: ['disposal-preview', asked], enabled: !half, retry: false, queryFn: () => post<Page<RuleMatch>>('/disposal-rules/preview', JSON.parse(asked)) });
  const found = !half && asked === now ? preview.data : undefined;
  const targets = useQuery({ queryKey: ['work-order-targets'], queryFn: ({ signal }) => get<Page<OrderTarget>>('/work-order-targets', {}, signal), staleTime: 60_000 });
  const teams = useQuery({ queryKey: ['duty', 'teams'], queryFn: ({ signal }) => get<Page<Team>>('/duty/teams', {}, signal), staleTime: 60_000 });
  const send = async () => {
    setBusy(true);
    setError(null);
    try {
      if (rule) await put(`/disposal-rules/${encodeURIComponent(rule.id)}`, { ...body, revision: rule.revision });
      else await post('/disposal-rules', body);
      tell({ said: t('drule.saved', { x: body.name }), renew: ['disposal-rules'] });
      close();
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  const times = list(v.times);
  const hours = (i: number, part: Partial<Hours>) => set({ times: times.map((h, k) => (k === i ? { ...h, ...part } : h)) });
  const pick = (values: readonly string[], chosen: readonly string[], change: (x: string[]) => void, show: (x: string) => ReactNode, label: string) => (
    <div className="labelled">
      <span className="dim">{label}</span>
      <span className="row wrap" role="group" aria-label={label} style={{ gap: 4 }}>
        {values.map((x) => (
          <button key={x} type="button" className="plain toggle" aria-pressed={chosen.includes(x)} onClick={() => change(chosen.includes(x) ? chosen.filter((y) => y !== x) : [...chosen, x])}>
            {show(x)}
          </button>
        ))}
      </span>
    </div>
  );
  return (
    <Modal open width={1040} title={rule ? t('drule.edit', { x: rule.name }) : t('drule.new')} okText={t('do.save')} okButtonProps={{ disabled: !!lacks || half }} confirmLoading={busy} cancelText={t('do.cancel')} maskClosable={false} onCancel={close} onOk={() => void send()}>
      <Refused error={error} />
      <div className="halves" style={{ paddingTop: 6 }}>
        <div className="stack">
          <label className="labelled">
            <span className="dim">{t('inhibit.name')}</span>
            <Input autoFocus maxLength={120} placeholder={t('drule.nameHint')} value={v.name} onChange={(e) => set({ name: e.target.value })} />
          </label>
          <h3 className="under">{t('drule.when')}</h3>
          {pick(['incident', 'alert'], [v.on], (x) => set({ on: (x.find((y) => y !== v.on) ?? v.on) as 'incident' }), (x) => t(`drule.on.${x as 'alert'}`), t('drule.on'))}
          {pick(SEVERITIES, list(v.severities), (severities) => set({ severities }), (x) => <SeverityMark level={x as 'high'} />, t('col.severity'))}
          {pick(PRIORITIES, list(v.priorities), (priorities) => set({ priorities }), (x) => x, t('col.priority'))}
          {tenants.length > 1 && (
            <label className="labelled" htmlFor={`${id}-tenants`}>
              <span className="dim">{t('silence.tenants')}</span>
              <Select id={`${id}-tenants`} mode="multiple" allowClear placeholder={t('silence.allTenants')} value={list(v.tenants)} onChange={(x: string[]) => set({ tenants: x })} optionFilterProp="label" options={tenants.map((x) => ({ value: x.slug, label: tx(x.name) || x.slug }))} style={{ width: '100%' }} />
            </label>
          )}
          <Matchers title={t('drule.matchers')} why={v.on === 'incident' ? t('drule.matchersIncident') : t('drule.matchersAlert')} matchers={matchers} set={setMatchers} />
          {kept.length > 0 && (
            <div className="faint">
              {t('drule.kept')} <code>{kept.join(' , ')}</code>
            </div>
          )}
          <fieldset className="matchers">
            <legend>
              {t('drule.times')} <span className="faint">{t('drule.timesWhy')}</span>
            </legend>
            {times.map((h, i) => (
              <div key={i} className="stack" style={{ gap: 4 }}>
                <span className="row wrap" style={{ gap: 4 }}>
                  {DAYS.map((d) => (
                    <button key={d} type="button" className="plain toggle" aria-pressed={list(h.days).includes(d)} onClick={() => hours(i, { days: list(h.days).includes(d) ? list(h.days).filter((x) => x !== d) : [...list(h.days), d].sort() })}>
                      {t(`repeat.day.${WEEK[d - 1] as 'MO'}`)}
                    </button>
                  ))}
                </span>
                <span className="row">
                  <input type="time" aria-label={t('drule.from')} value={h.from} onChange={(e) => hours(i, { from: e.target.value })} />–
                  <input type="time" aria-label={t('drule.to')} value={h.to} onChange={(e) => hours(i, { to: e.target.value })} />
                  {overnight(h) && <span className="faint">{t('drule.overnight')}</span>}
                  <button type="button" className="plain x" aria-label={t('do.remove', { x: `${h.from}–${h.to}` })} onClick={() => set({ times: times.filter((_, k) => k !== i) })}>
                    ✕
                  </button>
                </span>
              </div>
            ))}
            <Button size="small" type="dashed" onClick={() => set({ times: [...times, { days: [], from: '18:00', to: '08:30' }] })}>
              + {t('drule.addTime')}
            </Button>
          </fieldset>
        </div>
        <div className="stack">
          <h3 className="under">{t('drule.what')}</h3>
          <Action label={t('drule.assign')} on={!!v.assign} turn={(on) => set({ assign: on ? { to: 'on_duty' } : undefined })}>
            {v.assign && (
              <>
                <div className="row">
                  <Select aria-label={t('drule.assignTo')} style={{ width: 150 }} value={v.assign.to} onChange={(to) => set({ assign: { ...v.assign, to } })} options={(['on_duty', 'owner', 'user'] as const).map((x) => ({ value: x, label: t(`drule.to.${x}`) }))} />
                  {v.assign.to === 'on_duty' && (
                    <Select aria-label={t('drule.team')} className="grow" showSearch optionFilterProp="label" placeholder={t('drule.team')} value={v.assign.team} onChange={(team: string) => set({ assign: { ...v.assign, to: 'on_duty', team } })} options={list(teams.data?.items).map((x) => ({ value: x.id, label: tx(x.name) || x.id }))} notFoundContent={<Link to="/duty/calendar">{t('drule.noTeams')}</Link>} />
                  )}
                </div>
                <UserPicker by="username" placeholder={t(v.assign.to === 'user' ? 'drule.user' : 'drule.fallback')} value={v.assign.user} onChange={(user) => set({ assign: { to: 'user', ...v.assign, user } })} />
                <Checkbox checked={!!v.assign.anew} onChange={(e) => set({ assign: { to: 'user', ...v.assign, anew: e.target.checked } })}>
                  {t('drule.anew')}
                </Checkbox>
              </>
            )}
          </Action>
          <Action label={t('drule.order')} on={v.work_order !== undefined} turn={(on) => set({ work_order: on ? (list(targets.data?.items)[0]?.id ?? '') : undefined })}>
            {v.work_order !== undefined &&
              (list(targets.data?.items).length === 0 ? (
                <span className="faint">
                  {t('order.noSystem')} <Link to="/orders/connections?new=1">{t('order.connect')}</Link>
                </span>
              ) : (
                <Select aria-label={t('order.system')} value={v.work_order || undefined} onChange={(work_order: string) => set({ work_order })} options={list(targets.data?.items).map((x) => ({ value: x.id, label: x.name }))} style={{ width: '100%' }} />
              ))}
          </Action>
          <Action label={t('drule.notice')} on={!!v.notice} turn={(notice) => set({ notice: notice || undefined })} />
          <Action label={t('drule.tell')} on={!!v.tell} turn={(on) => set({ tell: on ? { receivers: [] } : undefined })}>
            {v.tell && (
              <>
                <ReceiversPicker label={t('notify.receivers')} value={list(v.tell.receivers)} onChange={(receivers) => set({ tell: { ...v.tell, receivers } })} />
                <Checkbox checked={!!v.tell.recovery} onChange={(e) => set({ tell: { receivers: [], ...v.tell, recovery: e.target.checked } })}>
                  {t('drule.recovery')}
                </Checkbox>
              </>
            )}
          </Action>
          <Action label={t('drule.escalate')} on={!!v.escalate} turn={(on) => set({ escalate: on ? { after_minutes: 15 } : undefined })}>
            {v.escalate && (
              <>
                <div className="row">
                  <InputNumber aria-label={t('drule.after')} min={1} max={10_080} value={v.escalate.after_minutes} onChange={(n) => set({ escalate: { ...v.escalate, after_minutes: n ?? 15 } })} />
                  <span className="dim">{t('drule.afterWhy')}</span>
                </div>
                <UserPicker by="username" placeholder={t('drule.escalateUser')} value={v.escalate.user} onChange={(user) => set({ escalate: { after_minutes: 15, ...v.escalate, user } })} />
                <ReceiversPicker label={t('drule.escalateTell')} value={list(v.escalate.receivers)} onChange={(receivers) => set({ escalate: { after_minutes: 15, ...v.escalate, receivers } })} />
              </>
            )}
          </Action>
          <Action label={t('drule.close')} on={!!v.close} turn={(on) => set({ close: on ? { resolution: 'false_positive', comment: '' } : undefined })}>
            {v.close && (
              <>
                <Select aria-label={t('act.resolution')} value={v.close.resolution} onChange={(resolution) => set({ close: { comment: '', ...v.close, resolution } })} options={RESOLUTIONS.map((x) => ({ value: x, label: t(`resolution.${x}`) }))} style={{ width: '100%' }} />
                <Input aria-label={t('drule.closeWhy')} placeholder={t('drule.closeWhy')} maxLength={1000} value={v.close.comment} onChange={(e) => set({ close: { resolution: 'false_positive', ...v.close, comment: e.target.value } })} />
                <span className="faint">{t('drule.closeNote')}</span>
              </>
            )}
          </Action>
          <Checkbox checked={!!v.last} onChange={(e) => set({ last: e.target.checked })}>
            {t('drule.last')}
          </Checkbox>
          {lacks && <div className="faint">{t(`drule.lacks.${lacks}`)}</div>}
          <section className="panel" data-testid="disposal-preview" style={{ maxHeight: 260, overflow: 'auto' }} aria-live="polite">
            <header>
              <h2>{t(v.on === 'alert' ? 'drule.previewAlerts' : 'drule.previewIncidents')}</h2>
            </header>
            <div className="body">
              {half ? (
                <span className="dim">{t('drule.half')}</span>
              ) : preview.error ? (
                <Failed small error={preview.error} what="silence.preview" />
              ) : !found ? (
                <b className="faint">…</b>
              ) : list(found.items).length === 0 ? (
                <span className="dim">{t('drule.previewNone')}</span>
              ) : (
                <>
                  <b>{t('drule.previewN', { n: list(found.items).length })}</b>
                  <ul className="plainlist">
                    {list(found.items)
                      .slice(0, 30)
                      .map((m) => (
                        <li key={m.id} className="row">
                          <SeverityMark level={m.severity} word={false} />
                          <Link className="grow ellipsis" target="_blank" to={`/${m.kind}s/${encodeURIComponent(m.id)}`} title={m.title}>
                            {m.title || m.id}
                          </Link>
                          <span className="faint">
                            <When time={m.opened_at} />
                          </span>
                        </li>
                      ))}
                  </ul>
                </>
              )}
            </div>
          </section>
        </div>
      </div>
    </Modal>
  );
}

function Action({ label, on, turn, children }: { label: string; on: boolean; turn: (on: boolean) => void; children?: ReactNode }) {
  return (
    <div className="stack" style={{ gap: 6 }}>
      <label className="row">
        <Switch size="small" checked={on} onChange={turn} aria-label={label} /> {label}
      </label>
      {children && <div className="stack indented">{children}</div>}
    </div>
  );
}
