import { useQuery } from '@tanstack/react-query';
import { Button, Input, Select } from 'antd';
import { useState } from 'react';
import { ENTITY_TYPES, type EntityType } from '../../api/graph';
import { get } from '../../api/client';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useSettings } from '../../app/settings';
import { entityOf } from '../../logic/graph';

/** Puts an entity on the graph by its type and value. */
export function AddEntity({ add }: { add: (id: string) => void }) {
  const { t } = useSettings();
  const [type, setType] = useState<EntityType>('ip');
  const [text, setText] = useState('');
  const [bad, setBad] = useState(false);
  const submit = () => {
    const id = entityOf(type, text);
    const ok = id !== '' && (!id.startsWith('ip:') || /^ip:([^|]*\|)?([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)$/.test(id)) && (!id.startsWith('process:') || /^process:[^|]+\|.+$/s.test(id));
    setBad(!ok);
    if (!ok) return;
    add(id);
    setText('');
  };
  return (
    <form
      className="row"
      style={{ gap: 4 }}
      onSubmit={(e) => {
        e.preventDefault();
        submit();
      }}
    >
      <Select<EntityType> aria-label={t('graph.type')} value={type} onChange={setType} options={ENTITY_TYPES.map((v) => ({ value: v, label: t(`entity.${v}`) }))} popupMatchSelectWidth={false} />
      <Input aria-label={t('graph.value')} placeholder={t('graph.valueHint')} value={text} status={bad ? 'error' : ''} aria-invalid={bad} title={bad ? t('graph.badEntity') : undefined} maxLength={512} style={{ width: 210 }} onChange={(e) => setText(e.target.value)} />
      <Button htmlType="submit">{t('graph.add')}</Button>
      {bad && (
        <span role="alert" className="dim">
          {t('graph.badEntity')}
        </span>
      )}
    </form>
  );
}

/** An empty graph: what it is for, and where to begin. */
export function Start({ add }: { add: (id: string) => void }) {
  const { t } = useSettings();
  const can = useCan();
  const query = useQuery({ enabled: can('list-attackers'), queryKey: ['alerts', 'attackers', 'graph'], queryFn: ({ signal }) => get<Page<{ attacker: string; alerts: number }>>('/attackers', { since: '168h', limit: 5 }, signal) });
  const attackers = list(query.data?.items);
  return (
    <div className="panel">
      <div className="state">
        <h3>{t('graph.start')}</h3>
        <div>{t('graph.startWhy')}</div>
        <div className="do">
          <AddEntity add={add} />
        </div>
        {attackers.length > 0 && (
          <div className="row wrap" style={{ marginTop: 14, gap: 6, justifyContent: 'center' }}>
            <span className="dim">{t('graph.startFrom')}</span>
            {attackers.map((a) => (
              <Button key={a.attacker} size="small" onClick={() => add(`ip:${a.attacker}`)}>
                {a.attacker}
              </Button>
            ))}
          </div>
        )}
      </div>
    </div>
  );
}
