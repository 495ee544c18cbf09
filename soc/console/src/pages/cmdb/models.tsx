import { useQuery } from '@tanstack/react-query';
import { Button, Select } from 'antd';
import { Suspense, useMemo, useRef, useState } from 'react';
import { Link } from 'react-router-dom';
import { useWords, type Attribute, type Class, type Model, type ModelDocument, type Statistics, type Template } from '../../api/cmdb';
import { get } from '../../api/client';
import { list } from '../../api/types';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { attributeGroups, countOf } from '../../logic/cmdb';
import { number } from '../../logic/format';
import { lanes } from '../../logic/topology';
import { ClassTree } from '../../parts/cmdb/classtree';
import { AttributeDialog, ClassDialog, NamedDialog, RelationTypeDialog } from '../../parts/cmdb/definitions';
import type { GraphHandle } from '../../parts/cmdb/graph';
import { ChangeDialog, Moving, Revisions, overlaid, useModelDocument, withDefinition } from '../../parts/cmdb/modelchange';
import { LazyGraph, layerOfClass } from '../../parts/cmdb/picture';
import { useChecks } from '../../parts/cmdb/checks';
import { Head, Panel } from '../../parts/page';
import { DocumentWaits } from '../../parts/cmdb/waiting';
import { Empty, Skeleton } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { Tabs, useTab } from '../../parts/tabs';

const TABS = ['classes', 'topology', 'templates', 'layers', 'revisions'] as const;

/** The model: classes with attributes, how they may hang together, templates, layers, and what became of it. */
export default function Models() {
  const { t } = useSettings();
  const state = useModelDocument();
  const tabs = TABS.map((key) => ({ key, title: t(`ci.model.tab.${key}`) }));
  const tab = useTab(tabs);
  const [change, setChange] = useState<ModelDocument | null>(null);
  const propose = (d: ModelDocument) => setChange(d);
  return (
    <div className="page">
      <Head title={t('page.cmdb.models')} sub={t('ci.model.lead')} />
      {state.model && <Moving model={state.model} />}
      <Tabs tabs={tabs} label={t('page.cmdb.models')} />
      {!state.ready || !state.model ? (
        <DocumentWaits lines={10} />
      ) : (
        <>
          {tab === 'classes' && <Classes model={state.model} document={state.document} editable={state.editable} propose={propose} />}
          {tab === 'topology' && <ModelTopology model={state.model} document={state.document} editable={state.editable} propose={propose} />}
          {tab === 'templates' && <Templates model={state.model} document={state.document} editable={state.editable} propose={propose} />}
          {tab === 'layers' && <LayersTab model={state.model} document={state.document} editable={state.editable} propose={propose} />}
          {tab === 'revisions' && (
            <div className="panel">
              <Revisions />
            </div>
          )}
        </>
      )}
      {change && <ChangeDialog document={change} revision={state.revision} close={() => setChange(null)} />}
    </div>
  );
}

interface Part {
  model: Model;
  document: ModelDocument;
  editable: boolean;
  propose: (d: ModelDocument) => void;
}
const isShipped = (m: Model, kind: string, name: string) => !!m.shipped?.[kind]?.includes(name);

