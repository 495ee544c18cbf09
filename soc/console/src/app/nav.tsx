import {
  AlertOutlined,
  ApiOutlined,
  AuditOutlined,
  ClusterOutlined,
  DashboardOutlined,
  FileSearchOutlined,
  FireOutlined,
  KeyOutlined,
  SafetyCertificateOutlined,
  TeamOutlined,
  DatabaseOutlined,
} from '@ant-design/icons';
import type { ReactNode } from 'react';
import type { Key } from '../locales/zh';

export interface NavItem {
  to: string;
  title: Key;
  icon: ReactNode;
  /** The letter after g. */
  letter?: string;
  admin?: boolean;
}
export interface NavGroup {
  title: Key;
  items: NavItem[];
}

/** The rail: pages that exist, in the order of work. */
export const NAV: NavGroup[] = [
  { title: 'nav.overview', items: [{ to: '/', title: 'page.shift', icon: <DashboardOutlined />, letter: 'h' }] },
  { title: 'nav.detect', items: [{ to: '/alerts', title: 'page.alerts', icon: <AlertOutlined />, letter: 'a' }] },
  { title: 'nav.respond', items: [{ to: '/incidents', title: 'page.incidents', icon: <FireOutlined />, letter: 'i' }] },
  { title: 'nav.search', items: [{ to: '/search', title: 'page.search', icon: <FileSearchOutlined />, letter: 's' }] },
  { title: 'nav.assets', items: [{ to: '/cmdb', title: 'page.cmdb', icon: <DatabaseOutlined />, letter: 'c' }] },
  { title: 'nav.observe', items: [{ to: '/tenants', title: 'page.tenants', icon: <ClusterOutlined />, letter: 't' }] },
  { title: 'nav.rules', items: [{ to: '/rules', title: 'page.rules', icon: <SafetyCertificateOutlined />, letter: 'r' }] },
  { title: 'nav.intake', items: [{ to: '/sources', title: 'page.sources', icon: <ApiOutlined />, letter: 'n' }] },
  {
    title: 'nav.admin',
    items: [
      { to: '/admin/users', title: 'page.users', icon: <TeamOutlined />, admin: true },
      { to: '/admin/tokens', title: 'page.tokens', icon: <KeyOutlined />, admin: true },
      { to: '/admin/audit', title: 'page.audit', icon: <AuditOutlined />, admin: true },
    ],
  },
];
