import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Button, Checkbox, Dropdown, Input, Select } from 'antd';
import { useRef, useState } from 'react';
import { Link } from 'react-router-dom';
import { buildPath, get, post, upload } from '../../api/client';
import { MEDIA_CAPTURE, OBSERVABLE_TYPES, type EvidenceItem, type EvidenceList, type Likeness, type Observable, type Plan, type Task } from '../../api/casework';
import { useCan } from '../../api/queries';
import { list, type Incident, type Page } from '../../api/types';
import { useFeedback } from '../../app/feedback';
import { useSettings } from '../../app/settings';
import { Panel } from '../page';
import { StatusMark } from '../severity';
import { Empty, Failed } from '../states';
import { When } from '../time';
import { Entity } from '../token';
import { Capture } from './capture';

/** What a panel of an incident needs: its path, a way to act with message and undo, and a reading. */
export function useCase(id: string) {
  const client = useQueryClient();
  const { done, failed } = useFeedback();
  const path = `/incidents/${encodeURIComponent(id)}`;
  const act = async (work: () => Promise<unknown>, text: string, undo?: () => Promise<unknown>) => {
    try {
      await work();
      done(
        text,
        undo &&
          (() => {
            void undo().catch(failed).finally(() => void client.invalidateQueries({ queryKey: ['incident', id] }));
          }),
      );
      return true;
    } catch (e) {
      failed(e);
      return false;
    } finally {
      void client.invalidateQueries({ queryKey: ['incident', id] });
    }
  };
  return { path, act };
}

export function Tasks({ incident }: { incident: Incident }) {
  const { t } = useSettings();
  const respond = useCan()('respond');
  const { path, act } = useCase(incident.id);
  const [title, setTitle] = useState('');
  const query = useQuery({ queryKey: ['incident', incident.id, 'tasks'], queryFn: ({ signal }) => get<Page<Task>>(`${path}/tasks`, {}, signal) });
  const plans = useQuery({ queryKey: ['incident', incident.id, 'plans'], queryFn: ({ signal }) => get<Page<Plan>>(`${path}/plans`, {}, signal), enabled: respond });
  const tasks = list(query.data?.items).filter((x) => !x.removed_at);
  const choices = list(plans.data?.items);
  const add = async () => {
    const text = title.trim();
    if (text && (await act(() => post(`${path}/tasks`, { title: text, owner: incident.assignee || undefined }), t('case.taskAdded')))) setTitle('');
  };
  const toggle = (x: Task) => {
    const at = `${path}/tasks/${x.id}`;
    if (x.done_at) return act(() => post(`${at}/undone`), t('case.undone'));
    return act(() => post(`${at}/done`, {}), t('case.taskDone', { x: x.title }), () => post(`${at}/undone`));
  };
  return (
    <Panel
      id="tasks"
      title={t('case.tasks')}
      end={
        respond && (
          <Dropdown
            trigger={['click']}
            menu={{
              items: choices.length === 0 ? [{ key: '', label: t('case.noPlan'), disabled: true }] : choices.map((p) => ({ key: p.id, label: p.name })),
              onClick: ({ key }) => void act(() => post(`${path}/plans`, { plan: key }), t('case.planApplied', { x: choices.find((p) => p.id === key)?.name ?? key })),
            }}
          >
            <Button size="small">{t('case.choosePlan')}</Button>
          </Dropdown>
        )
      }
    >
      {query.error && !query.data ? <Failed small error={query.error} what="case.tasks" retry={() => void query.refetch()} /> : tasks.length === 0 && <div className="dim">{t('case.noTasks')}</div>}
      {tasks.map((x) => (
        <div key={x.id} className="row wrap" style={{ padding: '3px 0' }}>
          <Checkbox checked={!!x.done_at} disabled={!respond} onChange={() => void toggle(x)} aria-label={x.title} />
          <span style={{ textDecoration: x.done_at ? 'line-through' : undefined, overflowWrap: 'anywhere' }}>{x.title}</span>
          {x.owner && <span className="tag">{x.owner}</span>}
          {!!x.due && !x.done_at && (
            <span className="dim">
              <When time={new Date(x.due).toISOString()} />
            </span>
          )}
          {x.outcome && <span className="dim">{x.outcome}</span>}
          {respond && !x.done_at && (
            <Button
              size="small"
              type="text"
              style={{ marginLeft: 'auto' }}
              onClick={() => void act(() => post(`${path}/tasks/${x.id}/remove`), t('case.taskRemoved', { x: x.title }), () => post(`${path}/tasks/${x.id}/restore`))}
            >
              {t('case.removeTask')}
            </Button>
          )}
        </div>
      ))}
      {respond && (
        <div className="row" style={{ marginTop: 8 }}>
          <Input value={title} maxLength={200} placeholder={t('case.newTask')} aria-label={t('case.newTask')} onChange={(e) => setTitle(e.target.value)} onPressEnter={() => void add()} />
          <Button onClick={() => void add()} disabled={!title.trim()}>
            {t('case.addTask')}
          </Button>
        </div>
      )}
    </Panel>
  );
}