function Classes({ model, document, editable, propose }: Part) {
  const { t, tx, locale } = useSettings();
  const words = useWords();
  const checks = useChecks();
  const [url, setUrl] = useUrl();
  const name = url.get('class') ?? 'host';
  const cls = words.classOf(name);
  const statistics = useQuery({ queryKey: ['cmdb', 'statistics'], queryFn: ({ signal }) => get<Statistics>('/cmdb/statistics', {}, signal), staleTime: 30_000 });
  const [editing, setEditing] = useState<'' | 'class' | 'new' | 'sub'>('');
  const [attribute, setAttribute] = useState<Attribute | 'new' | null>(null);
  const [template, setTemplate] = useState(false);
  const own = !isShipped(model, 'classes', name);
  const overlay = list(document.classes).find((c) => c.class === name);
  const put = (c: Class) => propose(withDefinition(document, 'classes', c.class, c));
  const parent = words.classOf(cls?.extends ?? '');
  const inherited = new Set(list(parent?.attributes).map((a) => a.name));
  const groups = attributeGroups(cls, model);
  const rows = groups.flatMap((g) => g.attributes.map((a) => ({ a, from: inherited.has(a.name) ? t('ci.model.inherited') : g.template ? t('ci.model.fromTemplate', { x: tx(list(model.templates).find((x) => x.name === g.template)?.title) || g.template }) : '' })));
  const setOne = (a: Attribute) => put({ ...(overlay ?? { class: name }), attributes: [...list(overlay?.attributes).filter((x) => x.name !== a.name), a], remove: list(overlay?.remove).filter((x) => x !== a.name) });
  const remove = (a: Attribute) => {
    // What was laid over the class goes; what the suite brings is named as not wanted.
    const laid = list(overlay?.attributes).some((x) => x.name === a.name);
    put({ ...(overlay ?? { class: name }), attributes: list(overlay?.attributes).filter((x) => x.name !== a.name), remove: laid ? list(overlay?.remove) : [...list(overlay?.remove), a.name] });
  };
  const related = list(model.relation_types).filter((r) => [...list(r.from), ...list(r.to)].includes(name));
  return (
    <div className="split" style={{ alignItems: 'flex-start' }}>
      <aside className="panel classpanel" style={{ width: 250, flex: 'none' }}>
        {editable && (
          <Button size="small" block style={{ marginBottom: 8 }} onClick={() => setEditing('new')}>
            + {t('ci.model.add')}
          </Button>
        )}
        <ClassTree model={model} chosen={name} choose={(c) => setUrl({ class: c })} counts={statistics.data?.classes} marks={(n) => (!isShipped(model, 'classes', n) ? t('ci.model.own') : overlaid(document, 'classes', n) ? t('ci.model.changed') : '')} />
      </aside>
      {cls ? (
        <div className="stack" style={{ gap: 14, flex: 1, minWidth: 0 }}>
          <Panel
            title={
              <>
                {words.className(name)} <span className="mono faint">{name}</span>
              </>
            }
            end={
              editable && (
                <>
                  <Button size="small" onClick={() => setEditing('class')}>
                    {t('ci.edit')}
                  </Button>
                  <Button size="small" onClick={() => setEditing('sub')}>
                    {t('ci.model.addSub')}
                  </Button>
                  <Button size="small" onClick={() => setTemplate(true)}>
                    {t('ci.model.asTemplate')}
                  </Button>
                  {(own || overlay) && (
                    <Button size="small" onClick={() => propose(withDefinition(document, 'classes', name, null))}>
                      {t(own ? 'ci.model.delete' : 'ci.model.resetTo')}
                    </Button>
                  )}
                </>
              )
            }
          >
            <dl className="facts">
              <dt>{t('ci.items')}</dt>
              <dd>
                <Link to={`/cmdb/items?class=${name}`}>{number(countOf(statistics.data?.classes ?? {}, model, name), locale)}</Link>
              </dd>
              <dt>{t('ci.model.layer')}</dt>
              <dd>{words.layerName(layerOfClass(words, name)) || '–'}</dd>
              <dt>{t('ci.model.extends')}</dt>
              <dd>{cls.extends ? words.className(cls.extends) : '–'}</dd>
              <dt>{t('ci.model.key')}</dt>
              <dd>{list(cls.key).length === 0 ? t('ci.model.keyDefault') : list(cls.key).map((k) => (k === 'name' ? t('ci.f.name') : k === 'zone' ? t('ci.f.zone') : words.attributeName(k, name))).join(t('ci.comma'))}</dd>
              <dt>{t('ci.model.addresses')}</dt>
              <dd>{t(`ci.model.addresses.${cls.addresses || 'none'}`)}</dd>
            </dl>
          </Panel>
          <Panel title={t('ci.model.attributes')} flush end={editable && <Button size="small" onClick={() => setAttribute('new')}>+ {t('ci.model.addAttribute')}</Button>}>
            <DataTable
              label={t('ci.model.attributes')}
              rows={rows}
              rowKey={(r) => r.a.name}
              columns={[
                { key: 'title', title: t('ci.model.attribute'), render: (r) => <>{tx(r.a.title) || r.a.name} <span className="mono faint">{r.a.name}</span></> },
                { key: 'type', title: t('ci.model.type'), render: (r) => <>{t(`ci.model.type.${r.a.type}`)}{r.a.multiple ? ` · ${t('ci.model.multiple')}` : ''}</> },
                { key: 'checks', title: t('ci.model.rules'), render: (r) => <span className="dim">{checks(r.a).join('; ') || '–'}</span> },
                { key: 'from', title: '', render: (r) => <span className="faint">{r.from}</span> },
                {
                  key: 'do',
                  title: '',
                  render: (r) =>
                    editable &&
                    r.from === '' && (
                      <span className="row" style={{ gap: 6, justifyContent: 'flex-end' }}>
                        <Button size="small" onClick={() => setAttribute(r.a)}>
                          {t('ci.edit')}
                        </Button>
                        <Button size="small" onClick={() => remove(r.a)}>
                          {t('ci.delete')}
                        </Button>
                      </span>
                    ),
                },
              ]}
            />
          </Panel>
          {related.length > 0 && (
            <Panel title={t('ci.model.relations')}>
              {related.map((r) => (
                <div key={r.name}>
                  {list(r.from).map(words.className).join(' / ') || t('ci.rule.any')} <b>— {words.typeName(r.name)} →</b> {list(r.to).map(words.className).join(' / ') || t('ci.rule.any')} <span className="faint">{r.cardinality && t(`ci.rule.c.${r.cardinality}`)}</span>
                </div>
              ))}
              <Link to="/cmdb/rules">{t('ci.rule.tab.types')}</Link>
            </Panel>
          )}
        </div>
      ) : (
        <div className="panel" style={{ flex: 1 }}>
          <Empty title={t('ci.chooseClass')} />
        </div>
      )}
      {editing === 'class' && cls && <ClassDialog cls={cls} own={own} overlay={overlay} done={put} close={() => setEditing('')} />}
      {(editing === 'new' || editing === 'sub') && <ClassDialog own parent={editing === 'sub' ? name : undefined} layer={editing === 'sub' ? undefined : layerOfClass(words, name)} done={put} close={() => setEditing('')} />}
      {attribute && cls && <AttributeDialog attribute={attribute === 'new' ? undefined : attribute} others={list(cls.attributes)} done={setOne} close={() => setAttribute(null)} />}
      {template && cls && <NamedDialog title={t('ci.model.asTemplate')} done={(v) => propose(withDefinition(document, 'templates', v.name, { ...v, attributes: list(cls.attributes) } satisfies Template))} close={() => setTemplate(false)} />}
    </div>
  );
}

