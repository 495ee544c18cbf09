import { useQuery } from '@tanstack/react-query';
import { Button, Input, Modal, Select } from 'antd';
import { useState } from 'react';
import { buildPath, get, post, put } from '../../api/client';
import type { StatutoryList, StatutoryReport, StatutoryTerms } from '../../api/casework';
import { useCan } from '../../api/queries';
import { list, type Incident } from '../../api/types';
import { useSettings } from '../../app/settings';
import { Panel } from '../page';
import { Failed } from '../states';
import { WhenFull } from '../time';
import { useCase } from './panels';

/** A report of the incident as a file, and the one that the law demands. */
export function Reports({ incident }: { incident: Incident }) {
  const { t, locale } = useSettings();
  const en = locale === 'en-US';
  const respond = useCan()('respond');
  const { path, act } = useCase(incident.id);
  const [editing, setEditing] = useState<StatutoryReport | null>(null);
  const [ending, setEnding] = useState<{ report: StatutoryReport; how: 'return' | 'sent' } | null>(null);
  const terms = useQuery({ queryKey: ['statutory-terms'], queryFn: ({ signal }) => get<StatutoryTerms>('/statutory-terms', {}, signal), staleTime: Infinity });
  const query = useQuery({ queryKey: ['incident', incident.id, 'statutory'], queryFn: ({ signal }) => get<StatutoryList>(`${path}/statutory`, {}, signal) });
  const reports = list(query.data?.items);
  const named = (of: { key: string; zh: string; en: string }[], key: string) => {
    const x = of.find((y) => y.key === key);
    return x ? (en ? x.en : x.zh) : key;
  };
  const draft = query.data?.draft;
  const step = (r: StatutoryReport, to: string) => act(() => post(`${path}/statutory/${r.id}/${to}`), t('case.saved'));
  return (
    <Panel id="reports" title={t('case.report')}>
      <div className="row">
        {(['pdf', 'docx'] as const).map((format) => (
          <Button key={format} size="small" href={buildPath(`${path}/report`, { format, lang: en ? 'en' : 'zh' })} download>
            {format.toUpperCase()}
          </Button>
        ))}
      </div>
      {query.error && !query.data && <Failed small error={query.error} what="case.statutory" retry={() => void query.refetch()} />}
      {reports.map((r) => (
        <div key={r.id} style={{ marginTop: 10 }}>
          <div className="row wrap">
            <b>{t('case.statutory')}</b>
            <span className="tag">{t(`case.state.${r.state}`)}</span>
            <span className={r.clock === 'late' || r.clock === 'missed' ? 'tag bad' : 'tag'}>{t(`case.clock.${r.clock}`)}</span>
          </div>
          <div className="dim">
            {t('case.level')} {named(list(terms.data?.levels), r.level)} · {t('case.due')} {r.due ? <WhenFull time={new Date(r.due).toISOString()} /> : t('case.noDue')}
          </div>
          {r.refused && <div className="faint">{r.refused}</div>}
          {r.receipt && <div className="faint">{r.receipt}</div>}
          <div className="row wrap" style={{ marginTop: 4 }}>
            <Button size="small" href={buildPath(`${path}/statutory/${r.id}/file`, { format: 'pdf' })} download>
              PDF
            </Button>
            <Button size="small" href={buildPath(`${path}/statutory/${r.id}/file`, { format: 'docx' })} download>
              DOCX
            </Button>
            {respond && r.state === 'draft' && (
              <>
                <Button size="small" onClick={() => setEditing(r)}>
                  {t('case.edit')}
                </Button>
                <Button size="small" type="primary" onClick={() => void step(r, 'submit')}>
                  {t('case.submit')}
                </Button>
              </>
            )}
            {respond && r.state === 'submitted' && (
              <Button size="small" type="primary" onClick={() => void step(r, 'approve')}>
                {t('case.approve')}
              </Button>
            )}
            {respond && r.state === 'approved' && (
              <Button size="small" type="primary" onClick={() => setEnding({ report: r, how: 'sent' })}>
                {t('case.sent')}
              </Button>
            )}
            {respond && (r.state === 'submitted' || r.state === 'approved') && (
              <Button size="small" onClick={() => setEnding({ report: r, how: 'return' })}>
                {t('case.return')}
              </Button>
            )}
          </div>
        </div>
      ))}
      {respond && draft && reports.length === 0 && (
        <Button size="small" style={{ marginTop: 10 }} onClick={() => void act(() => post(`${path}/statutory`, { kind: 'first', ...draft }), t('case.begun'))}>
          {t('case.begin')}
        </Button>
      )}
      {terms.data && <div className="faint" style={{ marginTop: 6 }}>{terms.data.source}</div>}
      {editing && terms.data && (
        <Draft
          report={editing}
          terms={terms.data}
          en={en}
          cancel={() => setEditing(null)}
          save={async (body) => {
            if (await act(() => put(`${path}/statutory/${editing.id}`, body), t('case.saved'))) setEditing(null);
          }}
        />
      )}
      {ending && (
        <End
          how={ending.how}
          cancel={() => setEnding(null)}
          submit={async (body) => {
            if (await act(() => post(`${path}/statutory/${ending.report.id}/${ending.how}`, body), t('case.saved'))) setEnding(null);
          }}
        />
      )}
    </Panel>
  );
}

