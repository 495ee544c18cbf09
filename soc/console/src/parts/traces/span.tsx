import { Button } from 'antd';
import { Link } from 'react-router-dom';
import type { Attribute, Span, Trace } from '../../api/traces';
import { list } from '../../api/types';
import { useSettings } from '../../app/settings';
import { duration } from '../../logic/format';
import { fieldIs } from '../../logic/logsql';
import { textOfValue, traceLink } from '../../logic/trace';
import { useTenantName } from '../names';
import { WhenFull } from '../time';
import { Token } from '../token';

/** All of one span, and the ways on from it. */
export function SpanDetail({ trace, span: s, close, zoom, zoomed }: { trace: Trace; span: Span; close: () => void; zoom: () => void; zoomed: boolean }) {
  const { t, locale } = useSettings();
  const tenantName = useTenantName();
  const resource = list(trace.resources)[s.resource];
  const around = (query: string) => {
    const from = Date.parse(trace.start) - 60_000;
    return `/search?${new URLSearchParams({ query, start: new Date(from).toISOString(), end: new Date(from + trace.duration_ns / 1e6 + 120_000).toISOString() })}`;
  };
  return (
    <aside className="panel drawer" aria-label={s.name} data-testid="span" style={{ width: 440, overflow: 'auto' }}>
      <header>
        <h2 className="ellipsis" title={s.name}>
          {s.name}
        </h2>
        <span className="end">
          <Button type="text" size="small" onClick={close} aria-label={t('do.close')}>
            ✕
          </Button>
        </span>
      </header>
      <div className="body stack">
        <dl className="facts">
          <dt>{t('traces.service')}</dt>
          <dd>
            <Link to={`/traces?${new URLSearchParams({ service: s.service })}`}>{s.service || '–'}</Link>
          </dd>
          {s.kind && (
            <>
              <dt>{t('traces.kind')}</dt>
              <dd>{t(`traces.kind.${s.kind}` as 'traces.kind.server')}</dd>
            </>
          )}
          <dt>{t('traces.duration')}</dt>
          <dd>
            <b>{duration(s.duration_ns, locale)}</b> <span className="faint">{t('trace.self')} {duration(s.self_ns, locale)}</span>
          </dd>
          <dt>{t('trace.offset')}</dt>
          <dd>
            +{duration(s.offset_ns, locale)} <span className="faint"><WhenFull time={s.start} /></span>
          </dd>
          <dt>{t('trace.status')}</dt>
          <dd>
            {s.status === 'error' ? (
              <span className="status" style={{ color: 'var(--medium)', fontWeight: 600, whiteSpace: 'normal' }}>
                <i className="dot error" /> {t('trace.status.error')} {s.status_message}
              </span>
            ) : (
              t(`trace.status.${s.status}`)
            )}
          </dd>
          {s.tenant && (
            <>
              <dt>{t('col.tenant')}</dt>
              <dd>{tenantName(s.tenant)}</dd>
            </>
          )}
          <dt>Span ID</dt>
          <dd>
            <Token field="span.id" value={s.span_id} />
          </dd>
          {s.scope?.name && (
            <>
              <dt>{t('trace.scope')}</dt>
              <dd className="mono">
                {s.scope.name} {s.scope.version}
              </dd>
            </>
          )}
        </dl>
        <div className="row wrap">
          <Button size="small" onClick={zoom}>
            {t(zoomed ? 'trace.zoomOut' : 'trace.zoom')} <kbd>z</kbd>
          </Button>
          <Link to={around(`${fieldIs('trace.id', trace.trace_id)} ${fieldIs('span.id', s.span_id)} !${fieldIs('data_stream.type', 'traces')}`)}>
            <Button size="small">{t('trace.logsOfSpan')}</Button>
          </Link>
          {s.event_id && (
            <Link to={around(fieldIs('event.id', s.event_id))}>
              <Button size="small">{t('trace.row')}</Button>
            </Link>
          )}
        </div>
        {(s.orphan || list(s.warnings).length > 0) && (
          <div className="notice warn">
            {[s.orphan ? t('trace.orphan') : '', ...list(s.warnings)].filter(Boolean).join(' · ')}
          </div>
        )}
        {list(s.events).length > 0 && (
          <section>
            <h3>{t('trace.events')}</h3>
            {list(s.events).map((e, i) => (
              <details key={i} className="spanevent" open={/exception|error/i.test(e.name)}>
                <summary>
                  <b>{e.name}</b> <span className="faint">+{duration(e.offset_ns, locale)}</span>
                </summary>
                <Attributes of={e.attributes} />
              </details>
            ))}
          </section>
        )}
        <section>
          <h3>{t('trace.attributes')}</h3>
          {list(s.attributes).length > 0 ? <Attributes of={s.attributes} /> : <span className="faint">{t('trace.none')}</span>}
        </section>
        {list(s.links).length > 0 && (
          <section>
            <h3>{t('trace.links')}</h3>
            <ul className="plainlist">
              {list(s.links).map((l, i) => (
                <li key={i}>
                  <Link className="mono" to={traceLink(l.trace_id, l.span_id)}>
                    {l.trace_id}
                  </Link>
                  <Attributes of={l.attributes} />
                </li>
              ))}
            </ul>
          </section>
        )}
        {resource && (
          <section>
            <h3>{t('trace.resource')}</h3>
            <Attributes of={resource.attributes} />
          </section>
        )}
      </div>
    </aside>
  );
}

function Attributes({ of }: { of: Span['attributes'] }) {
  const rows: Attribute[] = list(of);
  if (rows.length === 0) return null;
  return (
    <table className="fields narrow">
      <colgroup>
        <col />
        <col />
      </colgroup>
      <tbody>
        {rows.map((a, i) => (
          <tr key={i}>
            <td>{a.key}</td>
            <td className={/\n/.test(textOfValue(a.value)) ? 'pre' : undefined}>
              <Token value={textOfValue(a.value)} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