/** How classes may hang together: relation types that name both ends, and references. */
function ModelTopology({ model, document, editable, propose }: Part) {
  const { t } = useSettings();
  const words = useWords();
  const graph = useRef<GraphHandle>(null);
  const [chosen, setChosen] = useState('');
  const [type, setType] = useState('');
  const [adding, setAdding] = useState(false);
  const links = useMemo(() => {
    const out: { from: string; type: string; to: string }[] = [];
    for (const r of list(model.relation_types)) for (const from of list(r.from)) for (const to of list(r.to)) out.push({ from, type: r.name, to });
    for (const c of list(model.classes)) for (const a of list(c.attributes)) if (a.type === 'reference') for (const to of [a.class ?? '', ...list(a.classes)].filter(Boolean)) out.push({ from: c.class, type: a.relation || 'references', to });
    return [...new Map(out.map((l) => [`${l.from} ${l.type} ${l.to}`, l])).values()];
  }, [model]);
  const drawn = useMemo(() => {
    const shown = list(model.classes).filter((c) => !c.abstract || links.some((l) => l.from === c.class || l.to === c.class));
    const p = lanes(shown.map((c) => ({ id: c.class, layer: layerOfClass(words, c.class) })), links, list(model.layers).map((l) => l.name), 7);
    return {
      nodes: shown.map((c) => ({ id: c.class, name: words.className(c.class), sub: c.class, kind: c.class, at: p.at.get(c.class) ?? { x: 0, y: 0 } })),
      edges: links.map((l) => ({ id: `${l.from} ${l.type} ${l.to}`, from: l.from, to: l.to, label: words.typeName(l.type) })),
      lanes: p.lanes.map((l) => ({ ...l, title: l.key ? words.layerName(l.key) : t('ci.noLayer') })),
    };
  }, [model, links, words, t]);
  const relation = list(model.relation_types).find((r) => r.name === type);
  const mine = links.filter((l) => chosen && (l.from === chosen || l.to === chosen));
  return (
    <div className="split" style={{ minHeight: 560 }}>
      <div className="panel canvas graphbox" style={{ minHeight: 560 }}>
        <div className="graphtools">
          {editable && (
            <Button size="small" type="primary" onClick={() => setAdding(true)}>
              + {t('ci.model.topoAdd')}
            </Button>
          )}
          <Button size="small" onClick={() => graph.current?.fit()}>
            {t('ci.fit')}
          </Button>
        </div>
        <Suspense fallback={<Skeleton lines={12} />}>
          <LazyGraph ref={graph} label={t('ci.graphOf', { n: drawn.nodes.length, m: drawn.edges.length })} nodes={drawn.nodes} edges={drawn.edges} lanes={drawn.lanes} chosen={chosen} onChoose={setChosen} onEdge={(e) => setType(e.split(' ')[1] ?? '')} lines="down" height={560} fitKey="model" />
        </Suspense>
      </div>
      <aside className="panel sidebox">
        <div className="dim">{t('ci.model.topoWhy')}</div>
        <Select aria-label={t('ci.class')} showSearch allowClear optionFilterProp="label" placeholder={t('ci.class')} value={chosen || undefined} onChange={(v?: string) => setChosen(v ?? '')} options={drawn.nodes.map((n) => ({ value: n.id, label: n.name }))} />
        <ul className="onit" aria-label={t('ci.model.relations')}>
          {(chosen ? mine : links).map((l) => (
            <li key={`${l.from} ${l.type} ${l.to}`}>
              <button className={`plain${l.type === type ? ' on' : ''}`} onClick={() => setType(l.type)}>
                <span className="ellipsis">
                  {words.className(l.from)} → {words.className(l.to)}
                </span>
                <span className="faint">{words.typeName(l.type)}</span>
              </button>
            </li>
          ))}
        </ul>
        {editable && relation && overlaid(document, 'relation_types', relation.name) && (
          <Button size="small" onClick={() => propose(withDefinition(document, 'relation_types', relation.name, null))}>
            {t(isShipped(model, 'relation_types', relation.name) ? 'ci.model.resetTo' : 'ci.delete')} · {words.typeName(relation.name)}
          </Button>
        )}
      </aside>
      {editable && relation && type && <RelationTypeDialog key={type} type={relation} done={(r) => propose(withDefinition(document, 'relation_types', r.name, r))} close={() => setType('')} />}
      {adding && <RelationTypeDialog from={chosen || undefined} done={(r) => propose(withDefinition(document, 'relation_types', r.name, r))} close={() => setAdding(false)} />}
    </div>
  );
}

