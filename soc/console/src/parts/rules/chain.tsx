import { Link as To } from 'react-router-dom';
import { useSettings } from '../../app/settings';
import { MOST, type Chain as Layout, type Link } from '../../logic/sigma/chain';

const WIDTH = 190;
const HEIGHT = 44;
const ACROSS = 46;
const DOWN = 10;
const x = (column: number) => column * (WIDTH + ACROSS);
const y = (row: number) => row * (HEIGHT + DOWN);

/** Which rules feed which, from left to right. */
export function ChainPicture({ chain }: { chain: Layout }) {
  const { t, locale } = useSettings();
  const title = (n: Link) => (locale === 'zh-CN' && n.titleZh) || n.title || t('chain.new');
  const at = new Map(chain.nodes.map((n) => [n.key, n]));
  return (
    <div className="rulechain" data-testid="chain" tabIndex={0} role="region" aria-label={t('chain.title')}>
      <div className="chainbox" style={{ width: x(chain.columns) - ACROSS, height: y(chain.rows) - DOWN }}>
        <svg width={x(chain.columns) - ACROSS} height={y(chain.rows) - DOWN} aria-hidden="true">
          {chain.edges.map(([from, to]) => {
            const [a, b] = [at.get(from), at.get(to)];
            if (!a || !b) return null;
            const [x1, y1, x2, y2] = [x(a.column) + WIDTH, y(a.row) + HEIGHT / 2, x(b.column), y(b.row) + HEIGHT / 2];
            const bend = Math.max(20, (x2 - x1) / 2);
            return (
              <g key={`${from} ${to}`} className={a.here || b.here ? 'on' : undefined}>
                <path d={`M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2 - 5} ${y2}`} />
                <path className="head" d={`M${x2} ${y2} l-7 -4 v8 z`} />
              </g>
            );
          })}
        </svg>
        {chain.nodes.map((n) => {
          const kind = n.kind === 'missing' ? t('chain.missing') : n.off ? t('corr.off') : n.kind === 'correlation' ? t('alert.correlation') : t('alert.sigma');
          const inside = (
            <>
              <b className="ellipsis">{title(n)}</b>
              <span className="faint">{kind}</span>
            </>
          );
          const place = { left: x(n.column), top: y(n.row), width: WIDTH, height: HEIGHT };
          const look = `chainnode ${n.kind}${n.here ? ' here' : ''}`;
          return n.id && !n.here ? (
            <To key={n.key} className={look} style={place} to={`/rules/${encodeURIComponent(n.id)}`} title={title(n)}>
              {inside}
            </To>
          ) : (
            <div key={n.key} className={look} style={place} title={title(n)} aria-current={n.here || undefined}>
              {inside}
            </div>
          );
        })}
      </div>
      <ul className="visually-hidden">
        {chain.edges.map(([from, to]) => {
          const [a, b] = [at.get(from), at.get(to)];
          return a && b && <li key={`${from} ${to}`}>{t('chain.feeds', { a: title(a), b: title(b) })}</li>;
        })}
      </ul>
      {chain.cut && <div className="hint">{t('chain.cut', { n: MOST })}</div>}
    </div>
  );
}
