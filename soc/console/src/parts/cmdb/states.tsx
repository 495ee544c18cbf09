import { useQuery } from '@tanstack/react-query';
import { Button, Dropdown } from 'antd';
import { useWords, type Item } from '../../api/cmdb';
import type { ItemState } from '../../api/cmdbkept';
import { get, patch } from '../../api/client';
import { useCan } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { clock } from '../../logic/format';
import { Panel } from '../page';
import { When } from '../time';
import { useSayValue } from './value';

/** Where an item stands in its life cycles: since when, by whom, and the steps that may follow. */
export function LifeCycles({ item }: { item: Item }) {
  const { t, locale } = useSettings();
  const can = useCan();
  const words = useWords();
  const say = useSayValue();
  const { act, busy } = useAct();
  const path = `/cmdb/items/${encodeURIComponent(item.id)}`;
  const query = useQuery({ enabled: can('get-cmdb-item-states'), queryKey: ['cmdb', 'states', item.id], queryFn: async ({ signal }) => list((await get<Page<ItemState>>(`${path}/states`, {}, signal)).items) });
  const states = list(query.data);
  if (states.length === 0) return null;
  const step = (s: ItemState, value: string) => {
    const set = (v: string) => patch(path, { attributes: { [s.attribute]: v || null } });
    void act(() => set(value), { said: t('ci.state.now', { x: say(`attr.${s.attribute}`, value, item.class) }), renew: ['cmdb'] });
  };
  return (
    <>
      {states.map((s) => {
        const field = `attr.${s.attribute}`;
        const periods = [...list(s.periods)].reverse();
        const dictionary = words.attributeOf(s.attribute)?.dictionary;
        const standard = list(list(words.model?.dictionaries).find((d) => d.name === dictionary)?.values).map((v) => v.value);
        const next = s.any ? standard.filter((v) => v !== s.value) : list(s.next);
        const name = words.attributeName(s.attribute, item.class);
        return (
          <Panel
            key={s.attribute}
            id="lifecycle"
            title={name}
            end={
              can('change-cmdb-item') &&
              next.length > 0 && (
                <Dropdown trigger={['click']} menu={{ items: next.map((v) => ({ key: v, label: say(field, v, item.class), onClick: () => step(s, v) })) }}>
                  <Button size="small" loading={busy}>
                    {t('ci.state.step')} ▾
                  </Button>
                </Dropdown>
              )
            }
          >
            <div className="row" style={{ gap: 8, marginBottom: periods.length > 0 ? 6 : 0 }}>
              <b>{s.value ? say(field, s.value, item.class) : t('ci.state.none')}</b>
              {!s.any && list(s.next).length === 0 && <span className="dim">{t('ci.state.last')}</span>}
            </div>
            {periods.length > 0 && (
              <ol className="timeline">
                {periods.slice(0, 6).map((p) => (
                  <li key={p.since} className={p.until ? '' : 'k-created'}>
                    <div className="t-head">
                      <b className="nowrap">{p.value ? say(field, p.value, item.class) : t('ci.state.none')}</b>
                      <span className="dim ellipsis">{p.actor}</span>
                      {p.until && <span className="faint nowrap">{clock(Date.parse(p.until) - Date.parse(p.since), locale)}</span>}
                      <When time={p.since} />
                    </div>
                  </li>
                ))}
              </ol>
            )}
          </Panel>
        );
      })}
    </>
  );
}