export function Evidence({ incident }: { incident: Incident }) {
  const { t } = useSettings();
  const respond = useCan()('respond');
  const { path, act } = useCase(incident.id);
  const [reason, setReason] = useState('');
  const picker = useRef<HTMLInputElement>(null);
  const [capture, setCapture] = useState<EvidenceItem>();
  const query = useQuery({ queryKey: ['incident', incident.id, 'evidence'], queryFn: ({ signal }) => get<EvidenceList>(`${path}/evidence`, {}, signal) });
  const items = list(query.data?.items);
  const events = list(incident.alerts).flatMap((a) => list(a.event_ids).slice(-10)).slice(0, 200);
  const take = async (file: File | undefined) => {
    if (file && (await act(() => upload(`${path}/evidence`, { name: file.name, reason: reason.trim(), media: file.type }, file, 'application/octet-stream'), t('case.kept', { x: file.name })))) setReason('');
  };
  const pin = async () => {
    if (await act(() => post(`${path}/evidence/events`, { event_ids: events, reason: reason.trim() }), t('case.kept', { x: String(events.length) }))) setReason('');
  };
  const turn = (x: EvidenceItem) => {
    const back = () => post(`${path}/evidence/${x.id}/restore`);
    if (x.withdrawn_at) return act(back, t('case.restored', { x: x.name }));
    return act(() => post(`${path}/evidence/${x.id}/withdraw`, { reason: reason.trim() || t('case.withdraw') }), t('case.withdrawn', { x: x.name }), back);
  };
  return (
    <Panel
      id="evidence"
      title={t('case.evidence')}
      end={
        respond && (
          <Button size="small" href={buildPath(`${path}/archive`)} download>
            {t('case.archive')}
          </Button>
        )
      }
    >
      {query.error && !query.data && <Failed small error={query.error} what="case.evidence" retry={() => void query.refetch()} />}
      {query.data?.fault && (
        <div className="notice warn" role="alert">
          {t('case.broken', { x: query.data.fault })}
        </div>
      )}
      {query.data && items.length === 0 && <div className="dim">{t('case.noEvidence')}</div>}
      {items.map((x) => (
        <div key={x.id} className="row wrap" style={{ padding: '3px 0', opacity: x.withdrawn_at ? 0.55 : 1 }}>
          <a href={buildPath(`${path}/evidence/${x.id}/content`)} download>
            {x.name}
          </a>
          {x.media === MEDIA_CAPTURE && (
            <Button size="small" onClick={() => setCapture(x)}>
              {t('case.capture')}
            </Button>
          )}
          <span className="dim">{x.reason}</span>
          <code className="faint" title={x.sha256}>
            {x.sha256.slice(0, 12)}
          </code>
          <span className="dim" style={{ marginLeft: 'auto' }}>
            {x.added_by} <When time={new Date(x.added_at).toISOString()} />
          </span>
          {respond && (
            <Button size="small" type="text" onClick={() => void turn(x)}>
              {x.withdrawn_at ? t('do.undo') : t('case.withdraw')}
            </Button>
          )}
        </div>
      ))}
      {capture && <Capture path={path} item={capture} close={() => setCapture(undefined)} />}
      {!!query.data?.hidden && <div className="faint">{t('case.hidden', { n: query.data.hidden })}</div>}
      {respond && (
        <div className="row wrap" style={{ marginTop: 8 }}>
          <Input style={{ flex: '1 1 200px' }} value={reason} maxLength={2000} placeholder={t('case.reason')} aria-label={t('case.reason')} onChange={(e) => setReason(e.target.value)} />
          <input
            ref={picker}
            type="file"
            hidden
            onChange={(e) => {
              void take(e.target.files?.[0]);
              e.target.value = '';
            }}
          />
          <Button disabled={!reason.trim()} onClick={() => picker.current?.click()}>
            {t('case.upload')}
          </Button>
          <Button disabled={!reason.trim() || events.length === 0} onClick={() => void pin()}>
            {t('case.pin')}
          </Button>
        </div>
      )}
    </Panel>
  );
}

