import { useQuery } from '@tanstack/react-query';
import { Input, Modal, Select } from 'antd';
import { useId, useState } from 'react';
import { post, put } from '../../api/client';
import { useTenants } from '../../api/queries';
import type { Inhibition, Matcher, SilencePreview } from '../../api/silences';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useSettled } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { whole } from '../../logic/silence';
import { Refused } from '../dialog';
import { Found } from '../silences/found';
import { EMPTY, LABELS, Matchers } from '../silences/matchers';

/** A rule as it is written, without what the server adds. */
export function bodyOf(r: Inhibition) {
  return { name: r.name, description: r.description, source: list(r.source), target: list(r.target), equal: list(r.equal), tenants: list(r.tenants), off: r.off };
}

const FRESH = { name: '', description: '', source: [EMPTY], target: [EMPTY], equal: ['ci'], tenants: [] as string[], off: false };

/** Makes or changes a rule of inhibition, showing meanwhile which alerts it would mute now. */
export function InhibitionForm({ rule, close }: { /** The one to be changed. */ rule?: Inhibition; close: () => void }) {
  const { t, tx } = useSettings();
  const { tell } = useAct();
  const id = useId();
  const tenants = useTenants().data ?? [];
  const [v, setV] = useState(() => (rule ? bodyOf(rule) : FRESH));
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const set = (part: Partial<typeof v>) => setV({ ...v, ...part });
  const ready = [v.source, v.target].every((side: Matcher[]) => side.length > 0 && side.every(whole));
  const now = JSON.stringify({ ...v, name: v.name.trim() || '-', off: false });
  const asked = useSettled(now, 250);
  const preview = useQuery({ queryKey: ['inhibition-preview', asked], enabled: ready, retry: false, queryFn: () => post<SilencePreview>('/inhibitions/preview', JSON.parse(asked)) });
  const send = async () => {
    setBusy(true);
    setError(null);
    const body = { ...v, name: v.name.trim(), description: v.description?.trim() };
    try {
      if (rule) await put(`/inhibitions/${encodeURIComponent(rule.id)}`, body);
      else await post('/inhibitions', body);
      tell({ said: t('inhibit.saved', { x: body.name }), renew: ['inhibitions', 'alerts', 'alert'] });
      close();
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Modal
      open
      width={960}
      title={rule ? t('inhibit.edit', { x: rule.name }) : t('inhibit.new')}
      okText={t('do.save')}
      okButtonProps={{ disabled: !ready || v.name.trim() === '' }}
      confirmLoading={busy}
      cancelText={t('do.cancel')}
      maskClosable={false}
      onCancel={close}
      onOk={() => void send()}
    >
      <Refused error={error} />
      <div className="halves" style={{ paddingTop: 6 }}>
        <div className="stack">
          <label htmlFor={`${id}-name`}>
            <span className="dim">{t('inhibit.name')}</span>
            <Input id={`${id}-name`} maxLength={200} placeholder={t('inhibit.nameHint')} value={v.name} onChange={(e) => set({ name: e.target.value })} />
          </label>
          <Matchers title={t('inhibit.source')} why={t('inhibit.sourceWhy')} matchers={v.source} set={(source) => set({ source })} />
          <Matchers title={t('inhibit.target')} why={t('inhibit.targetWhy')} matchers={v.target} set={(target) => set({ target })} />
          <label htmlFor={`${id}-equal`}>
            <span className="dim">{t('inhibit.equal')}</span> <span className="faint">{t('inhibit.equalWhy')}</span>
            <Select id={`${id}-equal`} mode="tags" value={v.equal} onChange={(equal: string[]) => set({ equal })} options={LABELS.map((x) => ({ value: x }))} style={{ width: '100%' }} />
          </label>
          {tenants.length > 1 && (
            <label htmlFor={`${id}-tenants`}>
              <span className="dim">{t('silence.tenants')}</span>
              <Select id={`${id}-tenants`} mode="multiple" allowClear placeholder={t('silence.allTenants')} value={v.tenants} onChange={(slugs: string[]) => set({ tenants: slugs })} optionFilterProp="label" options={tenants.map((x) => ({ value: x.slug, label: tx(x.name) || x.slug }))} style={{ width: '100%' }} />
            </label>
          )}
          <label htmlFor={`${id}-why`}>
            <span className="dim">{t('silence.comment')}</span>
            <Input id={`${id}-why`} maxLength={2000} value={v.description} onChange={(e) => set({ description: e.target.value })} />
          </label>
        </div>
        <Found title={t('inhibit.preview')} ready={ready} incomplete={t('inhibit.incomplete')} error={preview.error} found={ready && asked === now ? preview.data : undefined} />
      </div>
    </Modal>
  );
}
