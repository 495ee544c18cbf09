import { useQuery } from '@tanstack/react-query';
import { useEffect, useLayoutEffect, useRef } from 'react';
import { createPortal } from 'react-dom';
import { Link } from 'react-router-dom';
import { get } from '../api/client';
import type { EntityHead } from '../api/entities';
import { list } from '../api/types';
import { copyText, useFeedback } from '../app/feedback';
import { useSettings } from '../app/settings';
import { entityPath, graphPath, type EntityRef } from '../logic/entity';
import { number } from '../logic/format';
import { ConclusionMark } from './conclusion';
import { TenantName } from './names';
import { RiskMark } from './risk';
import { Criticality } from './severity';
import { Failed, Skeleton } from './states';

export const headKey = (e: EntityRef) => ['entity', 'head', e.type, e.value, e.zone ?? ''];
export const askHead = (e: EntityRef) => (o: { signal: AbortSignal }) => get<EntityHead>(`/entities/${e.type}/head`, { value: e.value, zone: e.zone }, o.signal);

/** Who a value is, beside it: as much as tells whether to open its page. */
export function EntityCard({ entity, anchor, keep, leave, close }: { entity: EntityRef; anchor: HTMLElement; keep: () => void; leave: () => void; close: () => void }) {
  const { t, locale } = useSettings();
  const { done, failed } = useFeedback();
  const box = useRef<HTMLDivElement>(null);
  const query = useQuery({ queryKey: headKey(entity), queryFn: askHead(entity), staleTime: 30_000, retry: false });
  const d = query.data;
  useLayoutEffect(() => {
    const el = box.current;
    if (!el) return;
    const a = anchor.getBoundingClientRect();
    const m = el.getBoundingClientRect();
    el.style.left = `${Math.max(8, Math.min(a.left, window.innerWidth - m.width - 8))}px`;
    el.style.top = `${a.bottom + m.height + 8 > window.innerHeight ? Math.max(8, a.top - m.height - 4) : a.bottom + 4}px`;
  }, [anchor, d, query.error]);
  useEffect(() => {
    const key = (e: KeyboardEvent) => e.key === 'Escape' && close();
    document.addEventListener('keydown', key);
    document.addEventListener('scroll', close, true);
    return () => {
      document.removeEventListener('keydown', key);
      document.removeEventListener('scroll', close, true);
    };
  }, [close]);
  const graph = graphPath(entity);
  return createPortal(
    <div className="entity-card" role="group" aria-label={t('entity.card', { v: entity.value })} ref={box} onMouseEnter={keep} onMouseLeave={leave} data-testid="entity-card">
      <div className="row wrap" style={{ gap: 6 }}>
        <span className="tag strong">{t(`entity.type.${entity.type}`)}</span>
        {d?.internal !== undefined && <span className="tag">{t(d.internal ? 'entity.internal' : 'entity.external')}</span>}
        {entity.zone && <span className="tag">{entity.zone}</span>}
        {d?.judgement && <ConclusionMark of={d.judgement} />}
      </div>
      <h3>{d?.shown ?? entity.value}</h3>
      {query.error ? (
        <Failed small error={query.error} what="entity.what" />
      ) : !d ? (
        <Skeleton lines={2} />
      ) : (
        <>
          {list(d.items)
            .slice(0, 3)
            .map((i) => (
              <div key={i.id}>
                <div className="row" style={{ gap: 8 }}>
                  <b className="ellipsis">{i.name || i.id}</b>
                  {i.level && i.score !== undefined && <RiskMark score={i.score} level={i.level} />}
                  <span style={{ marginLeft: 'auto' }}>
                    <Criticality value={i.criticality} />
                  </span>
                </div>
                <div className="dim ellipsis">
                  {i.tenant && <TenantName slug={i.tenant} />} {i.owner}
                </div>
              </div>
            ))}
          {list(d.items).length === 0 && <div className="dim">{t('entity.noItem')}</div>}
          <div className="dim" style={{ marginTop: 4 }}>
            {t('entity.openAlerts')} <b>{number(d.alerts_total, locale)}</b> · {t('entity.openIncidents')} <b>{number(d.incidents_total, locale)}</b> · {t('entity.last30')}
          </div>
        </>
      )}
      <div className="row" style={{ gap: 12, marginTop: 8 }}>
        <Link to={entityPath(entity)} onClick={close}>
          {t('entity.open')}
        </Link>
        {graph && (
          <Link to={graph} onClick={close}>
            {t('entity.graph')}
          </Link>
        )}
        <button className="plain" style={{ color: 'var(--accent-text)', cursor: 'pointer' }} onClick={() => void copyText(entity.value).then(() => done(t('do.copied')), failed)}>
          {t('token.copy')}
        </button>
      </div>
    </div>,
    document.body,
  );
}