function Draft({ report, terms, en, save, cancel }: { report: StatutoryReport; terms: StatutoryTerms; en: boolean; save: (body: object) => Promise<void>; cancel: () => void }) {
  const { t } = useSettings();
  const [level, setLevel] = useState(report.level);
  const [operator, setOperator] = useState(report.operator);
  const [answers, setAnswers] = useState(report.answers ?? {});
  const options = (of: { key: string; zh: string; en: string }[]) => of.map((x) => ({ value: x.key, label: en ? x.en : x.zh }));
  return (
    <Modal open width={720} title={t('case.statutory')} okText={t('do.save')} cancelText={t('do.cancel')} onCancel={cancel} onOk={() => void save({ revision: report.revision, level, operator, known_at: report.known_at, answers })}>
      <div className="row wrap">
        <Select aria-label={t('case.level')} value={level} onChange={setLevel} options={options(list(terms.levels))} style={{ width: 160 }} />
        <Select aria-label={t('case.operator')} value={operator} onChange={setOperator} options={options(list(terms.operators))} style={{ width: 320 }} />
      </div>
      {list(terms.fields).map((f) => (
        <div key={f.key} style={{ marginTop: 10 }}>
          <label htmlFor={`statutory-${f.key}`}>
            {en ? f.en : f.zh}
            {f.first && ' *'} <span className="faint">{f.asks}</span>
          </label>
          <Input.TextArea id={`statutory-${f.key}`} className="grows tall" rows={3} maxLength={20000} value={answers[f.key] ?? ''} onChange={(e) => setAnswers({ ...answers, [f.key]: e.target.value })} />
        </div>
      ))}
    </Modal>
  );
}

function End({ how, submit, cancel }: { how: 'return' | 'sent'; submit: (body: object) => Promise<void>; cancel: () => void }) {
  const { t } = useSettings();
  const [first, setFirst] = useState('');
  const [second, setSecond] = useState('');
  const sent = how === 'sent';
  const ready = first.trim() !== '' && (!sent || second.trim() !== '');
  return (
    <Modal
      open
      title={t(sent ? 'case.sent' : 'case.return')}
      okText={t(sent ? 'case.sent' : 'case.return')}
      cancelText={t('do.cancel')}
      okButtonProps={{ disabled: !ready }}
      onCancel={cancel}
      onOk={() => void submit(sent ? { channel: first.trim(), receipt: second.trim() } : { why: first.trim() })}
    >
      <Input value={first} maxLength={200} placeholder={t(sent ? 'case.channel' : 'case.why')} aria-label={t(sent ? 'case.channel' : 'case.why')} onChange={(e) => setFirst(e.target.value)} />
      {sent && <Input style={{ marginTop: 8 }} value={second} maxLength={400} placeholder={t('case.receipt')} aria-label={t('case.receipt')} onChange={(e) => setSecond(e.target.value)} />}
    </Modal>
  );
}
