import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { ConfigProvider } from 'antd';
import enUS from 'antd/locale/en_US';
import zhCN from 'antd/locale/zh_CN';
import { Suspense, lazy, useMemo, type ComponentType } from 'react';
import { RouterProvider, createBrowserRouter } from 'react-router-dom';
import { ApiError } from '../api/client';
import { me } from '../api/queries';
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

/** A page at a path. Its code is asked for beside the reader's session, not after it. */
const route = (path: string, load: () => Promise<{ default: ComponentType }>) => ({ path, element: page(load), handle: load });

const router = createBrowserRouter([
  route('/login', () => import('../pages/login')),
  {
    element: <Shell />,
    children: [
      route('/', () => import('../pages/shift')),
      route('/attacks', () => import('../pages/attacks')),
      route('/threats', () => import('../pages/threats')),
      route('/threats/:view', () => import('../pages/threats')),
      route('/scenarios', () => import('../pages/scenarios')),
      route('/scenarios/:id', () => import('../pages/scenario')),
      route('/alerts', () => import('../pages/alerts')),
      route('/alerts/:id', () => import('../pages/alert')),
      route('/entities', () => import('../pages/entities/home')),
      route('/entities/:type/:value', () => import('../pages/entities/entity')),
      route('/silences', () => import('../pages/silences')),
      route('/attackers', () => import('../pages/attackers')),
      route('/graph', () => import('../pages/graph')),
      route('/suppressions', () => import('../pages/suppressions')),
      route('/merge-rules', () => import('../pages/mergerules')),
      route('/inhibitions', () => import('../pages/inhibitions')),
      route('/maintenance', () => import('../pages/maintenance')),
      route('/policies', () => import('../pages/policies')),
      route('/incidents', () => import('../pages/incidents')),
      route('/incidents/:id', () => import('../pages/incident')),
      route('/figures', () => import('../pages/figures')),
      route('/statutory', () => import('../pages/statutory')),
      route('/disposals', () => import('../pages/disposals')),
      route('/disposal-plans', () => import('../pages/plans')),
      route('/disposal-rules', () => import('../pages/disposalrules')),
      route('/orders', () => import('../pages/orders/orders')),
      route('/orders/connections', () => import('../pages/orders/connections')),
      route('/notices', () => import('../pages/notices/list')),
      route('/notices/new', () => import('../pages/notices/edit')),
      route('/notices/:id', () => import('../pages/notices/notice')),
      route('/notices/:id/edit', () => import('../pages/notices/edit')),
      route('/daily-reports', () => import('../pages/daily')),
      route('/duty', () => import('../pages/duty/mine')),
      route('/duty/calendar', () => import('../pages/duty/calendar')),
      route('/duty/teams/:id', () => import('../pages/duty/team')),
      route('/sla', () => import('../pages/duty/sla')),
      route('/notify', () => import('../pages/notify/deliveries')),
      route('/notify/contacts', () => import('../pages/notify/contacts')),
      route('/notify/routes', () => import('../pages/notify/routing')),
      route('/notify/wordings', () => import('../pages/notify/wordings')),
      route('/search', () => import('../pages/search/search')),
      route('/search/monitors', () => import('../pages/search/monitors')),
      route('/search/groups', () => import('../pages/search/groups')),
      route('/search/exports', () => import('../pages/search/exports')),
      route('/traces', () => import('../pages/traces/traces')),
      route('/traces/:id', () => import('../pages/traces/trace')),
      route('/flows', () => import('../pages/flows')),
      route('/units', () => import('../pages/assets/units')),
      route('/systems', () => import('../pages/assets/systems')),
      route('/risk', () => import('../pages/assets/assets')),
      route('/findings', () => import('../pages/exposure/findings')),
      route('/scans', () => import('../pages/exposure/scans')),
      route('/scans/:id', () => import('../pages/exposure/scan')),
      route('/surface', () => import('../pages/exposure/surface')),
      route('/finding-orders', () => import('../pages/exposure/orders')),
      route('/finding-orders/:id', () => import('../pages/exposure/order')),
      route('/findings/figures', () => import('../pages/exposure/figures')),
      route('/findings/:id', () => import('../pages/exposure/finding')),
      route('/vulnerabilities', () => import('../pages/exposure/vulnerabilities')),
      route('/vulnerabilities/:id', () => import('../pages/exposure/vulnerability')),
      route('/portraits/:id', () => import('../pages/assets/portrait')),
      route('/cmdb', () => import('../pages/cmdb/home')),
      route('/cmdb/items', () => import('../pages/cmdb/items')),
      route('/cmdb/items/new', () => import('../pages/cmdb/edit')),
      route('/cmdb/key', () => import('../pages/cmdb/key')),
      route('/cmdb/traffic', () => import('../pages/cmdb/traffic')),
      route('/cmdb/changes', () => import('../pages/cmdb/changes')),
      route('/cmdb/labels', () => import('../pages/cmdb/labels')),
      route('/cmdb/models', () => import('../pages/cmdb/models')),
      route('/cmdb/dictionaries', () => import('../pages/cmdb/dictionaries')),
      route('/cmdb/rules', () => import('../pages/cmdb/rules')),
      route('/cmdb/topologies', () => import('../pages/cmdb/topologies')),
      route('/cmdb/topologies/:id', () => import('../pages/cmdb/topology')),
      route('/cmdb/path', () => import('../pages/cmdb/path')),
      route('/cmdb/import', () => import('../pages/cmdbdata/import')),
      route('/cmdb/requests', () => import('../pages/cmdbdata/requests')),
      route('/cmdb/inbox', () => import('../pages/cmdbdata/inbox')),
      route('/cmdb/subscriptions', () => import('../pages/cmdbdata/subscriptions')),
      route('/cmdb/:id', () => import('../pages/cmdb/item')),
      route('/cmdb/:id/edit', () => import('../pages/cmdb/edit')),
      route('/tenants', () => import('../pages/tenants')),
      route('/agents', () => import('../pages/fleet/fleet')),
      route('/agents/hosts/:id', () => import('../pages/fleet/host')),
      route('/sources', () => import('../pages/sources')),
      route('/connect', () => import('../pages/connect')),
      route('/coverage', () => import('../pages/coverage')),
      route('/alert-sources', () => import('../pages/alertsources')),
      route('/parsers', () => import('../pages/parsers')),
      route('/forwarding', () => import('../pages/forwarding/forwarding')),
      route('/knowledge', () => import('../pages/knowledge')),
      route('/knowledge/:id', () => import('../pages/knowledge')),
      route('/rules', () => import('../pages/rules')),
      route('/rules/proposals', () => import('../pages/ruleproposals')),
      route('/rules/new', () => import('../pages/ruleedit')),
      route('/rules/:id/edit', () => import('../pages/ruleedit')),
      route('/rules/:id', () => import('../pages/rule')),
      route('/welcome', () => import('../pages/welcome')),
      route('/me', () => import('../pages/me')),
      route('/portal', () => import('../pages/portal')),
      route('/admin/users', () => import('../pages/admin/users')),
      route('/admin/users/:id', () => import('../pages/admin/user')),
      route('/admin/units', () => import('../pages/admin/units')),
      route('/admin/roles', () => import('../pages/admin/roles')),
      route('/admin/groups', () => import('../pages/admin/groups')),
      route('/admin/sessions', () => import('../pages/admin/sessions')),
      route('/admin/tokens', () => import('../pages/admin/tokens')),
      route('/admin/keys', () => import('../pages/admin/keys')),
      route('/admin/identity-providers', () => import('../pages/admin/providers')),
      route('/admin/identity-providers/:id', () => import('../pages/admin/provider')),
      route('/admin/applications', () => import('../pages/admin/applications')),
      route('/admin/applications/:id', () => import('../pages/admin/application')),
      route('/admin/storage', () => import('../pages/admin/storage')),
      route('/admin/backups', () => import('../pages/admin/backups')),
      route('/processing', () => import('../pages/processing')),
      route('/admin/masking', () => import('../pages/admin/masking')),
      route('/admin/settings', () => import('../pages/admin/settings')),
      route('/admin/transitions', () => import('../pages/admin/transitions')),
      route('/admin/audit', () => import('../pages/admin/audit')),
      route('*', () => import('../pages/notfound')),
      route('/event-levels', () => import('../pages/eventlevels')),
      route('/generation', () => import('../pages/generation')),
    ],
  },
]);

// What the page begins with is on its way before anything is drawn.
if (router.state.location.pathname !== '/login') void client.prefetchQuery(me);
for (const m of router.state.matches) void (m.route.handle as undefined | (() => Promise<unknown>))?.().catch(() => undefined);

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
