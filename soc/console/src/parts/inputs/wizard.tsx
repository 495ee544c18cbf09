import { useQuery } from '@tanstack/react-query';
import { Button, Input, Modal, Select } from 'antd';
import { useState } from 'react';
import { Link } from 'react-router-dom';
import { ApiError, get, post, put } from '../../api/client';
import type { InputKind, InputTrial, InputView, Settings } from '../../api/inputs';
import { useTenants } from '../../api/queries';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettings } from '../../app/settings';
import { faultsByPath, trimmed } from '../../logic/inputs';
import { CLIENTS } from '../../logic/connect';
import { Refused } from '../dialog';
import { WordsInput } from '../pickers';
import { Loaded } from '../states';
import { Field, SchemaForm } from './form';
import { useKindName, useKindWhy } from './kindname';
import { TrialResult } from './trial';

export const inputPath = (x: { id: string }) => `/inputs/${encodeURIComponent(x.id)}`;

interface Props {
  /** The input that is changed, or copied. */
  input?: InputView;
  copy?: boolean;
  kind: string | null;
  choose: (kind: string | undefined) => void;
  close: (made?: InputView) => void;
}

/** Adds an input in two steps (which kind; its settings), or changes one. */
export function InputWizard({ input, copy, kind, choose, close }: Props) {
  const { t } = useSettings();
  const kindName = useKindName();
  const kindWhy = useKindWhy();
  const kinds = useQuery({ queryKey: ['input-kinds'], queryFn: ({ signal }) => get<Page<InputKind>>('/inputs/kinds', {}, signal), staleTime: 300_000 });
  const wanted = input?.kind ?? kind;
  if (!wanted)
    return (
      <Modal open width={860} title={t('inputs.new')} footer={null} onCancel={() => close()}>
        <p className="dim" style={{ margin: '4px 0 10px' }}>
          {t('inputs.choose')}
        </p>
        <Loaded query={kinds} what="inputs.what" lines={5}>
          {(page) => (
            <div className="stack">
              {(['fetch', 'listen', 'local'] as const).map((way) => {
                const mine = list(page.items).filter((k) => k.way === way);
                if (mine.length === 0) return null;
                return (
                  <section key={way} aria-label={t(`inputs.chooseWay.${way}`)}>
                    <h3>{t(`inputs.chooseWay.${way}`)}</h3>
                    <div className="cards">
                      {mine.map((k) => (
                        <button key={k.kind} className="plain panel card" data-kind={k.kind} onClick={() => choose(k.kind)}>
                          <span className="grow">
                            <b>{kindName(k.kind)}</b>
                            <span className="dim">{kindWhy(k.kind)}</span>
                          </span>
                        </button>
                      ))}
                    </div>
                  </section>
                );
              })}
              <section aria-label={t('inputs.chooseDoors')}>
                <h3>{t('inputs.chooseDoors')}</h3>
                <p className="faint">{t('inputs.chooseDoorsWhy')}</p>
                <div className="row wrap">
                  {CLIENTS.filter((c) => c.way === 'ingest').map((c) => (
                    <Link key={c.id} to={`/connect?client=${c.id}`}>
                      {c.name}
                    </Link>
                  ))}
                </div>
              </section>
            </div>
          )}
        </Loaded>
      </Modal>
    );
  const k = list(kinds.data?.items).find((x) => x.kind === wanted);
  if (!k)
    return (
      <Modal open width={860} title={kindName(wanted)} footer={null} onCancel={() => close()}>
        <Loaded query={kinds} what="inputs.what" lines={5}>
          {() => <p className="dim">{t('state.forbidden', { what: kindName(wanted) })}</p>}
        </Loaded>
      </Modal>
    );
  return <SettingsOf key={wanted} kind={k} input={input} copy={copy} back={input ? undefined : () => choose(undefined)} close={close} />;
}

