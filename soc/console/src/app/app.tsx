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
      { path: '/alerts', element: page(() => import('../pages/alerts')) },
      { path: '/alerts/:id', element: page(() => import('../pages/alert')) },
      { path: '/incidents', element: page(() => import('../pages/incidents')) },
      { path: '/incidents/:id', element: page(() => import('../pages/incident')) },
      { path: '/search', element: page(() => import('../pages/search')) },
      { path: '/cmdb', element: page(() => import('../pages/cmdb')) },
      { path: '/cmdb/:id', element: page(() => import('../pages/cmdbitem')) },
      { path: '/tenants', element: page(() => import('../pages/tenants')) },
      { path: '/sources', element: page(() => import('../pages/sources')) },
      { path: '/rules', element: page(() => import('../pages/rules')) },
      { path: '/rules/:id', element: page(() => import('../pages/rule')) },
      { path: '/admin/users', element: page(() => import('../pages/users')) },
      { path: '/admin/tokens', element: page(() => import('../pages/tokens')) },
      { path: '/admin/audit', element: page(() => import('../pages/audit')) },
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
        <RouterProvider router={router} />
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
