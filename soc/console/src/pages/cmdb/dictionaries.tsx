import { Button, Input } from 'antd';
import { useEffect, useState } from 'react';
import { useWords, type Dictionary, type DictionaryValue, type ModelDocument } from '../../api/cmdb';
import { list } from '../../api/types';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { download, tableCSV } from '../../logic/export';
import { NamedDialog } from '../../parts/cmdb/definitions';
import { ChangeDialog, Moving, overlaid, useModelDocument, withDefinition } from '../../parts/cmdb/modelchange';
import { Head, Panel } from '../../parts/page';
import { SearchBox } from '../../parts/search';
import { Empty } from '../../parts/states';
import { DocumentWaits } from '../../parts/cmdb/waiting';

/** Dictionaries: the standard values of attributes, and those that administrators add. */
export default function Dictionaries() {
  const { t, tx } = useSettings();
  const state = useModelDocument();
  const [url, setUrl] = useUrl();
  const [change, setChange] = useState<ModelDocument | null>(null);
  const [adding, setAdding] = useState(false);
  const q = (url.get('q') ?? '').toLowerCase();
  const all = list(state.model?.dictionaries);
  const shown = all.filter((d) => !q || `${d.name} ${d.title?.zh ?? ''} ${d.title?.en ?? ''} ${list(d.values).map((v) => `${v.value} ${v.zh ?? ''} ${v.en ?? ''}`).join(' ')}`.toLowerCase().includes(q));
  const name = url.get('name') ?? shown[0]?.name ?? '';
  const chosen = all.find((d) => d.name === name);
  return (
    <div className="page">
      <Head title={t('page.cmdb.dictionaries')} sub={t('ci.dict.lead')}>
        {state.editable && (
          <Button type="primary" onClick={() => setAdding(true)}>
            {t('ci.dict.new')}
          </Button>
        )}
      </Head>
      {state.model && <Moving model={state.model} />}
      <div className="filters" role="search">
        <SearchBox hint={t('ci.dict.find')} />
      </div>
      {!state.ready ? (
        <DocumentWaits lines={8} />
      ) : (
        <div className="split" style={{ alignItems: 'flex-start' }}>
          <aside className="panel classpanel" style={{ width: 250, flex: 'none' }}>
            {shown.length === 0 && <Empty small title={t('ci.dict.none')} why={t('ci.dict.noneWhy')} />}
            {shown.map((d) => (
              <div key={d.name} className={`classrow${d.name === name ? ' on' : ''}`} style={{ paddingLeft: 8 }}>
                <button className="plain classname ellipsis" onClick={() => setUrl({ name: d.name })}>
                  {tx(d.title) || d.name}
                </button>
                {overlaid(state.document, 'dictionaries', d.name) && <span className="faint">{t(state.model?.shipped?.['dictionaries']?.includes(d.name) ? 'ci.model.changed' : 'ci.model.own')}</span>}
                <span className="num">{list(d.values).length}</span>
              </div>
            ))}
          </aside>
          {chosen ? (
            <Values key={chosen.name} dictionary={chosen} document={state.document} shipped={!!state.model?.shipped?.['dictionaries']?.includes(chosen.name)} editable={state.editable} propose={setChange} />
          ) : (
            <div className="panel" style={{ flex: 1 }}>
              <Empty title={t('ci.dict.choose')} />
            </div>
          )}
        </div>
      )}
      {adding && <NamedDialog title={t('ci.dict.new')} done={(v) => setChange(withDefinition(state.document, 'dictionaries', v.name, { ...v, values: [{ value: 'other', zh: '其他', en: 'Other' }] }))} close={() => setAdding(false)} />}
      {change && <ChangeDialog document={change} revision={state.revision} close={() => setChange(null)} />}
    </div>
  );
}

