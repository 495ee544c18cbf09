import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Input } from 'antd';
import { useState } from 'react';
import { get } from '../../api/client';
import type { Asked, Facet, FieldStats } from '../../api/search';
import { list, type List } from '../../api/types';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import { fieldName } from '../../logic/logsql';
import { Failed, Skeleton } from '../states';
import { useDesk } from './desk';

export interface FieldHits {
  name: string;
  hits: number;
}

/** The fields of the events found; those that are followed, or else those analysts want first, stand open above. */
export function Fields({ asked, fields, error, bad }: { asked: Asked; fields: readonly FieldHits[] | undefined; error: unknown; /** The query is wrong, which is said where it is written. */ bad: boolean }) {
  const { t } = useSettings();
  const desk = useDesk();
  const followed = desk?.followed ?? [];
  const [text, setText] = useState('');
  const [url, setUrl] = useUrl();
  const open = url.get('stat') ?? '';
  const setOpen = (field: string) => setUrl({ stat: field || undefined });
  const facets = useQuery({
    queryKey: ['facets', asked, followed],
    queryFn: async ({ signal }) => list((await get<{ facets: List<Facet> }>('/search/facets', { ...asked, fields: followed.join(','), limit: 5 }, signal)).facets),
    placeholderData: keepPreviousData,
    gcTime: 60_000,
    retry: false,
  });
  const wanted = text.trim().toLowerCase();
  const above = list(facets.data).filter((f) => f.field.toLowerCase().includes(wanted) && (f.rows > 0 || followed.includes(f.field)));
  const names = list(fields as FieldHits[] | undefined)
    .filter((f) => f.name.toLowerCase().includes(wanted) && !above.some((a) => a.field === f.name))
    .sort((a, b) => b.hits - a.hits || a.name.localeCompare(b.name));
  return (
    <aside className="panel fieldlist" aria-label={t('search.fieldsTitle')}>
      <Input size="small" allowClear placeholder={t('search.fieldFilter')} aria-label={t('search.fieldFilter')} value={text} onChange={(e) => setText(e.target.value)} style={{ marginBottom: 6 }} />
      {above.length > 0 && <h3 className="faint">{t(followed.length > 0 ? 'search.followedFields' : 'search.firstFields')}</h3>}
      {above.map((f) => (
        <FieldName key={f.field} name={f.field} hits={f.rows} open={open === f.field} press={() => setOpen(open === f.field ? '' : f.field)}>
          {open === f.field ? <Stats field={f.field} asked={asked} /> : <Values field={f.field} values={list(f.values)} others={f.others} masked={f.masked} />}
        </FieldName>
      ))}
      {above.length > 0 && names.length > 0 && <h3 className="faint">{t('search.otherFields')}</h3>}
      {!fields && !error && <Skeleton lines={8} />}
      {error && !fields && !bad ? <Failed small error={error} what="search.fieldsTitle" /> : null}
      {fields && names.length + above.length === 0 && <div className="faint" style={{ padding: 6 }}>{t('search.noFields')}</div>}
      {names.map((f) => (
        <FieldName key={f.name} name={f.name} hits={f.hits} open={open === f.name} press={() => setOpen(open === f.name ? '' : f.name)}>
          {open === f.name && <Stats field={f.name} asked={asked} />}
        </FieldName>
      ))}
    </aside>
  );
}

function FieldName({ name, hits, open, press, children }: { name: string; hits: number; open: boolean; press: () => void; children: React.ReactNode }) {
  const { t, locale } = useSettings();
  const desk = useDesk();
  const followed = desk?.followed.includes(name) ?? false;
  return (
    <div className="fieldrow">
      <div className="row" style={{ gap: 2 }}>
        <button className="plain f" aria-expanded={open} title={t('search.stats', { x: name })} onClick={press}>
          <span className="ellipsis" title={name}>
            {name}
          </span>
          <span className="c">{Intl.NumberFormat(locale, { notation: 'compact' }).format(hits)}</span>
        </button>
        <button className={`plain do star${followed ? ' on' : ''}`} aria-pressed={followed} title={t(followed ? 'search.unfollow' : 'search.follow')} aria-label={`${t(followed ? 'search.unfollow' : 'search.follow')}: ${name}`} onClick={() => desk?.follow(name)}>
          {followed ? '★' : '☆'}
        </button>
      </div>
      {children}
    </div>
  );
}

