import { useQuery } from '@tanstack/react-query';
import { Button, Modal } from 'antd';
import { useState } from 'react';
import { Link } from 'react-router-dom';
import { useWords, type ModelDocument, type RelationRule, type RelationType, type RulePreview } from '../../api/cmdb';
import { post } from '../../api/client';
import { list } from '../../api/types';
import { useSettings } from '../../app/settings';
import type { Key } from '../../locales/zh';
import { useChecks } from '../../parts/cmdb/checks';
import { RelationTypeDialog, RuleDialog } from '../../parts/cmdb/definitions';
import { ChangeDialog, Moving, overlaid, useModelDocument, withDefinition } from '../../parts/cmdb/modelchange';
import { Refused } from '../../parts/dialog';
import { Head } from '../../parts/page';
import { DocumentWaits } from '../../parts/cmdb/waiting';
import { Empty, Skeleton } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { Tabs, useTab } from '../../parts/tabs';

const TABS = ['types', 'rules', 'checks'] as const;
const FIXED = ['name', 'zone', 'owner', 'address', 'hostname', 'label'];

/** Types of relations, the rules that make relations, and the rules that check values. */
export default function Rules() {
  const { t, tx } = useSettings();
  const words = useWords();
  const checks = useChecks();
  const state = useModelDocument();
  const { model, document, editable } = state;
  const tabs = TABS.map((key) => ({ key, title: t(`ci.rule.tab.${key}`) }));
  const tab = useTab(tabs);
  const [change, setChange] = useState<ModelDocument | null>(null);
  const [type, setType] = useState<RelationType | 'new' | null>(null);
  const [rule, setRule] = useState<RelationRule | 'new' | null>(null);
  const [look, setLook] = useState<RelationRule | null>(null);
  const shipped = (kind: string, name: string) => !!model?.shipped?.[kind]?.includes(name);
  const classes = (names: readonly string[]) => names.map(words.className).join(' / ') || t('ci.rule.any');
  const field = (f: string) => (FIXED.includes(f) ? t(`ci.f.${f}` as Key) : words.attributeName(f));
  const back = (kind: 'relation_types' | 'rules', name: string) =>
    editable &&
    overlaid(document, kind, name) && (
      <Button size="small" onClick={() => setChange(withDefinition(document, kind, name, null))}>
        {t(shipped(kind, name) ? 'ci.model.resetTo' : 'ci.delete')}
      </Button>
    );
  return (
    <div className="page">
      <Head title={t('page.cmdb.rules')}>
        {editable && tab === 'types' && (
          <Button type="primary" onClick={() => setType('new')}>
            {t('ci.rule.newType')}
          </Button>
        )}
        {editable && tab === 'rules' && (
          <Button type="primary" onClick={() => setRule('new')}>
            {t('ci.rule.newRule')}
          </Button>
        )}
      </Head>
      {model && <Moving model={model} />}
      <Tabs tabs={tabs} label={t('page.cmdb.rules')} />
      {!state.ready || !model ? (
        <DocumentWaits lines={8} />
      ) : (
        <div className="panel">
          {tab === 'types' && (
            <DataTable
              label={t('ci.rule.tab.types')}
              rows={list(model.relation_types)}
              rowKey={(r) => r.name}
              columns={[
                { key: 'title', title: t('ci.rule.title'), render: (r) => <>{tx(r.title) || r.name} <span className="mono faint">{r.name}</span></> },
                { key: 'reverse', title: t('ci.rule.reverse'), render: (r) => tx(r.reverse) || '–' },
                { key: 'from', title: t('ci.rule.from'), render: (r) => classes(list(r.from)) },
                { key: 'to', title: t('ci.rule.to'), render: (r) => classes(list(r.to)) },
                { key: 'cardinality', title: t('ci.rule.cardinality'), render: (r) => t(`ci.rule.c.${r.cardinality || 'many_to_many'}`) },
                { key: 'impact', title: t('ci.rule.impact'), render: (r) => t(`ci.rule.i.${r.impact || 'none'}`) },
                { key: 'do', title: '', render: (r) => <span className="row" style={{ gap: 6, justifyContent: 'flex-end' }}>{editable && <Button size="small" onClick={() => setType(r)}>{t('ci.edit')}</Button>}{back('relation_types', r.name)}</span> },
              ]}
            />
          )}
          {tab === 'rules' &&
            (list(model.rules).length === 0 ? (
              <Empty title={t('ci.rule.rulesNone')} why={t('ci.rule.rulesNoneWhy')} />
            ) : (
              <DataTable
                label={t('ci.rule.tab.rules')}
                rows={list(model.rules)}
                rowKey={(r) => r.name}
                columns={[
                  { key: 'title', title: t('ci.rule.title'), render: (r) => <>{tx(r.title) || r.name} <span className="mono faint">{r.name}</span> {r.off && <span className="tag">{t('ci.rule.off')}</span>}</> },
                  { key: 'type', title: t('ci.rule.type'), render: (r) => words.typeName(r.type) },
                  { key: 'from', title: t('ci.rule.from'), render: (r) => classes(list(r.from)) },
                  { key: 'to', title: t('ci.rule.to'), render: (r) => classes(list(r.to)) },
                  { key: 'where', title: t('ci.rule.where'), render: (r) => list(r.where).map((w) => `${field(w.from)} ${t(`ci.rule.${w.op}`)} ${field(w.to)}`).join('; ') },
                  {
                    key: 'do',
                    title: '',
                    render: (r) => (
                      <span className="row" style={{ gap: 6, justifyContent: 'flex-end' }}>
                        {editable && (
                          <>
                            <Button size="small" onClick={() => setRule(r)}>
                              {t('ci.edit')}
                            </Button>
                            <Button size="small" onClick={() => setLook({ ...r, off: !r.off || undefined })}>
                              {t(r.off ? 'ci.rule.on' : 'ci.rule.off')}
                            </Button>
                          </>
                        )}
                        {back('rules', r.name)}
                      </span>
                    ),
                  },
                ]}
              />
            ))}
          {tab === 'checks' && (
            <>
              <div className="dim" style={{ padding: '10px 14px 0' }}>{t('ci.rule.checksWhy')}</div>
              <DataTable
                label={t('ci.rule.tab.checks')}
                rows={list(model.classes).filter((c) => !c.abstract).flatMap((c) => list(c.attributes).map((a) => ({ c, a, what: checks(a) })).filter((x) => x.what.length > 0))}
                rowKey={(r) => `${r.c.class} ${r.a.name}`}
                columns={[
                  { key: 'class', title: t('ci.class'), render: (r) => words.className(r.c.class) },
                  { key: 'attribute', title: t('ci.model.attribute'), render: (r) => <>{tx(r.a.title) || r.a.name} <span className="mono faint">{r.a.name}</span></> },
                  { key: 'type', title: t('ci.model.type'), render: (r) => t(`ci.model.type.${r.a.type}`) },
                  { key: 'rule', title: t('ci.rule.checkOf'), render: (r) => r.what.join('; ') },
                  { key: 'do', title: '', render: (r) => editable && <Link to={`/cmdb/models?class=${r.c.class}`}>{t('ci.rule.checkEdit')}</Link> },
                ]}
              />
            </>
          )}
        </div>
      )}
      {type && <RelationTypeDialog type={type === 'new' ? undefined : type} done={(r) => setChange(withDefinition(document, 'relation_types', r.name, r))} close={() => setType(null)} />}
      {rule && <RuleDialog rule={rule === 'new' ? undefined : rule} done={setLook} close={() => setRule(null)} />}
      {look && (
        <RulePreviewDialog
          rule={look}
          document={withDefinition(document, 'rules', look.name, look)}
          go={() => {
            setChange(withDefinition(document, 'rules', look.name, look));
            setLook(null);
          }}
          close={() => setLook(null)}
        />
      )}
      {change && <ChangeDialog document={change} revision={state.revision} close={() => setChange(null)} />}
    </div>
  );
}