function Values({ dictionary: d, document, shipped, editable, propose }: { dictionary: Dictionary; document: ModelDocument; shipped: boolean; editable: boolean; propose: (d: ModelDocument) => void }) {
  const { t, tx } = useSettings();
  const words = useWords();
  const overlay = list(document.dictionaries).find((x) => x.name === d.name);
  const laid = new Set(list(overlay?.values).map((v) => v.value));
  const [rows, setRows] = useState<DictionaryValue[]>(list(d.values));
  useEffect(() => setRows(list(d.values)), [d]);
  const before = new Map(list(d.values).map((v) => [v.value, v]));
  const same = (a: DictionaryValue, b?: DictionaryValue) => !!b && a.value === b.value && (a.zh ?? '') === (b.zh ?? '') && (a.en ?? '') === (b.en ?? '');
  const dirty = rows.filter((r) => r.value && !same(r, before.get(r.value)));
  const gone = list(d.values).filter((v) => !rows.some((r) => r.value === v.value));
  const users = list(words.model?.classes).flatMap((c) => list(c.attributes).filter((a) => a.dictionary === d.name).map((a) => `${words.className(c.class)} · ${words.attributeName(a.name, c.class)}`));
  const set = (i: number, part: Partial<DictionaryValue>) => setRows(rows.map((r, j) => (j === i ? { ...r, ...part } : r)));
  const save = () => {
    const kept = list(overlay?.values).filter((v) => rows.some((r) => r.value === v.value) && !dirty.some((x) => x.value === v.value));
    propose(withDefinition(document, 'dictionaries', d.name, { name: d.name, title: overlay?.title ?? d.title, values: [...kept, ...dirty] }));
  };
  return (
    <Panel
      title={
        <>
          {tx(d.title) || d.name} <span className="mono faint">{d.name}</span>
        </>
      }
      end={
        <>
          <Button size="small" onClick={() => download(`${d.name}.csv`, 'text/csv', tableCSV([['value', 'zh', 'en'], ...list(d.values).map((v) => [v.value, v.zh ?? '', v.en ?? ''])]))}>
            {t('ci.exportCsv')}
          </Button>
          {editable && overlay && (
            <Button size="small" onClick={() => propose(withDefinition(document, 'dictionaries', d.name, null))}>
              {t(shipped ? 'ci.model.resetTo' : 'ci.delete')}
            </Button>
          )}
          {editable && (
            <Button size="small" type="primary" disabled={dirty.length + gone.length === 0} onClick={save}>
              {t('ci.change.preview')}
            </Button>
          )}
        </>
      }
    >
      <div className="dim" style={{ marginBottom: 8 }}>
        {users.length > 0 ? t('ci.dict.usedBy', { x: users.slice(0, 6).join(t('ci.comma')) }) : t('ci.dict.unused')} · {t('ci.dict.valuesN', { n: rows.length })}
      </div>
      <div style={{ maxHeight: 560, overflow: 'auto' }}>
        <table className="data" aria-label={tx(d.title) || d.name}>
          <thead>
            <tr>
              <th scope="col">{t('ci.dict.value')}</th>
              <th scope="col">{t('ci.model.zh')}</th>
              <th scope="col">{t('ci.model.en')}</th>
              <th />
            </tr>
          </thead>
          <tbody>
            {rows.map((r, i) => {
              const own = !shipped || laid.has(r.value) || !before.has(r.value);
              return (
                <tr key={i}>
                  <td className="mono">{before.has(r.value) || !editable ? r.value : <Input size="small" aria-label={t('ci.dict.value')} value={r.value} onChange={(e) => set(i, { value: e.target.value })} />}</td>
                  <td>{editable ? <Input size="small" variant="borderless" aria-label={`${r.value} ${t('ci.model.zh')}`} value={r.zh} onChange={(e) => set(i, { zh: e.target.value })} /> : r.zh}</td>
                  <td>{editable ? <Input size="small" variant="borderless" aria-label={`${r.value} ${t('ci.model.en')}`} value={r.en} onChange={(e) => set(i, { en: e.target.value })} /> : r.en}</td>
                  <td style={{ width: 40 }}>
                    {editable && own && (
                      <button className="plain x" aria-label={`${t('do.delete')} ${r.value}`} onClick={() => setRows(rows.filter((_, j) => j !== i))}>
                        ✕
                      </button>
                    )}
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      {editable && (
        <Button size="small" style={{ marginTop: 8 }} onClick={() => setRows([...rows, { value: '', zh: '', en: '' }])}>
          + {t('ci.dict.add')}
        </Button>
      )}
    </Panel>
  );
}