function SettingsOf({ kind, input, copy, back, close }: { kind: InputKind; input?: InputView; copy?: boolean; back?: () => void; close: (made?: InputView) => void }) {
  const { t, tx } = useSettings();
  const { tell } = useAct();
  const kindName = useKindName();
  const tenants = useTenants().data ?? [];
  const changing = input && !copy;
  const [name, setName] = useState(input ? (copy ? t('inputs.copyName', { x: input.name }) : input.name) : '');
  const [about, setAbout] = useState({ tenant: input?.tenant ?? '', zone: input?.zone ?? '', note: input?.note ?? '', tags: list(input?.tags) });
  const [settings, setSettings] = useState<Settings>(input?.settings ?? {});
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState<'' | 'save' | 'test'>('');
  const [trial, setTrial] = useState<InputTrial | null>(null);
  const faults = faultsByPath(error instanceof ApiError ? list(error.problem.errors) : []);
  const body = () => ({ name: name.trim(), kind: kind.kind, ...about, tags: about.tags, enabled: changing ? input.enabled : true, settings: trimmed(kind.schema, settings) });
  const run = async (what: 'save' | 'test', work: () => Promise<void>) => {
    setBusy(what);
    setError(null);
    setTrial(null);
    try {
      await work();
    } catch (e) {
      setError(e);
    } finally {
      setBusy('');
    }
  };
  const test = () => run('test', async () => setTrial(await post<InputTrial>('/inputs/try', { ...body(), ...(changing ? { id: input.id } : {}) })));
  const save = () =>
    run('save', async () => {
      const made = changing ? await put<InputView>(inputPath(input), { ...body(), revision: input.revision }) : await post<InputView>('/inputs', body());
      tell({ said: t('inputs.savedAs', { x: made.name }), renew: ['inputs', 'sources'] });
      close(made);
    });
  const change = (s: Settings) => {
    setSettings(s);
    setTrial(null);
  };
  return (
    <Modal
      open
      width={980}
      maskClosable={false}
      title={changing ? t('inputs.edit', { x: input.name }) : t('inputs.newKind', { x: kindName(kind.kind) })}
      onCancel={() => close()}
      footer={
        <span className="row">
          {back && <Button onClick={back}>{t('inputs.back')}</Button>}
          <Button style={{ marginLeft: 'auto' }} onClick={() => close()}>
            {t('do.cancel')}
          </Button>
          <Button type="primary" disabled={!name.trim()} loading={busy === 'save'} onClick={() => void save()}>
            {t(changing ? 'do.save' : 'inputs.create')}
          </Button>
        </span>
      }
    >
      <Refused error={error} />
      <div className="halves" style={{ paddingTop: 6 }}>
        <section className="stack" aria-label={t('inputs.settings')}>
          <h3>{t('inputs.settings')}</h3>
          <SchemaForm schema={kind.schema} value={settings} change={change} at="settings" faults={faults} kept={changing ? list(input.secrets_set) : []} />
        </section>
        <section className="stack" aria-label={t('inputs.basic')}>
          <h3>{t('inputs.basic')}</h3>
          <Field label={t('inputs.name')} must fault={faults.name}>
            {(id) => <Input id={id} autoFocus maxLength={64} value={name} onChange={(e) => setName(e.target.value)} />}
          </Field>
          <Field label={t('inputs.tenant')} hint={t('inputs.tenantWhy')} fault={faults.tenant}>
            {(id) => <Select id={id} showSearch allowClear optionFilterProp="label" placeholder={t('inputs.tenantAuto')} value={about.tenant || undefined} onChange={(v?: string) => setAbout({ ...about, tenant: v ?? '' })} options={tenants.map((x) => ({ value: x.slug, label: tx(x.name) || x.slug }))} style={{ width: '100%' }} />}
          </Field>
          <Field label={t('inputs.zone')} hint={t('inputs.zoneWhy')} fault={faults.zone}>
            {(id) => <Input id={id} maxLength={64} value={about.zone} onChange={(e) => setAbout({ ...about, zone: e.target.value })} />}
          </Field>
          <Field label={t('inputs.tags')}>{(id) => <WordsInput id={id} value={about.tags} onChange={(tags) => setAbout({ ...about, tags })} />}</Field>
          <Field label={t('inputs.note')} fault={faults.note}>
            {(id) => <Input id={id} maxLength={500} value={about.note} onChange={(e) => setAbout({ ...about, note: e.target.value })} />}
          </Field>
          <div className="row">
            <Button loading={busy === 'test'} onClick={() => void test()}>
              {t('inputs.test')}
            </Button>
            <span className="faint">{busy === 'test' ? t('inputs.testing') : t(kind.trial ? 'inputs.testWhy' : 'inputs.testListen')}</span>
          </div>
          {trial && <TrialResult trial={trial} reaches={kind.trial} />}
        </section>
      </div>
    </Modal>
  );
}
