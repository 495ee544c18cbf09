import { Button, Input, Modal, Select } from 'antd';
import { useState } from 'react';
import { useWords, type Attribute, type Item } from '../../api/cmdb';
import { list, type ImportError } from '../../api/types';
import { useAct } from '../../app/act';
import { useRefusal } from '../../app/refusal';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';
import type { Key } from '../../locales/zh';
import { Refused } from '../dialog';
import { AttributeInput } from './inputs';
import { ItemPicker } from './itempicker';
import { apply, edits, rowErrors, takeBack, type Edit } from './upsert';

const COMMON = ['labels', 'owner', 'criticality', 'zone', 'system', 'organisation'] as const;
const SHOWN = 100;

/** Changes one field of many items: looks first, changes all or none, and can be taken back. */
export function BulkDialog({ items, close }: { items: readonly Item[]; close: (changed: boolean) => void }) {
  const { t, locale } = useSettings();
  const refusal = useRefusal();
  const words = useWords();
  const { act, tell, busy } = useAct();
  const [field, setField] = useState<string>('labels');
  const [way, setWay] = useState<'add' | 'take' | 'set'>('add');
  const [text, setText] = useState('');
  const [plan, setPlan] = useState<Edit[] | null>(null);
  const [mistakes, setMistakes] = useState<ImportError[]>([]);
  const [error, setError] = useState<unknown>(null);
  const [checking, setChecking] = useState(false);
  const classes = [...new Set(items.map((i) => i.class))];
  // What all of them have: a value means the same to each.
  const attributes = list(words.classOf(classes[0] ?? '')?.attributes).filter((a) => classes.every((c) => list(words.classOf(c)?.attributes).some((x) => x.name === a.name)));
  const attribute: Attribute | undefined = field.startsWith('attr.') ? attributes.find((a) => `attr.${a.name}` === field) : undefined;
  const many = field === 'labels' || !!attribute?.multiple;
  const forget = () => {
    setPlan(null);
    setMistakes([]);
    setError(null);
  };
  const next = (before: string): string => {
    const given = text.split(';').map((x) => x.trim()).filter(Boolean);
    if (!many || way === 'set') return many ? given.join(';') : text.trim();
    const have = before.split(';').filter(Boolean);
    return (way === 'add' ? [...have, ...given.filter((x) => !have.includes(x))] : have.filter((x) => !given.includes(x))).join(';');
  };
  const preview = async () => {
    forget();
    const wanted = edits(items, field, next);
    setChecking(true);
    try {
      if (wanted.length > 0) await apply(wanted, true);
      setPlan(wanted);
    } catch (e) {
      const rows = rowErrors(e);
      if (rows.length > 0) {
        setPlan(wanted);
        setMistakes(rows);
      } else setError(e);
    } finally {
      setChecking(false);
    }
  };
  const run = async () => {
    if (!plan) return;
    try {
      await apply(plan, false);
    } catch (e) {
      setError(e);
      return;
    }
    tell({ said: t('ci.bulkDone', { n: plan.length }), renew: ['cmdb'], undo: () => void act(() => takeBack(plan), { said: t('ci.undone'), renew: ['cmdb'] }) });
    close(true);
  };
  const said = new Map(mistakes.map((m) => [(m.row ?? 1) - 1, refusal(m.message)]));
  return (
    <Modal
      open
      width={760}
      title={t('ci.bulkTitle', { n: items.length })}
      onCancel={() => close(false)}
      cancelText={t('do.cancel')}
      okText={plan ? t('ci.bulkDo', { n: plan.length }) : t('ci.bulkPreview')}
      okButtonProps={{ loading: checking || busy, disabled: plan !== null && (plan.length === 0 || mistakes.length > 0) }}
      onOk={() => void (plan ? run() : preview())}
    >
      <div className="stack" style={{ gap: 10, paddingTop: 6 }}>
        <div className="row wrap" style={{ gap: 8 }}>
          <Select
            aria-label={t('ci.bulkWhat')}
            showSearch
            optionFilterProp="label"
            value={field}
            onChange={(v: string) => {
              setField(v);
              setText('');
              forget();
            }}
            style={{ width: 200 }}
            options={[
              { label: t('ci.common'), options: COMMON.map((f) => ({ value: f as string, label: t(`ci.f.${f}` as Key) })) },
              { label: t('ci.attributes'), options: attributes.map((a) => ({ value: `attr.${a.name}`, label: words.attributeName(a.name, classes[0]) })) },
            ]}
          />
          {many && (
            <Select
              aria-label={t('ci.operator')}
              value={way}
              onChange={(v: 'add' | 'take' | 'set') => {
                setWay(v);
                forget();
              }}
              options={[
                { value: 'add', label: t('ci.bulkAdd') },
                { value: 'take', label: t('ci.bulkTake') },
                { value: 'set', label: t('ci.bulkSet') },
              ]}
              style={{ width: 110 }}
            />
          )}
          <span style={{ flex: 1, minWidth: 220 }}>
            {attribute ? (
              <AttributeInput
                attribute={attribute}
                label={t('ci.value')}
                value={text}
                onChange={(v) => {
                  setText(v);
                  forget();
                }}
              />
            ) : field === 'system' || field === 'organisation' ? (
              <ItemPicker
                label={t('ci.value')}
                classes={[field === 'system' ? 'business_system' : 'organisation']}
                value={text}
                onChange={(v) => {
                  setText(v);
                  forget();
                }}
              />
            ) : field === 'criticality' ? (
              <Select
                aria-label={t('ci.value')}
                value={text || undefined}
                onChange={(v: string) => {
                  setText(v);
                  forget();
                }}
                options={['1', '2', '3', '4', '5'].map((v) => ({ value: v, label: v }))}
                style={{ width: '100%' }}
              />
            ) : (
              <Input
                aria-label={t('ci.value')}
                placeholder={many ? t('ci.listHint') : undefined}
                value={text}
                onChange={(e) => {
                  setText(e.target.value);
                  forget();
                }}
                onPressEnter={() => void preview()}
              />
            )}
          </span>
          {plan && <Button onClick={() => void preview()}>{t('ci.bulkPreview')}</Button>}
        </div>
        <Refused error={error} />
        {plan && (
          <>
            <div role="status" className={mistakes.length > 0 ? 'notice warn' : 'dim'}>
              {mistakes.length > 0 ? t('ci.bulkBad', { n: mistakes.length }) : t('ci.bulkWill', { n: plan.length, m: items.length - plan.length })}
            </div>
            <div style={{ maxHeight: 340, overflow: 'auto' }}>
              <table className="data" aria-label={t('ci.bulkPreview')}>
                <thead>
                  <tr>
                    <th scope="col">{t('ci.item')}</th>
                    <th scope="col">{t('ci.before')}</th>
                    <th scope="col">{t('ci.after')}</th>
                  </tr>
                </thead>
                <tbody>
                  {plan
                    .map((e, i) => ({ e, bad: said.get(i) }))
                    .sort((a, b) => Number(!!b.bad) - Number(!!a.bad))
                    .slice(0, SHOWN)
                    .map(({ e, bad }) => (
                      <tr key={e.item.id}>
                        <td>{e.item.name}</td>
                        <td>{e.before || <span className="faint">–</span>}</td>
                        <td>
                          {e.after || <span className="faint">–</span>}
                          {bad && (
                            <div className="bad" role="alert">
                              {bad}
                            </div>
                          )}
                        </td>
                      </tr>
                    ))}
                </tbody>
              </table>
              {plan.length > SHOWN && <div className="faint">… {number(plan.length - SHOWN, locale)}</div>}
            </div>
          </>
        )}
      </div>
    </Modal>
  );
}
