import { useQuery } from '@tanstack/react-query';
import { Link } from 'react-router-dom';
import { get } from '../../api/client';
import { list, type List, type Page } from '../../api/types';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { Panel } from '../page';
import { Empty, Loaded } from '../states';

interface Conclusions {
  rule: string;
  /** All of them, open ones too. */
  alerts: number;
  true_positive: number;
  false_positive: number;
  benign: number;
  test: number;
  /** Duplicates, and those that recovered by themselves. */
  others: number;
  /** Share of true ones among those judged true, false or benign. */
  precision: number;
  weeks?: List<{ from: string; true_positive: number; false_positive: number }>;
}

const KINDS = ['true_positive', 'false_positive', 'benign', 'test'] as const;
const SINCE = '90d';

/** How the alerts of a rule ended, so that one that cries wolf is mended. */
export function RuleConclusions({ rule }: { rule: string }) {
  const { t, locale } = useSettings();
  const query = useQuery({ queryKey: ['alerts', 'conclusions', rule], queryFn: ({ signal }) => get<Page<Conclusions>>('/conclusions', { rule, since: SINCE }, signal) });
  return (
    <Panel title={t('concluded.title')} id="conclusions" end={<span className="dim">{t('range.90d')}</span>}>
      <Loaded query={query} what="concluded.title" lines={3} small>
        {(d) => {
          const c = list(d.items)[0];
          const judged = c ? KINDS.reduce((n, k) => n + c[k], 0) : 0;
          if (!c || judged === 0) return <Empty small title={t('concluded.none')} why={t('concluded.noneWhy', { n: c?.alerts ?? 0 })} />;
          const weeks = list(c.weeks);
          const most = Math.max(1, ...weeks.map((w) => w.true_positive + w.false_positive));
          return (
            <>
              <div className="row" style={{ alignItems: 'baseline', gap: 8 }}>
                <b style={{ fontSize: 20 }} data-testid="precision">
                  {Math.round(c.precision * 100)}%
                </b>
                <span className="dim" title={t('concluded.precisionWhy')}>
                  {t('concluded.precision')}
                </span>
                <span className="dim" style={{ marginLeft: 'auto' }}>
                  {t('concluded.of', { n: judged, m: c.alerts })}
                </span>
              </div>
              <dl className="facts" style={{ paddingTop: 6 }}>
                {KINDS.map((k) => (
                  <div key={k} style={{ display: 'contents' }}>
                    <dt>{t(`resolution.${k}`)}</dt>
                    <dd className="row">
                      <span className="daybar" style={{ flex: 1 }} aria-hidden>
                        <i style={{ width: `${(100 * c[k]) / judged}%`, background: k === 'false_positive' ? 'var(--medium)' : k === 'true_positive' ? 'var(--accent)' : 'var(--faint)' }} />
                      </span>
                      <Link className="num" to={`/alerts?${new URLSearchParams({ rule, status: 'closed', since: SINCE })}`}>
                        {number(c[k], locale)} · {Math.round((100 * c[k]) / judged)}%
                      </Link>
                    </dd>
                  </div>
                ))}
              </dl>
              {weeks.length > 1 && (
                <div className="row" style={{ alignItems: 'end', height: 44, gap: 3, marginTop: 8 }} role="img" aria-label={t('concluded.weeks')} title={t('concluded.weeks')}>
                  {weeks.map((w) => (
                    <span key={w.from} title={`${w.from.slice(0, 10)}: ${w.true_positive} / ${w.false_positive}`} style={{ flex: 1, display: 'flex', flexDirection: 'column', justifyContent: 'end', height: '100%' }}>
                      <i style={{ height: `${(100 * w.false_positive) / most}%`, background: 'var(--medium)' }} />
                      <i style={{ height: `${(100 * w.true_positive) / most}%`, background: 'var(--accent)' }} />
                    </span>
                  ))}
                </div>
              )}
            </>
          );
        }}
      </Loaded>
    </Panel>
  );
}
