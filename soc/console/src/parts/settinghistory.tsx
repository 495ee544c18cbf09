import { useQuery } from '@tanstack/react-query';
import { Button } from 'antd';
import type { Setting, SettingVersion } from '../api/access';
import { all } from '../api/directory';
import { useSettings } from '../app/settings';
import { differences } from '../logic/diff';
import { absolute } from '../logic/format';
import { Diff } from './diff';
import { Panel } from './page';
import { useFieldName } from './settingform';
import { Loaded } from './states';

/** Every version that was in force, with what it changed; each can be put back. */
export function SettingHistory({ setting, saves, restore }: { setting: Setting; saves: number; restore: (v: SettingVersion) => void }) {
  const { t } = useSettings();
  const fieldName = useFieldName();
  const query = useQuery({ queryKey: ['settings', setting.name, 'history', saves], queryFn: ({ signal }) => all<SettingVersion>(`/settings/${encodeURIComponent(setting.name)}/history`, {}, signal) });
  return (
    <Panel title={t('settings.history')}>
      <Loaded query={query} what="settings.history" lines={2} small>
        {(rows) =>
          rows.length === 0 ? (
            <span className="dim">{t('settings.historyNone')}</span>
          ) : (
            <ul className="timeline">
              {rows.map((v, i) => {
                const before = rows[i + 1]?.value ?? setting.default;
                // A logo is a picture's bytes: that it changed is all a reader can use.
                const changes = differences(before, v.value).map((c) => ({ field: fieldName(setting.name, c.field.split('.')), before: brief(c.before), after: brief(c.after) }));
                return (
                  <li key={v.seq} className={i === 0 ? 'k-opened' : ''}>
                    <div className="t-head">
                      <b>{v.by}</b>
                      {i === 0 ? (
                        <span className="tag">{t('settings.now')}</span>
                      ) : (
                        <Button size="small" onClick={() => restore(v)}>
                          {t('settings.restore')}
                        </Button>
                      )}
                      <time dateTime={v.at}>{absolute(v.at)}</time>
                    </div>
                    {changes.length > 0 && <Diff changes={changes} />}
                  </li>
                );
              })}
            </ul>
          )
        }
      </Loaded>
    </Panel>
  );
}

function brief(v: unknown): unknown {
  return typeof v === 'string' && v.length > 120 ? `${v.slice(0, 40)}… (${v.length})` : v;
}
