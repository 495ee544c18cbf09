import { useQuery } from '@tanstack/react-query';
import { Button, Form, Input, Select } from 'antd';
import { useMemo, useState } from 'react';
import { Link } from 'react-router-dom';
import { BASE, get, post } from '../api/client';
import { useCan, useTenants } from '../api/queries';
import type { IntakeSource } from '../api/storage';
import { list, type Page, type SourceHealth, type Token } from '../api/types';
import { useAct } from '../app/act';
import { copyText, useFeedback } from '../app/feedback';
import { useUrl } from '../app/hooks';
import { useSettings } from '../app/settings';
import { arrivals, type Arrivals } from '../logic/arrivals';
import { CLIENTS, NO_TOKEN, VIAS, portOf, type Client, type Place, type Via, type Way } from '../logic/connect';
import { withParams } from '../logic/urlstate';
import { CodeBox } from '../parts/codebox';
import { FormDialog } from '../parts/dialog';
import { scopeText, useTenantName } from '../parts/names';
import { Head, Panel } from '../parts/page';
import { When } from '../parts/time';

const WAYS: readonly Way[] = ['read', 'ingest'];

/** What came in by each way: of the tenant chosen, or of all. Unknown to who may not see it. */
function useArrivals(tenant: string): { ports: Pick<Place, 'syslog' | 'otlp'>; seen: Arrivals } {
  const sources = useQuery({ queryKey: ['sources'], queryFn: ({ signal }) => get<Page<SourceHealth>>('/sources', {}, signal), refetchInterval: 5_000 }).data;
  const senders = useQuery({
    queryKey: ['intake-sources', 'connect', tenant],
    enabled: tenant !== '',
    queryFn: ({ signal }) => get<Page<IntakeSource>>('/intake/sources', { limit: 500 }, signal),
    refetchInterval: 5_000,
  }).data;
  return useMemo(() => {
    const all = list(sources?.items);
    const port = (kind: RegExp) => portOf(all.find((s) => kind.test(`${s.kind} ${s.id}`) && s.state !== 'off')?.listen);
    return { ports: { syslog: port(/syslog.tcp/), otlp: port(/otlp.grpc/) }, seen: arrivals(sources && all, senders && list(senders.items), tenant) };
  }, [sources, senders, tenant]);
}

