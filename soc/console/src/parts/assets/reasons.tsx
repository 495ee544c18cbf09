import type { RiskDetail } from '../../api/risk';
import { list } from '../../api/types';
import { useSettings } from '../../app/settings';
import { Lines } from '../charts';

const DAY = 86_400_000;

/** How a score comes about: its parts with their reasons, its weight, its peers, its trend. */
export function Reasons({ of: r }: { of: RiskDetail }) {
  const { t, tx } = useSettings();
  const trend = list(r.trend);
  const scored = trend.filter((d) => d.score >= 0);
  const words = list(r.result.words);
  return (
    <div className="stack" style={{ gap: 14 }}>
      <div className="riskparts">
        {list(r.result.parts).map((p) => (
          <section key={p.name}>
            <b>{t(`risk.part.${p.name}`)}</b>
            <span className="track" aria-hidden="true">
              <i style={{ width: `${(p.points / p.most) * 100}%` }} />
            </span>
            <span className="num nowrap">{t('risk.points', { n: p.points, m: p.most })}</span>
            <ul>
              {list(p.reasons).map((x, n) => (
                <li key={n}>{tx(x)}</li>
              ))}
            </ul>
          </section>
        ))}
        <section>
          <b>{t('risk.importance')}</b>
          <span />
          <span className="num">× {r.result.importance}</span>
          <ul>
            {list(r.result.matters).map((x, n) => (
              <li key={n}>{tx(x)}</li>
            ))}
          </ul>
        </section>
      </div>
      <div>
        <h3 className="under">{t('risk.peers')}</h3>
        {r.peers.count > 1 ? t('risk.rank', { n: r.peers.count, x: r.peers.rank, y: r.peers.mean, z: r.peers.median }) : <span className="dim">{t('risk.alone')}</span>}
      </div>
      {words.length > 0 && (
        <div>
          <h3 className="under">{t('risk.words')}</h3>
          <div className="row wrap" style={{ gap: '2px 10px', alignItems: 'baseline' }}>
            {words.map((w) => (
              <span key={w.name.en} style={{ fontSize: 12 + 10 * Math.min(1, w.weight) }}>
                {tx(w.name)} <span className="faint num">{w.alerts}</span>
              </span>
            ))}
          </div>
        </div>
      )}
      <div>
        <h3 className="under">{t('risk.trend')}</h3>
        {scored.length > 1 ? (
          <Lines
            label={t('risk.trend')}
            height={140}
            bounds={[Date.parse(trend[0]?.day ?? ''), Date.parse(trend[trend.length - 1]?.day ?? '') + DAY]}
            data={{ times: trend.map((d) => Date.parse(d.day)), lines: [{ name: t('risk.score'), values: trend.map((d) => (d.score >= 0 ? d.score : null)) }] }}
          />
        ) : (
          <span className="dim">{t('risk.trendSoon')}</span>
        )}
      </div>
    </div>
  );
}
