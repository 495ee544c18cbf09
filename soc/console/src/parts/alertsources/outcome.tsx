import type { Sampled } from '../../api/alertsources';
import { list } from '../../api/types';
import { useSettings } from '../../app/settings';
import { SeverityMark } from '../severity';
import { When } from '../time';
import type { Severity } from '../../api/types';

/** What would become of one message. */
export function Outcome({ of: x }: { of: Sampled }) {
  const { t, tx } = useSettings();
  const alerts = list(x.alerts);
  const placed = list(x.placed);
  return (
    <section className="stack" style={{ gap: 8 }}>
      <pre className="faint" style={{ maxHeight: 72, overflow: 'auto', margin: 0, whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}>{x.body.slice(0, 2000)}</pre>
      {[x.error, ...list(x.failed)].filter(Boolean).map((why) => (
        <div key={why} role="alert" style={{ color: 'var(--medium)', overflowWrap: 'anywhere' }}>
          {why}
        </div>
      ))}
      {list(x.discarded).map((why) => (
        <div key={why} className="dim">
          {why}
        </div>
      ))}
      {alerts.length === 0 && !x.error && list(x.failed).length === 0 && list(x.discarded).length === 0 && <span className="dim">{t('asource.previewNone')}</span>}
      {alerts.slice(0, 20).map((a, i) => {
        const at = placed[i];
        const item = at?.fields['icewatch.ci.name'];
        return (
          <div key={i} className="notice" data-testid="mapped">
            <div className="row wrap">
              <SeverityMark level={a.severity as Severity} />
              <b>{tx(a.title) || a.name}</b>
              <span className="faint">{t(a.status === 'firing' ? 'asource.firing' : 'asource.resolved')}</span>
              <When time={a.starts_at} />
            </div>
            {a.description && <div style={{ overflowWrap: 'anywhere' }}>{tx(a.description)}</div>}
            <dl className="facts">
              <dt>{t('asource.item')}</dt>
              <dd>
                {item ? item : <span className="faint">{t('asource.noItem')}</span>} {at && <span className="faint">{at.tenant}</span>}
              </dd>
              {Object.entries({ fingerprint: a.fingerprint, name: a.name, ...a.fields }).map(([k, v]) => (
                <FieldRow key={k} name={k} value={v} />
              ))}
              {Object.entries(a.labels).map(([k, v]) => (
                <FieldRow key={`labels.${k}`} name={`labels.${k}`} value={v} />
              ))}
            </dl>
          </div>
        );
      })}
    </section>
  );
}

function FieldRow({ name, value }: { name: string; value: string }) {
  return (
    <>
      <dt className="mono">{name}</dt>
      <dd style={{ overflowWrap: 'anywhere' }}>{value}</dd>
    </>
  );
}