/** How other products reach this server: settings to copy, and the token they need. */
export default function Connect() {
  const { t, tx } = useSettings();
  const can = useCan();
  const { done, failed } = useFeedback();
  const { tell } = useAct();
  const [url, setUrl] = useUrl();
  const tenants = useTenants().data ?? [];
  const tenantName = useTenantName();
  const tenant = url.get('tenant') ?? '';
  const client = CLIENTS.find((c) => c.id === url.get('client')) ?? (CLIENTS[0] as Client);
  const [tokens, setTokens] = useState<Record<string, string>>({});
  const [making, setMaking] = useState(false);
  const { ports, seen } = useArrivals(tenant);
  const key = `${client.way} ${tenant}`;
  const token = tokens[key];
  const place: Place = { base: window.location.origin, tenant, token: token ?? NO_TOKEN, ...ports };
  const scope = scopeText(t, client.way);
  const path = can('create-token') ? '/tokens' : '/me/tokens';
  const may = path === '/tokens' || can(client.way);
  const local = /^(localhost|127\.|\[::1\])/.test(window.location.hostname);
  return (
    <div className="page">
      <Head title={t('page.connect')} sub={t('connect.lead')}>
        {tenants.length > 0 && (
          <Select
            showSearch
            aria-label={t('connect.tenant')}
            value={tenant}
            optionFilterProp="label"
            onChange={(v: string) => setUrl({ tenant: v }, true)}
            options={[{ value: '', label: t('connect.everyTenant') }, ...tenants.map((x) => ({ value: x.slug, label: tx(x.name) || x.slug }))]}
            popupMatchSelectWidth={280}
            style={{ width: 220 }}
          />
        )}
      </Head>
      <div className="withside wide">
        <nav className="panel side" aria-label={t('connect.products')}>
          {WAYS.map((way) => (
            <section key={way}>
              <h3 className="navhead">{t(`connect.group.${way}`)}</h3>
              {[...new Set(CLIENTS.filter((c) => c.way === way).map((c) => c.via))].map((via) => (
                <div key={via} className="via">
                  <div className="row">
                    <span>{VIAS[via].name}</span>
                    {way === 'ingest' && (
                      <span style={{ marginLeft: 'auto', fontSize: 12 }}>
                        <Seen via={via} seen={seen} />
                      </span>
                    )}
                  </div>
                  <ul className="rolelist">
                    {CLIENTS.filter((c) => c.way === way && c.via === via).map((c) => (
                      <li key={c.id}>
                        <Link to={`?${withParams(url, { client: c.id })}`} aria-current={c.id === client.id}>
                          <b>{c.name}</b>
                        </Link>
                      </li>
                    ))}
                  </ul>
                </div>
              ))}
            </section>
          ))}
        </nav>
        <Panel
          title={client.way === 'read' ? `${VIAS[client.via].name} · ${client.name}` : client.name}
          id="connect"
          end={
            client.way === 'ingest' && (
              <span className="row">
                {seen(VIAS[client.via]).kind !== 'untold' && (
                  <span className="dim">
                    {VIAS[client.via].name} {t(tenant ? 'connect.lastOf' : 'connect.last')}
                  </span>
                )}
                <Seen via={client.via} seen={seen} />
                <Link to={client.id.startsWith('otel') ? '/traces' : client.id.startsWith('prometheus') ? '/alerts' : '/search?since=15m'}>{t('connect.see')}</Link>
              </span>
            )
          }
        >
          {client.anonymous ? (
            <p className="dim" style={{ marginBottom: 12 }}>
              {t('connect.listener')}
            </p>
          ) : (
            <>
              <dl className="facts" style={{ marginBottom: 12 }}>
                <dt>{t('connect.user')}</dt>
                <dd>
                  <code>{tenant || 'icewatch'}</code> <span className="faint">{t(tenant ? 'connect.userWhy' : 'connect.userAny')}</span>
                </dd>
                <dt>{t('connect.password')}</dt>
                <dd>
                  {token ? (
                    <span className="row">
                      <code data-testid="new-token">{token}</code>
                      <Button size="small" onClick={() => void copyText(token).then(() => done(t('do.copied')), failed)}>
                        {t('do.copy')}
                      </Button>
                    </span>
                  ) : (
                    <span className="row wrap">
                      <span>{t('connect.passwordWhy', { x: scope })}</span>
                      {may ? (
                        <Button size="small" type="primary" onClick={() => setMaking(true)}>
                          {t('connect.make')}
                        </Button>
                      ) : (
                        <span className="dim">{t('connect.cannot', { x: scope })}</span>
                      )}
                    </span>
                  )}
                </dd>
              </dl>
              {token && <div className="notice good">{t('connect.made')}</div>}
            </>
          )}
          {client.named && !tenant && <div className="notice warn">{t('connect.named')}</div>}
          {local && <div className="notice">{t('connect.local')}</div>}
          {!client.anonymous && window.location.protocol === 'http:' && !local && <div className="notice warn">{t('connect.plain')}</div>}
          {client.via === 'grafana' && (
            <p className="row wrap">
              <span>{t('connect.dashboards')}</span>
              <a href={`${BASE}/dashboards/grafana`} download="icewatch-grafana.zip">
                {t('connect.dashboardsGet')}
              </a>
            </p>
          )}
          {client.snippets(place).map((s) => (
            <CodeBox key={s.into} into={s.into} text={s.text} id="snippet" />
          ))}
          {!client.anonymous && window.location.protocol === 'https:' && <p className="faint">{t('connect.tls')}</p>}
        </Panel>
      </div>
      {making && (
        <FormDialog<{ name: string; expires_in: string }>
          title={t('connect.make')}
          ok={t('connect.make')}
          width={440}
          initial={{ name: client.way === 'read' ? `${VIAS[client.via].name} ${client.name}` : client.name, expires_in: '8760h' }}
          close={() => setMaking(false)}
          submit={async (v) => {
            const made = await post<Token>(path, { ...v, scopes: [client.way], ...(tenant ? { tenant } : {}) });
            setTokens((all) => ({ ...all, [key]: made.token ?? '' }));
            tell({ renew: ['tokens'] });
          }}
        >
          <p className="dim" style={{ marginBottom: 10 }}>
            {t('connect.makeWhy', { x: scope, y: tenant ? t('connect.forTenant', { x: tenantName(tenant) }) : t('connect.forAll') })}
          </p>
          <Form.Item name="name" label={t('tokens.name')} rules={[{ required: true, message: t('word.required', { x: t('tokens.name') }) }]}>
            <Input autoFocus autoComplete="off" />
          </Form.Item>
          <Form.Item name="expires_in" label={t('tokens.expires')}>
            <Select
              options={[
                { value: '2160h', label: t('tokens.90d') },
                { value: '8760h', label: t('tokens.365d') },
                { value: 'never', label: t('tokens.never') },
              ]}
            />
          </Form.Item>
        </FormDialog>
      )}
    </div>
  );
}

/** When the last came in by a way. Which product sent it is not known, so it is told of the way. */
function Seen({ via, seen }: { via: Via; seen: Arrivals }) {
  const { t } = useSettings();
  const s = seen(VIAS[via]);
  if (s.kind === 'untold') return null;
  if (s.kind === 'unknown')
    return (
      <span className="status faint" title={t('connect.unknownWhy')}>
        <i className="dot off" />
        {t('connect.unknown')}
      </span>
    );
  if (s.kind === 'seen')
    return (
      <span className="status">
        <i className="dot ok" />
        <When time={s.at} age />
      </span>
    );
  return (
    <span className="status faint">
      <i className="dot off" />
      {t(s.kind === 'off' ? 'connect.off' : 'connect.none')}
    </span>
  );
}
