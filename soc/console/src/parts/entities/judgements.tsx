import { Form, Input, Select, Switch } from 'antd';
import { CONCLUSIONS, JUDGED_RISKS, type Conclusion, type EntityHead, type EntityJudgement } from '../../api/entities';
import { post } from '../../api/client';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import type { EntityRef } from '../../logic/entity';
import { number } from '../../logic/format';
import { ConclusionMark } from '../conclusion';
import { FormDialog } from '../dialog';
import { TenantName, useActorName } from '../names';
import { Panel } from '../page';
import { Empty, Loaded, Stale } from '../states';
import { DataTable } from '../table';
import { When, WhenFull } from '../time';
import { usePart, type About } from './ask';
import { Files } from './files';
import { Link } from 'react-router-dom';

interface Values {
  conclusion: Conclusion;
  risk: string;
  tags: string[];
  watched: boolean;
  days: number;
  note: string;
}

/** Writes a judgement down. */
export function JudgeDialog({ entity, head, close }: { entity: EntityRef; head?: EntityHead; close: () => void }) {
  const { t } = useSettings();
  const { tell } = useAct();
  const before = head?.judgement;
  return (
    <FormDialog<Values>
      title={t('entity.judgeTitle', { x: head?.shown ?? entity.value })}
      ok={t('entity.judgeDo')}
      initial={{ conclusion: before?.conclusion ?? 'suspicious', risk: before?.risk ?? 'medium', tags: [...list(before?.tags)], watched: before?.watched ?? false, days: 30, note: '' }}
      close={close}
      submit={async (v) => {
        const watched = v.watched && v.conclusion !== 'benign' && v.conclusion !== 'withdrawn';
        await post(`/entities/${entity.type}/judgements`, {
          value: entity.value,
          zone: entity.zone,
          conclusion: v.conclusion,
          risk: v.risk,
          tags: v.tags,
          watched,
          until: watched && v.days > 0 ? new Date(Date.now() + v.days * 86_400_000).toISOString() : undefined,
          note: v.note,
        });
        tell({ said: t('entity.judged', { x: entity.value }), renew: ['entity', 'judgements'] });
      }}
    >
      {(form) => (
        <>
          <Form.Item name="conclusion" label={t('entity.conclusion')}>
            <Select options={CONCLUSIONS.map((c) => ({ value: c, label: t(`entity.conclusion.${c}`) }))} />
          </Form.Item>
          <Form.Item name="risk" label={t('entity.judgedRisk')}>
            <Select options={[...JUDGED_RISKS.map((r) => ({ value: r as string, label: t(`sev.${r}`) })), { value: '', label: t('entity.noRisk') }]} />
          </Form.Item>
          <Form.Item name="tags" label={t('entity.tags')}>
            <Select mode="tags" maxCount={20} tokenSeparators={[',', '，']} placeholder={t('entity.tagsHint')} />
          </Form.Item>
          <Form.Item noStyle shouldUpdate={(a: Values, b: Values) => a.conclusion !== b.conclusion || a.watched !== b.watched}>
            {() =>
              form.getFieldValue('conclusion') !== 'benign' &&
              form.getFieldValue('conclusion') !== 'withdrawn' && (
                <>
                  <Form.Item name="watched" label={t('entity.watch')} extra={t('entity.watchWhy')} valuePropName="checked">
                    <Switch aria-label={t('entity.watch')} />
                  </Form.Item>
                  {form.getFieldValue('watched') && (
                    <Form.Item name="days" label={t('entity.until')}>
                      <Select options={([7, 30, 90, 0] as const).map((d) => ({ value: d, label: t(`entity.until.${d}`) }))} />
                    </Form.Item>
                  )}
                </>
              )
            }
          </Form.Item>
          <Form.Item name="note" label={t('entity.note')}>
            <Input.TextArea rows={3} maxLength={2000} />
          </Form.Item>
        </>
      )}
    </FormDialog>
  );
}

/** Who judged, in words. */
export function JudgedBy({ of: j }: { of: EntityJudgement }) {
  const { t } = useSettings();
  const actor = useActorName();
  if (j.by !== 'system') return <>{actor(j.by)}</>;
  return j.alert ? <Link to={`/alerts/${encodeURIComponent(j.alert)}`}>{t('entity.bySystem')}</Link> : <>{t('entity.bySystem')}</>;
}

/** What was judged of an entity over time. */
export function Judgements({ about, judge }: { about: About; judge: () => void }) {
  const { t, locale } = useSettings();
  const can = useCan();
  const query = usePart<Page<EntityJudgement>>(about, 'judgements');
  return (
    <Panel title={t('entity.tab.judgements')} end={<Files about={about} list="judgements" />} flush id="entity-judgements">
      <Stale query={query} />
      <Loaded query={query} what="entity.part" lines={4} small>
        {(page) =>
          list(page.items).length === 0 ? (
            <Empty small title={t('entity.notJudged')} why={t('entity.notJudgedWhy')}>
              {can('judge-entity') && (
                <button className="ant-btn ant-btn-default" onClick={judge}>
                  {t('entity.judge')}
                </button>
              )}
            </Empty>
          ) : (
            <DataTable<EntityJudgement>
              label={t('entity.tab.judgements')}
              rows={list(page.items)}
              rowKey={(j) => String(j.seq)}
              columns={[
                { key: 'at', title: t('entity.at'), width: 170, render: (j) => <WhenFull time={j.at} /> },
                { key: 'what', title: t('entity.conclusion'), render: (j) => <ConclusionMark of={j} tags /> },
                { key: 'force', title: t('entity.inForce'), width: 70, render: (j) => (j.in_force ? '✓' : '') },
                { key: 'for', title: t('entity.tenant'), render: (j) => <TenantName slug={j.tenant} /> },
                { key: 'by', title: t('entity.by'), render: (j) => <JudgedBy of={j} /> },
                { key: 'seen', title: t('entity.sightings'), num: true, render: (j) => (j.sightings ? <>{number(j.sightings, locale)} <When time={j.last_seen} /></> : '–') },
                { key: 'note', title: t('entity.note'), render: (j) => <span className="pre">{j.note}</span> },
              ]}
            />
          )
        }
      </Loaded>
    </Panel>
  );
}
