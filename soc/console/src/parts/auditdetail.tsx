import { Button } from 'antd';
import type { ReactNode } from 'react';
import { Link } from 'react-router-dom';
import type { AuditRecord } from '../api/audit';
import { list } from '../api/types';
import { useSettings } from '../app/settings';
import { useAuditText } from './audittext';
import { Diff } from './diff';
import { useUnitName } from '../api/directory';
import { TenantName } from './names';
import { useOperationText } from './operation';
import { useChannelName } from './sessions';
import { WhenFull } from './time';

/** How an act ended; by shape and word, as red is severity's alone. */
export function ResultMark({ result }: { result: AuditRecord['result'] }) {
  const { t } = useSettings();
  return (
    <span className="status" data-result={result}>
      <i className={`dot ${result === 'ok' ? 'ok' : result === 'denied' ? 'error' : 'off'}`} />
      {t(`audit.result.${result}`)}
    </span>
  );
}

/** One record whole: who, what, from where, and what changed. */
export function AuditDetail({ record: r, close }: { record: AuditRecord | null; close: () => void }) {
  const { t } = useSettings();
  const text = useOperationText();
  const words = useAuditText();
  const channel = useChannelName();
  const unitName = useUnitName();
  if (!r) return null;
  const facts: [string, ReactNode][] = [
    [t('col.time'), <WhenFull key="t" time={r.time} />],
    [
      t('audit.actor'),
      <span key="a">
        {r.actor || '–'} {r.actor && <Link to={`/admin/audit?tab=track&user=${encodeURIComponent(r.actor)}`}>{t('audit.trackLink')}</Link>}
      </span>,
    ],
    [t('audit.object'), r.object && <span key="o" title={r.object}>{words.object(r.object)}</span>],
    [t('audit.result'), <ResultMark key="r" result={r.result} />],
    [t('audit.detail'), r.detail && <span key="d" title={r.detail}>{words.detail(r.detail)}</span>],
    [t('audit.address'), r.address && <code key="i">{r.address}</code>],
    [t('audit.channel'), r.channel && channel(r.channel)],
    [t('audit.client'), r.client],
    [t('audit.tenant'), r.tenant && <TenantName key="te" slug={r.tenant} />],
    [t('audit.unit'), r.unit && unitName(r.unit)],
    [t('audit.session'), r.session_id && <Link key="s" to={`/admin/audit?session=${encodeURIComponent(r.session_id)}`}>{r.session_id}</Link>],
    [t('audit.request'), r.request_id && <code key="q">{r.request_id}</code>],
    [t('audit.seq'), r.seq],
    [t('audit.hash'), r.hash && <code key="h">{r.hash}</code>],
  ];
  return (
    <aside className="panel drawer" aria-label={t('do.details')}>
      <header>
        <h2>
          {text({ id: r.action })} <code className="faint">{r.action}</code>
        </h2>
        <span className="end">
          <Button type="text" size="small" onClick={close} aria-label={t('do.close')}>
            ✕
          </Button>
        </span>
      </header>
      <div className="body">
        {list(r.changes).length > 0 && (
          <>
            <h3 style={{ fontSize: 13 }}>{t('audit.changes')}</h3>
            <div style={{ overflowX: 'auto', marginBottom: 12 }}>
              <Diff changes={list(r.changes)} />
            </div>
          </>
        )}
        <dl className="facts">
          {facts
            .filter(([, v]) => v !== undefined && v !== '' && v !== null && v !== false)
            .map(([k, v]) => (
              <div key={k} style={{ display: 'contents' }}>
                <dt>{k}</dt>
                <dd>{v}</dd>
              </div>
            ))}
        </dl>
      </div>
    </aside>
  );
}