function Templates({ model, document, editable, propose }: Part) {
  const { t, tx } = useSettings();
  const words = useWords();
  const [adding, setAdding] = useState(false);
  const [from, setFrom] = useState<string | undefined>(undefined);
  const [attribute, setAttribute] = useState<{ template: Template; attribute?: Attribute } | null>(null);
  const put = (x: Template) => propose(withDefinition(document, 'templates', x.name, x));
  const overlay = (name: string) => list(document.templates).find((x) => x.name === name);
  return (
    <>
      <div className="filters">
        {editable && (
          <>
            <Select allowClear showSearch optionFilterProp="label" aria-label={t('ci.model.templateFrom')} placeholder={t('ci.model.templateFrom')} value={from} onChange={(v?: string) => setFrom(v)} options={list(model.classes).map((c) => ({ value: c.class, label: words.className(c.class) }))} style={{ width: 200 }} />
            <Button type="primary" onClick={() => setAdding(true)}>
              {t('ci.model.templateNew')}
            </Button>
          </>
        )}
      </div>
      {list(model.templates).length === 0 && (
        <div className="panel">
          <Empty title={t('ci.model.templateNone')} why={t('ci.model.templateNoneWhy')} />
        </div>
      )}
      <div className="stack" style={{ gap: 14 }}>
        {list(model.templates).map((x) => (
          <Panel
            key={x.name}
            title={
              <>
                {tx(x.title) || x.name} <span className="mono faint">{x.name}</span>
              </>
            }
            end={
              editable && (
                <>
                  <Button size="small" onClick={() => setAttribute({ template: x })}>
                    + {t('ci.model.addAttribute')}
                  </Button>
                  {overlay(x.name) && (
                    <Button size="small" onClick={() => propose(withDefinition(document, 'templates', x.name, null))}>
                      {t(isShipped(model, 'templates', x.name) ? 'ci.model.resetTo' : 'ci.delete')}
                    </Button>
                  )}
                </>
              )
            }
          >
            <div className="row wrap" style={{ gap: 4 }}>
              {list(x.attributes).map((a) =>
                editable ? (
                  <button key={a.name} className="plain tag" onClick={() => setAttribute({ template: x, attribute: a })}>
                    {tx(a.title) || a.name} · {t(`ci.model.type.${a.type}`)}
                  </button>
                ) : (
                  <span key={a.name} className="tag">
                    {tx(a.title) || a.name} · {t(`ci.model.type.${a.type}`)}
                  </span>
                ),
              )}
            </div>
            <div className="faint" style={{ marginTop: 6 }}>
              {t('ci.model.usedBy')} {list(model.classes).filter((c) => list(c.templates).includes(x.name)).map((c) => words.className(c.class)).join(t('ci.comma')) || '–'}
            </div>
          </Panel>
        ))}
      </div>
      {adding && <NamedDialog title={t('ci.model.templateNew')} done={(v) => put({ ...v, attributes: from ? list(words.classOf(from)?.attributes) : [{ name: 'note', title: { zh: '备注', en: 'Note' }, type: 'text' }] })} close={() => setAdding(false)} />}
      {attribute && (
        <AttributeDialog
          attribute={attribute.attribute}
          others={list(attribute.template.attributes)}
          done={(a) => {
            const o = overlay(attribute.template.name);
            put({ name: attribute.template.name, title: attribute.template.title, attributes: [...list(o?.attributes).filter((y) => y.name !== a.name), a] });
          }}
          close={() => setAttribute(null)}
        />
      )}
    </>
  );
}

