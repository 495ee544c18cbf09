import { useQuery } from '@tanstack/react-query';
import { Button, Input, InputNumber, Modal } from 'antd';
import { useState } from 'react';
import { del, get, post, put } from '../api/client';
import type { Plan } from '../api/casework';
import { useCan } from '../api/queries';
import { list, type Page } from '../api/types';
import { useFeedback } from '../app/feedback';
import { useSettings } from '../app/settings';
import { Refused } from '../parts/dialog';
import { Head, Panel } from '../parts/page';
import { Empty, Failed, Skeleton } from '../parts/states';
import { When } from '../parts/time';

/** The library of disposal plans. */
export default function PlansPage() {
  const { t } = useSettings();
  const edit = useCan()('configure');
  const { done, failed } = useFeedback();
  const [editing, setEditing] = useState<Plan | 'new' | null>(null);
  const query = useQuery({ queryKey: ['disposal-plans'], queryFn: ({ signal }) => get<Page<Plan>>('/disposal-plans', {}, signal) });
  const plans = list(query.data?.items);
  const again = () => void query.refetch();
  const restore = (p: Plan) =>
    post(`/disposal-plans/${p.id}/restore`)
      .then(() => done(t('plans.restored', { x: p.name })))
      .catch(failed)
      .finally(again);
  const remove = (p: Plan) =>
    del(`/disposal-plans/${p.id}`)
      .then(() => done(t('plans.deleted', { x: p.name }), () => void restore(p)))
      .catch(failed)
      .finally(again);
  return (
    <div className="page">
      <Head title={t('page.plans')} sub={t('plans.lead')}>
        {edit && (
          <Button type="primary" onClick={() => setEditing('new')}>
            {t('plans.new')}
          </Button>
        )}
      </Head>
      {query.error && !query.data ? (
        <Failed error={query.error} what="page.plans" retry={again} />
      ) : !query.data ? (
        <Skeleton />
      ) : plans.length === 0 ? (
        <div className="panel">
          <Empty title={t('plans.none')} why={t('plans.noneWhy')}>
            {edit && <Button onClick={() => setEditing('new')}>{t('plans.new')}</Button>}
          </Empty>
        </div>
      ) : (
        <div className="stack" style={{ gap: 12 }}>
          {plans.map((p) => (
            <Panel
              key={p.id}
              title={p.name}
              end={
                edit && (
                  <>
                    <Button size="small" onClick={() => setEditing(p)}>
                      {t('case.edit')}
                    </Button>
                    <Button size="small" onClick={() => void remove(p)}>
                      {t('plans.delete')}
                    </Button>
                  </>
                )
              }
            >
              <div className="row wrap">
                {list(p.techniques).map((x) => (
                  <span className="tag" key={x}>
                    {x}
                  </span>
                ))}
                <span className="faint">
                  {p.updated_by} <When time={new Date(p.updated_at).toISOString()} />
                </span>
              </div>
              <ol>
                {list(p.steps).map((s, i) => (
                  <li key={i}>{s.title}</li>
                ))}
              </ol>
            </Panel>
          ))}
        </div>
      )}
      {editing && (
        <Editor
          plan={editing === 'new' ? null : editing}
          cancel={() => setEditing(null)}
          saved={(name) => {
            setEditing(null);
            done(t('plans.saved', { x: name }));
            again();
          }}
        />
      )}
    </div>
  );
}

function Editor({ plan, saved, cancel }: { plan: Plan | null; saved: (name: string) => void; cancel: () => void }) {
  const { t } = useSettings();
  const [name, setName] = useState(plan?.name ?? '');
  const [techniques, setTechniques] = useState(list(plan?.techniques).join(', '));
  const [steps, setSteps] = useState(list(plan?.steps).map((s) => s.title).join('\n'));
  const [within, setWithin] = useState(list(plan?.steps)[0]?.within_minutes ?? 0);
  const [error, setError] = useState<unknown>(null);
  const save = async () => {
    // What the form does not show of a step stays with it, as long as its title does.
    const before = new Map(list(plan?.steps).map((s) => [s.title, s]));
    const titles = steps.split('\n').map((s) => s.trim()).filter(Boolean);
    const body = {
      ...plan,
      name: name.trim(),
      techniques: techniques.split(/[,，\s]+/).filter(Boolean),
      steps: titles.map((title) => ({ ...before.get(title), title, within_minutes: within })),
    };
    const { id: _id, updated_at: _at, updated_by: _by, deleted_at: _gone, why: _why, ...content } = body as Partial<Plan> & typeof body;
    void [_id, _at, _by, _gone, _why];
    try {
      if (plan) await put(`/disposal-plans/${plan.id}`, content);
      else await post('/disposal-plans', content);
      saved(name.trim());
    } catch (e) {
      setError(e);
    }
  };
  return (
    <Modal open title={plan?.name ?? t('plans.new')} okText={t('do.save')} cancelText={t('do.cancel')} okButtonProps={{ disabled: !name.trim() || !steps.trim() }} onCancel={cancel} onOk={() => void save()}>
      <Refused error={error} />
      <label htmlFor="plan-name">{t('plans.name')}</label>
      <Input id="plan-name" value={name} maxLength={120} onChange={(e) => setName(e.target.value)} />
      <label htmlFor="plan-techniques">{t('plans.techniques')}</label>
      <Input id="plan-techniques" value={techniques} onChange={(e) => setTechniques(e.target.value)} placeholder="T1110, T1078" />
      <label htmlFor="plan-steps">{t('plans.steps')}</label>
      <Input.TextArea id="plan-steps" className="grows tall" rows={6} value={steps} onChange={(e) => setSteps(e.target.value)} />
      <label htmlFor="plan-within">{t('plans.within')}</label>
      <InputNumber id="plan-within" min={0} max={525600} value={within} onChange={(v) => setWithin(v ?? 0)} style={{ width: '100%' }} />
    </Modal>
  );
}