/** Which relations a rule would make of the items there are, before it does. */
function RulePreviewDialog({ rule, document, go, close }: { rule: RelationRule; document: ModelDocument; go: () => void; close: () => void }) {
  const { t } = useSettings();
  const words = useWords();
  const query = useQuery({ queryKey: ['cmdb', 'rulepreview', document, rule.name], queryFn: () => post<RulePreview>('/cmdb/model/rule-preview', { document, rule: rule.name }), gcTime: 0, retry: false });
  const p = query.data;
  return (
    <Modal open width={680} title={t('ci.rule.preview')} okText={t('ci.change.preview')} cancelText={t('do.cancel')} onCancel={close} onOk={go} okButtonProps={{ disabled: !p }}>
      <Refused error={query.error} />
      {query.isPending && <Skeleton lines={4} />}
      {p && (
        <div className="stack" style={{ gap: 8 }} data-testid="rulepreview">
          <div role="status">{t('ci.rule.will', { n: p.items, a: p.made, b: p.kept, c: p.dropped })}</div>
          {p.more && <div className="faint">{t('ci.rule.more')}</div>}
          <div style={{ maxHeight: 320, overflow: 'auto' }}>
            <table className="data" aria-label={t('ci.rule.preview')}>
              <tbody>
                {list(p.samples).map((s) => (
                  <tr key={`${s.from.id} ${s.to.id}`}>
                    <td>{s.dropped ? <del>{s.from.name}</del> : s.from.name}</td>
                    <td className="dim">— {words.typeName(rule.type)} →</td>
                    <td>{s.dropped ? <del>{s.to.name}</del> : s.to.name}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </div>
      )}
    </Modal>
  );
}
