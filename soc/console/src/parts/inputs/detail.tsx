import { Button } from 'antd';
import { Link } from 'react-router-dom';
import { list } from '../../api/types';
import { useNow } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { absolute, bytes, clock, number } from '../../logic/format';
import { order, type SourceRow } from '../../logic/inputs';
import { fieldIs } from '../../logic/logsql';
import { zh, type Key } from '../../locales/zh';
import { TenantName } from '../names';
import { sourceState } from '../source';
import { WhenFull } from '../time';
import { useKindName } from './kindname';

/** How a way in fares, in a word, with its error. */
export function SourceStateMark({ row }: { row: SourceRow }) {
  const { t, locale } = useSettings();
  const now = useNow(5);
  if (row.of && !row.of.enabled)
    return (
      <span className="status">
        <i className="dot off" />
        {t('inputs.paused')}
      </span>
    );
  const st = sourceState(row, now);
  return (
    <span>
      <span className="status">
        <i className={`dot ${st.kind === 'ok' ? 'ok' : st.kind === 'off' || st.kind === 'waiting' ? 'off' : 'error'}`} />
        {st.kind === 'silent' ? t('source.silent', { t: clock(st.ms, locale) }) : t(`source.${st.kind}`)}
      </span>
      {row.error && <div style={{ color: 'var(--medium)', overflowWrap: 'anywhere' }}>{row.error}</div>}
    </span>
  );
}

/** All of one way in. */
export function SourceDetail({ row, edit, close }: { row: SourceRow; edit?: () => void; close: () => void }) {
  const { t, locale } = useSettings();
  const kindName = useKindName();
  const x = row.of;
  const label = (name: string) => (`inputs.field.${name}` in zh ? t(`inputs.field.${name}` as Key) : name);
  const shown = x?.settings ? order({ properties: Object.fromEntries(Object.keys(x.settings).map((k) => [k, {}])) }) : [];
  const events = `/search?since=15m&query=${encodeURIComponent(fieldIs('icewatch.collector', row.id))}`;
  return (
    <aside className="panel drawer" aria-label={row.name || row.id} data-testid="source" style={{ width: 480 }}>
      <header>
        <h2>{row.name || row.id}</h2>
        <span className="end">
          {edit && (
            <Button size="small" onClick={edit}>
              {t('do.edit')}
            </Button>
          )}
          <Button type="text" size="small" onClick={close} aria-label={t('do.close')}>
            ✕
          </Button>
        </span>
      </header>
      <div className="body stack">
        <SourceStateMark row={row} />
        {x?.note && <p className="dim">{x.note}</p>}
        <dl className="facts">
          <dt>{t('sources.kind')}</dt>
          <dd>
            {kindName(row.kind)} <span className="faint">{t(`inputs.way.${row.way}`)}</span>
          </dd>
          {row.listen && (
            <>
              <dt>{t('sources.listen')}</dt>
              <dd>
                <code>{row.listen}</code>
              </dd>
            </>
          )}
          {row.way === 'input' && (
            <>
              <dt>{t('inputs.tenant')}</dt>
              <dd>{row.tenant ? <TenantName slug={row.tenant} /> : t('inputs.tenantAuto')}</dd>
            </>
          )}
          <dt>{t('inputs.rate')}</dt>
          <dd>{t('inputs.perSecond', { n: number(row.rate ?? 0, locale) })}</dd>
          <dt>{t('sources.received')}</dt>
          <dd>
            {number(row.received, locale)} <span className="faint">{bytes(row.bytes, locale)}</span>
          </dd>
          <dt>{t('sources.lastSeen')}</dt>
          <dd>{row.last_seen && !row.last_seen.startsWith('0001-') ? <WhenFull time={row.last_seen} /> : t('sources.never')}</dd>
          {x && list(x.tags).length > 0 && (
            <>
              <dt>{t('inputs.tags')}</dt>
              <dd>{list(x.tags).join(', ')}</dd>
            </>
          )}
          {x?.zone && (
            <>
              <dt>{t('inputs.zone')}</dt>
              <dd>{x.zone}</dd>
            </>
          )}
          {shown.map((name) => (
            <FactOf key={name} label={label(name)} value={x?.settings?.[name]} />
          ))}
          {x && list(x.secrets_set).length > 0 && (
            <>
              <dt>{t('inputs.secrets')}</dt>
              <dd className="mono">{list(x.secrets_set).join(', ')}</dd>
            </>
          )}
          {x && (
            <>
              <dt>{t('inputs.changed')}</dt>
              <dd>{t('inputs.changedBy', { x: x.updated_by, t: absolute(Date.parse(x.updated_at)) })}</dd>
            </>
          )}
        </dl>
        <span className="row wrap">
          <Link to={events}>{t('inputs.seeEvents')}</Link>
          {row.way === 'http' && <Link to="/connect">{t('inputs.doors')}</Link>}
          <Link to="/parsers?tab=unread">{t('inputs.unreadLines')}</Link>
        </span>
      </div>
    </aside>
  );
}

function FactOf({ label, value }: { label: string; value: unknown }) {
  const text = Array.isArray(value) && value.every((v) => typeof v === 'string') ? value.join(', ') : typeof value === 'string' ? value : JSON.stringify(value);
  return (
    <>
      <dt>{label}</dt>
      <dd className="mono" style={{ overflowWrap: 'anywhere', whiteSpace: 'pre-wrap' }}>
        {text.length > 400 ? `${text.slice(0, 400)}…` : text}
      </dd>
    </>
  );
}
