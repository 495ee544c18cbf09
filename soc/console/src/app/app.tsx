import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { ConfigProvider } from 'antd';
import enUS from 'antd/locale/en_US';
import zhCN from 'antd/locale/zh_CN';
import { Suspense, lazy, useMemo, type ComponentType } from 'react';
import { RouterProvider, createBrowserRouter } from 'react-router-dom';
import { ApiError } from '../api/client';
import { Skeleton } from '../parts/states';
import { FeedbackProvider } from './feedback';
import { SettingsProvider, useSettings } from './settings';
import { SeeAsProvider } from './seeas';
import { Shell } from './shell';
import { themeConfig } from './theme';
import { nonce } from './trusted';

const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      refetchOnWindowFocus: true,
      // A refusal stays a refusal; only a lost connection or an ailing server is worth asking again.
      retry: (n, e) => n < 2 && (!(e instanceof ApiError) || e.status === 0 || e.status >= 500),
      retryDelay: (n) => 500 * 2 ** n,
      networkMode: 'always',
    },
    mutations: { networkMode: 'always' },
  },
});

/** A page in its own chunk, so that the first load is small. */
function page(load: () => Promise<{ default: ComponentType }>) {
  const Page = lazy(load);
  return (
    <Suspense fallback={<div className="page"><Skeleton lines={12} /></div>}>
      <Page />
    </Suspense>
  );
}

