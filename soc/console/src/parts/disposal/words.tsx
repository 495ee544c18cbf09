import type { DisposalRule, Hours, RuleOutcome } from '../../api/dispatch';
import { list } from '../../api/types';
import { useSettings } from '../../app/settings';
import { joined } from '../../logic/format';
import { overnight } from '../../logic/dispatch';
import { useTenantName } from '../names';

/** The days of the week, Monday first. */
export const WEEK = ['MO', 'TU', 'WE', 'TH', 'FR', 'SA', 'SU'] as const;

/** When a rule is in force, in words. */
export function useHours(): (h: Hours) => string {
  const { t, locale } = useSettings();
  return (h) => {
    const days = list(h.days);
    const on = days.length === 0 ? t('drule.daily') : joined(days.map((d) => t(`repeat.day.${WEEK[d - 1] as 'MO'}`)), locale);
    return h.from === h.to ? t('drule.allDay', { x: on }) : `${on} ${h.from}–${overnight(h) ? t('drule.nextDay', { x: h.to }) : h.to}`;
  };
}

/** What has to hold for a rule, as tags. */
export function Conditions({ rule: r }: { rule: DisposalRule }) {
  const { t } = useSettings();
  const tenantName = useTenantName();
  const hours = useHours();
  const tags = [
    ...list(r.severities).map((s) => t(`sev.${s as 'high'}`)),
    ...list(r.priorities),
    ...list(r.tenants).map(tenantName),
    ...list(r.times).map(hours),
  ];
  const matchers = list(r.matchers);
  if (tags.length + matchers.length === 0) return <span className="dim">{t(r.on === 'alert' ? 'drule.allAlerts' : 'drule.allIncidents')}</span>;
  return (
    <span className="tags">
      {tags.map((x, i) => (
        <span className="tag" key={i}>
          {x}
        </span>
      ))}
      {matchers.map((m) => (
        <span className="tag mono" key={m}>
          {m}
        </span>
      ))}
    </span>
  );
}

/** What a rule does, a line each. */
export function Actions({ rule: r, target }: { rule: DisposalRule; target: (id: string) => string }) {
  const { t, locale } = useSettings();
  const lines: string[] = [];
  if (r.assign) lines.push(t(`drule.do.assign.${r.assign.to}`, { x: r.assign.to === 'on_duty' ? (r.assign.team ?? '') : (r.assign.user ?? '') }));
  if (r.work_order) lines.push(t('drule.do.order', { x: target(r.work_order) }));
  if (r.notice) lines.push(t('drule.do.notice'));
  if (r.tell) lines.push(t('drule.do.tell', { x: joined(list(r.tell.receivers), locale) }));
  if (r.escalate) lines.push(t('drule.do.escalate', { n: r.escalate.after_minutes, x: joined([r.escalate.user ?? '', ...list(r.escalate.receivers)].filter(Boolean), locale) }));
  if (r.close) lines.push(t('drule.do.close', { x: t(`resolution.${r.close.resolution}`), y: r.close.comment }));
  return (
    <>
      {lines.map((x) => (
        <div key={x}>{x}</div>
      ))}
      {r.last && <div className="faint">{t('drule.stops')}</div>}
    </>
  );
}

/** What came of one action. */
export function Outcome({ outcome: o }: { outcome: RuleOutcome }) {
  const { t } = useSettings();
  return (
    <span className={o.error ? 'tag bad' : 'tag'} title={o.error}>
      <i className={`dot ${o.error ? 'error' : 'ok'}`} />
      <span className="ellipsis">
        {t(`drule.did.${o.action}`)} {o.to}
        {o.error && ` · ${o.error}`}
      </span>
    </span>
  );
}