export function Observables({ incident }: { incident: Incident }) {
  const { t } = useSettings();
  const respond = useCan()('respond');
  const { path, act } = useCase(incident.id);
  const [type, setType] = useState<Observable['type']>('ip');
  const [value, setValue] = useState('');
  const query = useQuery({ queryKey: ['incident', incident.id, 'observables'], queryFn: ({ signal }) => get<Page<Observable>>(`${path}/observables`, {}, signal) });
  const items = list(query.data?.items);
  const add = async () => {
    const text = value.trim();
    const undo = () => post(`${path}/observables/remove`, { type, value: text });
    if (text && (await act(() => post(`${path}/observables`, { type, value: text }), t('case.observableAdded', { x: text }), undo))) setValue('');
  };
  return (
    <Panel id="observables" title={t('case.observables')}>
      {query.error && !query.data && <Failed small error={query.error} what="case.observables" retry={() => void query.refetch()} />}
      {query.data && items.length === 0 && <div className="dim">{t('case.noObservables')}</div>}
      {items.map((o) => (
        <div key={`${o.type} ${o.value}`} className="row wrap" style={{ padding: '2px 0' }}>
          <span className="tag">{t(`case.type.${o.type}`)}</span>
          {o.type === 'url' ? <code style={{ overflowWrap: 'anywhere' }}>{o.value}</code> : <Entity type={({ ip: 'ip', domain: 'domain', hash: 'file', file: 'file', user: 'system-user' } as const)[o.type]} value={o.value} />}
          {o.note && <span className="dim">{o.note}</span>}
          {list(o.sightings).length > 0 && (
            <span className="dim" style={{ marginLeft: 'auto' }}>
              {t('case.seenIn', { n: list(o.sightings).length })}{' '}
              {list(o.sightings)
                .slice(0, 3)
                .map((id) => (
                  <Link key={id} to={`/incidents/${encodeURIComponent(id)}`} style={{ marginLeft: 4 }}>
                    {id}
                  </Link>
                ))}
            </span>
          )}
        </div>
      ))}
      {respond && (
        <div className="row" style={{ marginTop: 8 }}>
          <Select value={type} onChange={setType} style={{ width: 96 }} aria-label={t('case.observables')} options={OBSERVABLE_TYPES.map((x) => ({ value: x, label: t(`case.type.${x}`) }))} />
          <Input value={value} maxLength={2048} aria-label={t('case.addObservable')} onChange={(e) => setValue(e.target.value)} onPressEnter={() => void add()} />
          <Button disabled={!value.trim()} onClick={() => void add()}>
            {t('case.addObservable')}
          </Button>
        </div>
      )}
    </Panel>
  );
}

export function Similar({ incident }: { incident: Incident }) {
  const { t, tx } = useSettings();
  const respond = useCan()('respond');
  const { path, act } = useCase(incident.id);
  const query = useQuery({ queryKey: ['incident', incident.id, 'similar'], queryFn: ({ signal }) => get<Page<Likeness>>(`${path}/similar`, {}, signal) });
  const items = list(query.data?.items);
  const merge = async (other: string) => {
    let made = '';
    await act(
      async () => {
        made = (await post<{ id: string }>(`${path}/merge`, { incidents: [other] })).id;
      },
      t('case.merged', { x: other }),
      () => post(`${path}/regroups/${made}/undo`),
    );
  };
  return (
    <Panel id="similar" title={t('case.similar')}>
      {query.error && !query.data && <Failed small error={query.error} what="case.similar" retry={() => void query.refetch()} />}
      {query.data && items.length === 0 && <Empty small title={t('case.noSimilar')} />}
      {items.map((m) => (
        <div key={m.id} style={{ padding: '4px 0' }}>
          <div className="row">
            <span className="num dim">{Math.round(m.score * 100)}%</span>
            <Link className="ellipsis" to={`/incidents/${encodeURIComponent(m.id)}`} title={tx(m.incident.title)}>
              {tx(m.incident.title)}
            </Link>
            <span style={{ marginLeft: 'auto' }} />
            {m.incident.resolution ? <span className="tag">{t(`resolution.${m.incident.resolution}`)}</span> : <StatusMark status={m.incident.status} />}
          </div>
          <div className="faint">{list(m.why).map(tx).join(' · ')}</div>
          {respond && incident.status !== 'closed' && m.incident.status !== 'closed' && m.incident.tenant === incident.tenant && (
            <Button size="small" type="link" style={{ paddingInline: 0 }} onClick={() => void merge(m.id)}>
              {t('case.merge')}
            </Button>
          )}
        </div>
      ))}
    </Panel>
  );
}
