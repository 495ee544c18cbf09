import { useQuery } from '@tanstack/react-query';
import { Input, Select } from 'antd';
import type { Account, Explanation } from '../../../api/access';
import { get } from '../../../api/client';
import { useOperations, useRoleName } from '../../../api/directory';
import { useCan } from '../../../api/queries';
import { list } from '../../../api/types';
import { useUrl } from '../../../app/hooks';
import { useSettings } from '../../../app/settings';
import { zh, type Key } from '../../../locales/zh';
import { localTime } from '../../../logic/access';
import { scopeText } from '../../../parts/names';
import { useOperationText } from '../../../parts/operation';
import { Panel } from '../../../parts/page';
import { Empty, Loaded } from '../../../parts/states';

/** The decision about one operation, with its reasons, as the server would make it. The question is in the URL. */
export function Explain({ user, own }: { user: Account; own: boolean }) {
  const { t } = useSettings();
  const words = (code: string) => (`explain.code.${code}` in zh ? t(`explain.code.${code}` as Key) : code);
  const [params, setUrl] = useUrl();
  const can = useCan();
  const text = useOperationText();
  const operations = useOperations();
  const roleName = useRoleName();
  const operation = params.get('operation') ?? '';
  const address = params.get('address') ?? '';
  const at = params.get('at') ?? '';
  const query = useQuery({
    queryKey: ['explain', user.id, operation, address, at],
    queryFn: ({ signal }) => get<Explanation>('/access/explain', { user: own ? undefined : user.id, operation, address, at: localTime(at) ?? undefined }, signal),
    enabled: !!operation && (own || can('set-user-access')),
  });
  return (
    <Panel>
      <p className="dim" style={{ margin: '8px 0 10px' }}>
        {t('explain.what')}
      </p>
      <div className="filters">
        <Select
          showSearch
          aria-label={t('explain.operation')}
          placeholder={t('explain.operation')}
          value={operation || undefined}
          onChange={(v: string) => setUrl({ operation: v })}
          optionFilterProp="search"
          loading={operations.isPending}
          style={{ width: 380 }}
          options={(operations.data ?? []).map((o) => ({
            value: o.id,
            search: `${o.id} ${o.summary ?? ''} ${text(o)}`,
            label: (
              <span>
                {text(o)} <span className="faint mono">{o.id}</span>
              </span>
            ),
          }))}
        />
        <Input aria-label={t('explain.address')} placeholder={t('explain.address')} value={address} onChange={(e) => setUrl({ address: e.target.value.trim() })} style={{ width: 170 }} />
        <label className="dim">
          {t('explain.at')} <input type="datetime-local" value={at} onChange={(e) => setUrl({ at: e.target.value })} />
        </label>
      </div>
      {!operation ? (
        <Empty small title={t('explain.pick')} />
      ) : (
        <Loaded query={query} what="user.explain" lines={3} small>
          {(x) => (
            <div data-testid="explanation" data-allow={x.allow}>
              <div className="verdict" style={{ marginBottom: 6 }}>
                {x.allow ? '✓ ' : '✕ '}
                {t(x.allow ? 'explain.allow' : 'explain.deny')}
              </div>
              <div className="dim" style={{ marginBottom: 10 }}>
                {t('explain.needs')}: {scopeText(t, x.scope ?? '')} · <code>{x.operation}</code> {x.confined && `· ${t('explain.confined')}`}
              </div>
              <h3 style={{ fontSize: 13, marginBottom: 4 }}>{t('explain.because')}</h3>
              <ul className="reasons">
                {list(x.reasons).map((r, i) => (
                  <li key={i}>
                    {words(r.code)} {r.role && <span className="tag">{roleName(r.role)}</span>}{' '}
                    {list(r.powers).length > 0 && list(r.powers).map((s) => scopeText(t, s)).join(' + ')}
                    {list(r.roles).length > 0 && (
                      <span className="dim">
                        {t('explain.wouldDo')} {list(r.roles).map(roleName).join(', ')}
                      </span>
                    )}
                  </li>
                ))}
              </ul>
            </div>
          )}
        </Loaded>
      )}
    </Panel>
  );
}