const router = createBrowserRouter([
  { path: '/login', element: page(() => import('../pages/login')) },
  {
    element: <Shell />,
    children: [
      { path: '/', element: page(() => import('../pages/shift')) },
      { path: '/attacks', element: page(() => import('../pages/attacks')) },
      { path: '/scenarios', element: page(() => import('../pages/scenarios')) },
      { path: '/scenarios/:id', element: page(() => import('../pages/scenario')) },
      { path: '/alerts', element: page(() => import('../pages/alerts')) },
      { path: '/alerts/:id', element: page(() => import('../pages/alert')) },
      { path: '/entities', element: page(() => import('../pages/entities/home')) },
      { path: '/entities/:type/:value', element: page(() => import('../pages/entities/entity')) },
      { path: '/silences', element: page(() => import('../pages/silences')) },
      { path: '/attackers', element: page(() => import('../pages/attackers')) },
      { path: '/graph', element: page(() => import('../pages/graph')) },
      { path: '/suppressions', element: page(() => import('../pages/suppressions')) },
      { path: '/generation', element: page(() => import('../pages/generation')) },
      { path: '/merge-rules', element: page(() => import('../pages/mergerules')) },
      { path: '/inhibitions', element: page(() => import('../pages/inhibitions')) },
      { path: '/maintenance', element: page(() => import('../pages/maintenance')) },
      { path: '/policies', element: page(() => import('../pages/policies')) },
      { path: '/incidents', element: page(() => import('../pages/incidents')) },
      { path: '/incidents/:id', element: page(() => import('../pages/incident')) },
      { path: '/figures', element: page(() => import('../pages/figures')) },
      { path: '/statutory', element: page(() => import('../pages/statutory')) },
      { path: '/disposals', element: page(() => import('../pages/disposals')) },
      { path: '/disposal-plans', element: page(() => import('../pages/plans')) },
      { path: '/disposal-rules', element: page(() => import('../pages/disposalrules')) },
      { path: '/orders', element: page(() => import('../pages/orders/orders')) },
      { path: '/orders/connections', element: page(() => import('../pages/orders/connections')) },
      { path: '/notices', element: page(() => import('../pages/notices/list')) },
      { path: '/notices/new', element: page(() => import('../pages/notices/edit')) },
      { path: '/notices/:id', element: page(() => import('../pages/notices/notice')) },
      { path: '/notices/:id/edit', element: page(() => import('../pages/notices/edit')) },
      { path: '/daily-reports', element: page(() => import('../pages/daily')) },
      { path: '/duty', element: page(() => import('../pages/duty/mine')) },
      { path: '/duty/calendar', element: page(() => import('../pages/duty/calendar')) },
      { path: '/duty/teams/:id', element: page(() => import('../pages/duty/team')) },
      { path: '/sla', element: page(() => import('../pages/duty/sla')) },
      { path: '/notify', element: page(() => import('../pages/notify/deliveries')) },
      { path: '/notify/contacts', element: page(() => import('../pages/notify/contacts')) },
      { path: '/notify/routes', element: page(() => import('../pages/notify/routing')) },
      { path: '/notify/wordings', element: page(() => import('../pages/notify/wordings')) },
      { path: '/search', element: page(() => import('../pages/search/search')) },
      { path: '/search/monitors', element: page(() => import('../pages/search/monitors')) },
      { path: '/search/groups', element: page(() => import('../pages/search/groups')) },
      { path: '/search/exports', element: page(() => import('../pages/search/exports')) },
      { path: '/traces', element: page(() => import('../pages/traces/traces')) },
      { path: '/traces/:id', element: page(() => import('../pages/traces/trace')) },
      { path: '/flows', element: page(() => import('../pages/flows')) },
      { path: '/units', element: page(() => import('../pages/assets/units')) },
      { path: '/systems', element: page(() => import('../pages/assets/systems')) },
      { path: '/risk', element: page(() => import('../pages/assets/assets')) },
      { path: '/findings', element: page(() => import('../pages/exposure/findings')) },
      { path: '/findings/figures', element: page(() => import('../pages/exposure/figures')) },
      { path: '/findings/:id', element: page(() => import('../pages/exposure/finding')) },
      { path: '/vulnerabilities', element: page(() => import('../pages/exposure/vulnerabilities')) },
      { path: '/vulnerabilities/:id', element: page(() => import('../pages/exposure/vulnerability')) },
      { path: '/portraits/:id', element: page(() => import('../pages/assets/portrait')) },
      { path: '/cmdb', element: page(() => import('../pages/cmdb/home')) },
      { path: '/cmdb/items', element: page(() => import('../pages/cmdb/items')) },
      { path: '/cmdb/items/new', element: page(() => import('../pages/cmdb/edit')) },
      { path: '/cmdb/key', element: page(() => import('../pages/cmdb/key')) },
      { path: '/cmdb/traffic', element: page(() => import('../pages/cmdb/traffic')) },
      { path: '/cmdb/changes', element: page(() => import('../pages/cmdb/changes')) },
      { path: '/cmdb/labels', element: page(() => import('../pages/cmdb/labels')) },
      { path: '/cmdb/models', element: page(() => import('../pages/cmdb/models')) },
      { path: '/cmdb/dictionaries', element: page(() => import('../pages/cmdb/dictionaries')) },
      { path: '/cmdb/rules', element: page(() => import('../pages/cmdb/rules')) },
      { path: '/cmdb/topologies', element: page(() => import('../pages/cmdb/topologies')) },
      { path: '/cmdb/topologies/:id', element: page(() => import('../pages/cmdb/topology')) },
      { path: '/cmdb/path', element: page(() => import('../pages/cmdb/path')) },
      { path: '/cmdb/import', element: page(() => import('../pages/cmdbdata/import')) },
      { path: '/cmdb/requests', element: page(() => import('../pages/cmdbdata/requests')) },
      { path: '/cmdb/inbox', element: page(() => import('../pages/cmdbdata/inbox')) },
      { path: '/cmdb/subscriptions', element: page(() => import('../pages/cmdbdata/subscriptions')) },
      { path: '/cmdb/:id', element: page(() => import('../pages/cmdb/item')) },
      { path: '/cmdb/:id/edit', element: page(() => import('../pages/cmdb/edit')) },
      { path: '/tenants', element: page(() => import('../pages/tenants')) },
      { path: '/agents', element: page(() => import('../pages/fleet/fleet')) },
      { path: '/agents/hosts/:id', element: page(() => import('../pages/fleet/host')) },
      { path: '/sources', element: page(() => import('../pages/sources')) },
      { path: '/connect', element: page(() => import('../pages/connect')) },
      { path: '/coverage', element: page(() => import('../pages/coverage')) },
      { path: '/alert-sources', element: page(() => import('../pages/alertsources')) },
      { path: '/parsers', element: page(() => import('../pages/parsers')) },
      { path: '/forwarding', element: page(() => import('../pages/forwarding/forwarding')) },
      { path: '/knowledge', element: page(() => import('../pages/knowledge')) },
      { path: '/knowledge/:id', element: page(() => import('../pages/knowledge')) },
      { path: '/rules', element: page(() => import('../pages/rules')) },
      { path: '/rules/proposals', element: page(() => import('../pages/ruleproposals')) },
      { path: '/rules/new', element: page(() => import('../pages/ruleedit')) },
      { path: '/rules/:id/edit', element: page(() => import('../pages/ruleedit')) },
      { path: '/rules/:id', element: page(() => import('../pages/rule')) },
      { path: '/welcome', element: page(() => import('../pages/welcome')) },
      { path: '/me', element: page(() => import('../pages/me')) },
      { path: '/portal', element: page(() => import('../pages/portal')) },
      { path: '/admin/users', element: page(() => import('../pages/admin/users')) },
      { path: '/admin/users/:id', element: page(() => import('../pages/admin/user')) },
      { path: '/admin/units', element: page(() => import('../pages/admin/units')) },
      { path: '/admin/roles', element: page(() => import('../pages/admin/roles')) },
      { path: '/admin/groups', element: page(() => import('../pages/admin/groups')) },
      { path: '/admin/sessions', element: page(() => import('../pages/admin/sessions')) },
      { path: '/admin/tokens', element: page(() => import('../pages/admin/tokens')) },
      { path: '/admin/keys', element: page(() => import('../pages/admin/keys')) },
      { path: '/admin/identity-providers', element: page(() => import('../pages/admin/providers')) },
      { path: '/admin/identity-providers/:id', element: page(() => import('../pages/admin/provider')) },
      { path: '/admin/applications', element: page(() => import('../pages/admin/applications')) },
      { path: '/admin/applications/:id', element: page(() => import('../pages/admin/application')) },
      { path: '/admin/storage', element: page(() => import('../pages/admin/storage')) },
      { path: '/admin/backups', element: page(() => import('../pages/admin/backups')) },
      { path: '/processing', element: page(() => import('../pages/processing')) },
      { path: '/admin/masking', element: page(() => import('../pages/admin/masking')) },
      { path: '/admin/settings', element: page(() => import('../pages/admin/settings')) },
      { path: '/admin/transitions', element: page(() => import('../pages/admin/transitions')) },
      { path: '/admin/audit', element: page(() => import('../pages/admin/audit')) },
      { path: '*', element: page(() => import('../pages/notfound')) },
    ],
  },
]);

function Themed() {
  const { dark, locale } = useSettings();
  const theme = useMemo(() => themeConfig(dark), [dark]);
  return (
    <ConfigProvider theme={theme} locale={locale === 'en-US' ? enUS : zhCN} button={{ autoInsertSpace: false }} csp={{ nonce }} wave={{ disabled: true }}>
      <FeedbackProvider>
        <SeeAsProvider>
          <RouterProvider router={router} />
        </SeeAsProvider>
      </FeedbackProvider>
    </ConfigProvider>
  );
}

export function App() {
  return (
    <QueryClientProvider client={client}>
      <SettingsProvider>
        <Themed />
      </SettingsProvider>
    </QueryClientProvider>
  );
}