function Values({ field, values, others, masked }: { field: string; values: readonly { value: string; hits: number }[]; others?: number; masked?: boolean }) {
  const { t, locale } = useSettings();
  const desk = useDesk();
  const max = Math.max(1, ...values.map((v) => v.hits));
  if (values.length === 0) return <div className="v faint">{t('search.noValues')}</div>;
  return (
    <div className="v">
      {masked && (
        <div className="masked" title={t('search.maskedWhy')}>
          {t('search.masked')}
        </div>
      )}
      {values.map((v) => (
        <div className="val" key={v.value}>
          <span className="fill" style={{ width: `${(v.hits / max) * 100}%` }} />
          <button className="plain ellipsis grow only" title={t('search.inOut', { x: v.value })} onClick={(e) => desk?.filter(field, v.value, e.altKey)}>
            {v.value || '""'}
          </button>
          <span className="faint">{number(v.hits, locale)}</span>
          <button className="plain do" title={t('search.in', { x: v.value })} aria-label={t('search.in', { x: v.value })} onClick={() => desk?.filter(field, v.value, false)}>
            +
          </button>
          <button className="plain do" title={t('search.out', { x: v.value })} aria-label={t('search.out', { x: v.value })} onClick={() => desk?.filter(field, v.value, true)}>
            −
          </button>
        </div>
      ))}
      {others !== undefined && others > 0 && <div className="faint" style={{ paddingLeft: 4 }}>{t('search.others', { n: others })}</div>}
    </div>
  );
}

/** What is known of a field at large: how often, how many values, the span of numbers; then the values. */
function Stats({ field, asked }: { field: string; asked: Asked }) {
  const { t, locale } = useSettings();
  const desk = useDesk();
  const query = useQuery({
    queryKey: ['fieldstats', field, asked],
    queryFn: ({ signal }) => get<FieldStats>('/search/stats', { ...asked, field, limit: 10 }, signal),
    placeholderData: keepPreviousData,
    gcTime: 60_000,
  });
  if (query.error && !query.data) return <Failed small error={query.error} what="search.fieldsTitle" retry={() => void query.refetch()} />;
  if (!query.data) return <Skeleton lines={3} />;
  const s = query.data;
  const share = s.total > 0 ? (100 * s.rows) / s.total : 0;
  const facts: [string, string][] = [
    [t('stats.present'), `${number(s.rows, locale)} (${number(Math.round(share), locale)}%)`],
    [t('stats.distinct'), `${s.distinct_exact ? '' : '≈ '}${number(s.distinct, locale)}`],
  ];
  if (s.numeric && s.min !== undefined) facts.push([t('stats.span'), `${s.min} – ${s.max}`]);
  if (s.numeric && typeof s.avg === 'number') {
    facts.push([t('stats.avg'), number(s.avg, locale)], [t('stats.quantiles'), [s.p50, s.p95, s.p99].map((n) => number(n, locale)).join(' / ')], [t('stats.sum'), number(s.sum, locale)]);
  }
  return (
    <div className="v" data-testid="field-stats">
      <dl className="statfacts">
        {facts.map(([k, v]) => (
          <div key={k}>
            <dt>{k}</dt>
            <dd>{v}</dd>
          </div>
        ))}
      </dl>
      <div className="row wrap fielddo">
        <button className="plain link" onClick={() => desk?.plot(field)}>
          {t('stats.plot')}
        </button>
        <button className="plain link" aria-pressed={desk?.columns.includes(field)} onClick={() => desk?.toggleColumn(field)}>
          {t(desk?.columns.includes(field) ? 'stats.columnOff' : 'stats.columnOn')}
        </button>
        {s.missing > 0 && (
          <button className="plain link" title={`${fieldName(field)}:*`} onClick={() => desk?.filter(field, '', true)}>
            {t('stats.exists')}
          </button>
        )}
        {s.missing > 0 && (
          <button className="plain link" onClick={() => desk?.filter(field, '', false)}>
            {t('stats.missing')}
          </button>
        )}
      </div>
      <Values field={field} values={list(s.values)} masked={s.masked} />
    </div>
  );
}