function LayersTab({ model, document, editable, propose }: Part) {
  const { t, tx } = useSettings();
  const words = useWords();
  const [adding, setAdding] = useState(false);
  return (
    <>
      {editable && (
        <div className="filters">
          <Button type="primary" onClick={() => setAdding(true)}>
            {t('ci.model.addLayer')}
          </Button>
        </div>
      )}
      <div className="panel">
        <DataTable
          label={t('ci.model.tab.layers')}
          rows={list(model.layers)}
          rowKey={(l) => l.name}
          columns={[
            { key: 'title', title: t('ci.model.layer'), render: (l) => <>{tx(l.title) || l.name} <span className="mono faint">{l.name}</span></> },
            { key: 'classes', title: t('ci.classes'), render: (l) => list(model.classes).filter((c) => !c.abstract && layerOfClass(words, c.class) === l.name).map((c) => words.className(c.class)).join(t('ci.comma')) || <span className="faint">–</span> },
            {
              key: 'do',
              title: '',
              render: (l) =>
                editable &&
                overlaid(document, 'layers', l.name) && (
                  <Button size="small" onClick={() => propose(withDefinition(document, 'layers', l.name, null))}>
                    {t(isShipped(model, 'layers', l.name) ? 'ci.model.resetTo' : 'ci.delete')}
                  </Button>
                ),
            },
          ]}
        />
      </div>
      {adding && <NamedDialog title={t('ci.model.addLayer')} done={(v) => propose(withDefinition(document, 'layers', v.name, v))} close={() => setAdding(false)} />}
    </>
  );
}
