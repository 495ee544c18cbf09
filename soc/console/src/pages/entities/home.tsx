import { useQuery } from '@tanstack/react-query';
import { Button, Input, Select } from 'antd';
import { useState } from 'react';
import { useNavigate } from 'react-router-dom';
import { buildPath, get } from '../../api/client';
import type { EntityJudgement } from '../../api/entities';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { ENTITY_TYPES, entityPath, guessEntities, type EntityType } from '../../logic/entity';
import { number } from '../../logic/format';
import { ConclusionMark } from '../../parts/conclusion';
import { JudgedBy } from '../../parts/entities/judgements';
import { TenantName } from '../../parts/names';
import { Head, Panel, Updated } from '../../parts/page';
import { Empty, Loaded, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { When, WhenFull } from '../../parts/time';
import { Entity } from '../../parts/token';

/** The encyclopaedia's first page: look something up, and what was judged and is watched. */
export default function EntitiesHome() {
  const { t, locale } = useSettings();
  const can = useCan();
  const navigate = useNavigate();
  const [url, setUrl] = useUrl();
  const [text, setText] = useState('');
  const [type, setType] = useState<EntityType | ''>('');
  const watched = url.get('watched') === '1';
  const query = useQuery({ queryKey: ['judgements', watched], queryFn: ({ signal }) => get<Page<EntityJudgement>>('/entity-judgements', { watched: watched || undefined }, signal), refetchInterval: 30_000, enabled: can('list-judgements') });
  const first = guessEntities(text)[0];
  const to = type && text.trim() ? { type, value: text.trim() } : first;
  const go = () => to && navigate(entityPath(to));
  return (
    <div className="page">
      <Head title={t('page.entities')} sub={t('entity.lead')}>
        <Updated at={query.dataUpdatedAt} />
      </Head>
      <div className="row wrap" style={{ gap: 8, marginBottom: 14 }} role="search">
        <Select<EntityType | ''>
          aria-label={t('entity.type')}
          style={{ width: 150 }}
          value={type || (first?.type ?? '')}
          onChange={setType}
          options={ENTITY_TYPES.map((x) => ({ value: x as EntityType | '', label: t(`entity.type.${x}`) })).concat(first || type ? [] : [{ value: '', label: t('entity.type') }])}
        />
        <Input style={{ maxWidth: 420 }} autoFocus value={text} maxLength={2048} placeholder={t('entity.find')} aria-label={t('entity.find')} onChange={(e) => setText(e.target.value)} onPressEnter={go} />
        <Button type="primary" disabled={!to} onClick={go}>
          {t('entity.open')}
        </Button>
      </div>
      {can('list-judgements') && (
        <Panel
          title={t('entity.intelligence')}
          flush
          end={
            <>
              <label className="row" style={{ gap: 4 }}>
                <input type="checkbox" checked={watched} onChange={(e) => setUrl({ watched: e.target.checked ? '1' : undefined })} /> {t('entity.onlyWatched')}
              </label>
              {can('export-judgements') &&
                (['csv', 'xlsx'] as const).map((f) => (
                  <a key={f} href={buildPath('/entity-judgements/export', { format: f, watched: watched || undefined })} download>
                    {t('entity.export', { x: f === 'csv' ? 'CSV' : 'Excel' })}
                  </a>
                ))}
            </>
          }
        >
          <Stale query={query} />
          <Loaded query={query} what="entity.intelligence" lines={6} small>
            {(page) =>
              list(page.items).length === 0 ? (
                <Empty small title={t('entity.noIntelligence')} why={t('entity.noIntelligenceWhy')} />
              ) : (
                <div style={{ overflowX: 'auto' }}>
                  <DataTable<EntityJudgement>
                    label={t('entity.intelligence')}
                    rows={list(page.items)}
                    rowKey={(j) => String(j.seq)}
                    columns={[
                      { key: 'type', title: t('entity.type'), width: 100, render: (j) => t(`entity.type.${j.type}`) },
                      { key: 'value', title: t('entity.value'), render: (j) => <Entity type={j.type} value={j.value} zone={j.zone} /> },
                      { key: 'what', title: t('entity.conclusion'), render: (j) => <ConclusionMark of={j} tags /> },
                      { key: 'seen', title: t('entity.sightings'), num: true, render: (j) => number(j.sightings, locale) },
                      { key: 'last', title: t('col.lastSeen'), render: (j) => <When time={j.last_seen} age /> },
                      { key: 'for', title: t('entity.tenant'), render: (j) => <TenantName slug={j.tenant} /> },
                      { key: 'by', title: t('entity.by'), render: (j) => <JudgedBy of={j} /> },
                      { key: 'at', title: t('entity.at'), render: (j) => <WhenFull time={j.at} /> },
                    ]}
                  />
                </div>
              )
            }
          </Loaded>
        </Panel>
      )}
    </div>
  );
}
