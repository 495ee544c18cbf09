import { useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import { useEffect, useMemo, useState } from 'react';
import { Link } from 'react-router-dom';
import type { Setting } from '../../api/access';
import { put } from '../../api/client';
import { all } from '../../api/directory';
import { list } from '../../api/types';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { zh, type Key } from '../../locales/zh';
import { keeperOf } from '../../logic/access';
import { differences } from '../../logic/diff';
import { absolute } from '../../logic/format';
import { fieldsOf, withValue } from '../../logic/settingform';
import { Refused } from '../../parts/dialog';
import { Head, Panel } from '../../parts/page';
import { SettingFields } from '../../parts/settingform';
import { SettingHistory } from '../../parts/settinghistory';
import { Empty, Loaded, Stale } from '../../parts/states';

const RENEW = ['settings', 'ui', 'branding', 'me'] as const;
/** In the order somebody sets a platform up; what else there is comes after. */
const ORDER = ['separation', 'password-policy', 'sign-in', 'sessions', 'tokens', 'watermark', 'rate-limits', 'audit', 'audit-forward', 'branding', 'oidc-provider'];
const rank = (name: string) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);

/** What administrators decide: every document the server has and the reader may change. */
export default function SettingsPage() {
  const { t } = useSettings();
  const [params] = useUrl();
  const query = useQuery({ queryKey: ['settings'], queryFn: ({ signal }) => all<Setting>('/settings', {}, signal) });
  const rows = useMemo(() => [...list(query.data)].sort((a, b) => rank(a.name) - rank(b.name) || a.name.localeCompare(b.name)), [query.data]);
  const chosen = rows.find((s) => s.name === params.get('setting')) ?? rows[0];
  const title = useSettingTitle();
  return (
    <div className="page">
      <Head title={t('page.settings')} />
      <Stale query={query} />
      <Loaded query={query} what="settings.what" lines={8}>
        {() =>
          !chosen ? (
            <Panel>
              <Empty title={t('settings.none')} why={t('state.forbiddenScope', { scope: t('scope.security'), who: t('ask.security') })} />
            </Panel>
          ) : (
            <div className="withside">
              <aside className="panel side" aria-label={t('settings.what')}>
                <ul className="rolelist">
                  {rows.map((s) => {
                    const n = differences(s.default, s.value).length;
                    return (
                      <li key={s.name}>
                        <Link to={`/admin/settings?setting=${encodeURIComponent(s.name)}`} aria-current={s.name === chosen.name}>
                          <b style={{ fontWeight: 550 }}>{title(s.name)}</b>
                          <span className="sub">{n > 0 ? t('settings.changed', { n }) : t('settings.asDefault')}</span>
                        </Link>
                      </li>
                    );
                  })}
                </ul>
              </aside>
              <SettingDetail key={chosen.name} setting={chosen} />
            </div>
          )
        }
      </Loaded>
    </div>
  );
}

function useSettingTitle(): (name: string) => string {
  const { t } = useSettings();
  return (name) => (`setting.${name}` in zh ? t(`setting.${name}` as Key) : name);
}

function SettingDetail({ setting }: { setting: Setting }) {
  const { t } = useSettings();
  const { busy, act } = useAct();
  const title = useSettingTitle()(setting.name);
  const [draft, setDraft] = useState(setting.value);
  const [error, setError] = useState<unknown>(null);
  const [saves, setSaves] = useState(0);
  useEffect(() => setDraft(setting.value), [setting.value]);
  const path = `/settings/${encodeURIComponent(setting.name)}`;
  const fields = useMemo(() => fieldsOf(setting.name, { ...setting.default, ...setting.value }), [setting]);
  const dirty = differences(setting.value, draft).length > 0;
  const why = `setting.${setting.name}.why`;

  const send = async (value: Record<string, unknown>, said: string, undo?: () => void) => {
    setError(null);
    await act(
      async () => {
        try {
          await put(path, value);
        } catch (e) {
          // The refusal names the field: it belongs beside the form.
          setError(e);
          throw e;
        }
      },
      { said, undo, renew: RENEW },
    );
    setSaves((n) => n + 1);
  };
  const save = (value: Record<string, unknown>) => {
    const before = setting.value;
    void send(value, t('settings.saved', { x: title }), () => void send(before, t('settings.saved', { x: title })));
  };
  return (
    <div className="stack">
      <Panel title={title} end={<span className="dim">{t('settings.who', { x: t(`ask.${keeperOf(setting.scope)}`) })}</span>}>
        {why in zh && (
          <p className="dim" style={{ marginBottom: 12 }}>
            {t(why as Key)}
          </p>
        )}
        <Refused error={error} />
        <form
          onSubmit={(e) => {
            e.preventDefault();
            save(draft);
          }}
        >
          <SettingFields name={setting.name} fields={fields} value={draft} defaults={setting.default} onChange={(at, v) => setDraft((d) => withValue(d, at, v))} />
          <div className="form-foot" style={{ marginTop: 10 }}>
            <Button type="primary" htmlType="submit" disabled={!dirty} loading={busy}>
              {t('do.save')}
            </Button>
            {dirty && <Button onClick={() => setDraft(setting.value)}>{t('do.cancel')}</Button>}
            {dirty && <span className="dim">{t('settings.unsaved')}</span>}
            {differences(setting.default, draft).length > 0 && (
              <Button type="text" style={{ marginLeft: 'auto' }} onClick={() => setDraft(setting.default)}>
                {t('settings.reset')}
              </Button>
            )}
          </div>
        </form>
      </Panel>
      <SettingHistory setting={setting} saves={saves} restore={(v) => void send(v.value, t('settings.restored', { x: absolute(v.at) }))} />
    </div>
  );
}
