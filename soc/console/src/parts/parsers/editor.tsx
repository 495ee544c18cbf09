import { Button, Input, Modal } from 'antd';
import { useState } from 'react';
import type { Explained } from '../../api/inputs';
import { post, put } from '../../api/client';
import { ownPath, type Judgement, type PackDraft, type PackVersion } from '../../api/parsers';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useRefusal } from '../../app/refusal';
import { useSettings } from '../../app/settings';
import { draftPack } from '../../logic/inputs';
import { Refused } from '../dialog';
import { Field } from '../inputs/form';
import { YamlEditor } from '../rules/yaml';
import { Reading } from './reading';

export interface Beginning {
  id: string;
  source: string;
  samples: string;
  /** Of the version that is changed; 0 for a new pack. */
  revision: number;
}

const idPattern = /^[a-z0-9][a-z0-9_-]{0,39}\/[a-z0-9][a-z0-9_-]{0,39}$/;

/** Makes or changes a pack of one's own: its text, its samples, what becomes of them. */
export function PackEditor({ begin, close }: { begin: Beginning; close: (made?: PackVersion) => void }) {
  const { t } = useSettings();
  const refusal = useRefusal();
  const { tell } = useAct();
  const [id, setId] = useState(begin.id);
  const [source, setSource] = useState(begin.source);
  const [samples, setSamples] = useState(begin.samples);
  const [note, setNote] = useState('');
  const [judged, setJudged] = useState<Judgement | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState<'' | 'check' | 'save' | 'suggest'>('');
  const named = idPattern.test(id);
  const run = async (what: typeof busy, work: () => Promise<void>) => {
    setBusy(what);
    setError(null);
    try {
      await work();
    } catch (e) {
      setError(e);
    } finally {
      setBusy('');
    }
  };
  const check = () => run('check', async () => setJudged(await post<Judgement>(`${ownPath(id)}/check`, { source, samples })));
  const suggest = () =>
    run('suggest', async () => {
      const lines = samples.split('\n').filter((l) => l.trim() !== '').slice(0, 1000);
      const drafts = list((await post<Page<PackDraft>>('/parsers/suggest', { lines })).items);
      const [vendor = 'vendor', product = 'product'] = id.split('/');
      setSource(draftPack(vendor, product, drafts.slice(0, 20)));
      setJudged(null);
    });
  const save = () =>
    run('save', async () => {
      const now = await post<Judgement>(`${ownPath(id)}/check`, { source, samples });
      setJudged(now);
      if (!now.valid) return; // what is wrong stands beside the text
      const made = await put<{ pack: PackVersion }>(ownPath(id), { source, samples, note, revision: begin.revision });
      tell({ said: t('parsers.saved', { x: id, n: made.pack.revision }), renew: ['own-packs', 'packs', 'own-pack'] });
      close(made.pack);
    });
  const findings = list(judged?.problems).map((p) => ({ line: p.line ?? 1, column: 1, message: refusal(p.reason), severity: 'error' as const }));
  return (
    <Modal
      open
      width={1180}
      maskClosable={false}
      title={begin.revision > 0 ? t('parsers.edit', { x: begin.id }) : t('parsers.new')}
      onCancel={() => close()}
      footer={
        <span className="row">
          <Input aria-label={t('parsers.note')} placeholder={t('parsers.note')} maxLength={500} value={note} onChange={(e) => setNote(e.target.value)} style={{ width: 320 }} />
          <Button style={{ marginLeft: 'auto' }} loading={busy === 'check'} disabled={!named} onClick={() => void check()}>
            {t('parsers.check')}
          </Button>
          <Button type="primary" loading={busy === 'save'} disabled={!named || !source.trim()} onClick={() => void save()}>
            {t('parsers.save')}
          </Button>
        </span>
      }
    >
      <Refused error={error} />
      <div className="halves" style={{ paddingTop: 6 }}>
        <section className="stack">
          <Field label={t('parsers.id')} hint={t('parsers.idWhy')} must>
            {(f) => <Input id={f} className="mono" spellCheck={false} disabled={begin.revision > 0} placeholder="acme/gate" value={id} onChange={(e) => setId(e.target.value.trim())} status={id && !named ? 'error' : undefined} />}
          </Field>
          <Field label={t('parsers.samples')} hint={t('parsers.samplesWhy')} must>
            {(f) => <textarea id={f} className="pem" rows={8} spellCheck={false} wrap="off" value={samples} onChange={(e) => setSamples(e.target.value)} />}
          </Field>
          <div className="row">
            <Button size="small" loading={busy === 'suggest'} disabled={!samples.trim()} onClick={() => void suggest()}>
              {t('parsers.suggest')}
            </Button>
            <span className="faint">{t('parsers.suggestWhy')}</span>
          </div>
          {judged && <Verdict judged={judged} />}
        </section>
        <section className="stack" aria-label={t('parsers.text')}>
          <h3>{t('parsers.text')}</h3>
          <YamlEditor value={source} onChange={setSource} findings={findings} label={t('parsers.text')} />
        </section>
      </div>
    </Modal>
  );
}

function Verdict({ judged: j }: { judged: Judgement }) {
  const { t } = useSettings();
  const readings = list(j.readings);
  return (
    <div className={`notice ${j.valid ? 'good' : 'warn'}`} role="status" data-testid="judgement">
      <b>{j.valid ? t('parsers.checkOk', { n: readings.length }) : t('parsers.checkBad')}</b>
      <ul>
        {list(j.problems).map((p, i) => (
          <li key={i}>
            {p.line ? `${t('parsers.line', { n: p.line })}: ` : ''}
            {p.reason}
          </li>
        ))}
        {list(j.faults).map((f, i) => (
          <li key={`f${i}`} style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}>
            {t('parsers.samples')}
            {f.line ? ` ${t('parsers.line', { n: f.line })}` : ''}: {f.reason}
          </li>
        ))}
      </ul>
      {j.overrides && <div>{t('parsers.overrides')}</div>}
      {list(j.claims).length > 0 && (
        <>
          <div>{t('parsers.claims')}</div>
          <ul>
            {list(j.claims).map((c) => (
              <li key={c.pack} style={{ overflowWrap: 'anywhere' }}>
                {t('parsers.claim', { x: c.pack, n: c.lines, y: c.line })}
              </li>
            ))}
          </ul>
        </>
      )}
      {readings.slice(0, 20).map((r, i) => (
        <Reading key={i} line={r.line} small read={{ recognised: r.log_type !== '', log_type: r.log_type, pack: '', dataset: '', event: eventOf(r.event) } satisfies Explained} />
      ))}
    </div>
  );
}

function eventOf(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}
