import {
  AimOutlined,
  AlertOutlined,
  ApartmentOutlined,
  ApiOutlined,
  AppstoreAddOutlined,
  AppstoreOutlined,
  AuditOutlined,
  BarChartOutlined,
  BellOutlined,
  BlockOutlined,
  BookOutlined,
  BranchesOutlined,
  BugOutlined,
  CloudUploadOutlined,
  ClusterOutlined,
  ContainerOutlined,
  DashboardOutlined,
  DatabaseOutlined,
  DeploymentUnitOutlined,
  DesktopOutlined,
  DownloadOutlined,
  EyeInvisibleOutlined,
  FileDoneOutlined,
  FilterOutlined,
  FileProtectOutlined,
  FileSearchOutlined,
  FireOutlined,
  FolderOpenOutlined,
  ForkOutlined,
  HddOutlined,
  HistoryOutlined,
  IdcardOutlined,
  ImportOutlined,
  InboxOutlined,
  KeyOutlined,
  LinkOutlined,
  LockOutlined,
  MergeCellsOutlined,
  OrderedListOutlined,
  NodeIndexOutlined,
  NotificationOutlined,
  PartitionOutlined,
  PieChartOutlined,
  RadarChartOutlined,
  ReadOutlined,
  RetweetOutlined,
  SafetyCertificateOutlined,
  ScheduleOutlined,
  SendOutlined,
  SettingOutlined,
  ShareAltOutlined,
  SolutionOutlined,
  StarOutlined,
  StopOutlined,
  SwapOutlined,
  TableOutlined,
  TagsOutlined,
  TeamOutlined,
  ThunderboltOutlined,
  ToolOutlined,
  UserOutlined,
  UsergroupAddOutlined,
} from '@ant-design/icons';
import type { ReactNode } from 'react';
import type { Key } from '../locales/zh';

export interface NavItem {
  to: string;
  title: Key;
  icon: ReactNode;
  /** The letter after g. */
  letter?: string;
  /** Shown to who holds one of these scopes or operations; to everybody where it is not given. */
  needs?: string[];
  /** Pages that belong to this one: in the rail they show while one of them is open. */
  below?: NavItem[];
}
export interface NavGroup {
  title: Key;
  items: NavItem[];
}

/** The rail: pages that exist, in the order of work. */
export const NAV: NavGroup[] = [
  {
    title: 'nav.overview',
    items: [
      { to: '/', needs: ['read'], title: 'page.shift', icon: <DashboardOutlined />, letter: 'h' },
      { to: '/portal', title: 'page.portal', icon: <AppstoreOutlined />, letter: 'p' },
    ],
  },
  {
    title: 'nav.detect',
    items: [
      { to: '/alerts', needs: ['read'], title: 'page.alerts', icon: <AlertOutlined />, letter: 'a' },
      { to: '/attacks', needs: ['attack-statistics'], title: 'page.attacks', icon: <AimOutlined />, letter: 'v', below: [{ to: '/threats', needs: ['list-threat-views'], title: 'page.threats', icon: <PieChartOutlined /> }, { to: '/attackers', needs: ['list-attackers'], title: 'page.attackers', icon: <UserOutlined /> }] },
      { to: '/scenarios', needs: ['list-scenarios'], title: 'page.scenarios', icon: <DeploymentUnitOutlined /> },
      { to: '/entities', needs: ['get-entity'], title: 'page.entities', icon: <ReadOutlined />, letter: 'j' },
      { to: '/graph', needs: ['graph-neighbours'], title: 'page.graph', icon: <ForkOutlined /> },
      { to: '/silences', needs: ['list-silences'], title: 'page.silences', icon: <BellOutlined />, letter: 'y', below: [{ to: '/suppressions', needs: ['list-suppressions'], title: 'page.suppressions', icon: <FilterOutlined /> }, { to: '/inhibitions', needs: ['list-inhibitions'], title: 'page.inhibitions', icon: <StopOutlined /> }, { to: '/merge-rules', needs: ['list-merge-rules'], title: 'page.mergeRules', icon: <MergeCellsOutlined /> }, { to: '/generation', needs: ['get-setting-alert-generation'], title: 'page.generation', icon: <ScheduleOutlined /> }] },
      { to: '/maintenance', needs: ['list-maintenance-windows'], title: 'page.maintenance', icon: <ToolOutlined /> },
    ] },
  {
    title: 'nav.respond',
    items: [
      { to: '/incidents', needs: ['read'], title: 'page.incidents', icon: <FireOutlined />, letter: 'i', below: [{ to: '/figures', needs: ['get-incident-figures'], title: 'page.figures', icon: <BarChartOutlined /> }, { to: '/statutory', needs: ['list-statutory-due'], title: 'page.statutory', icon: <FileProtectOutlined /> }, { to: '/event-levels', needs: ['get-setting-data-event-levels'], title: 'page.eventLevels', icon: <OrderedListOutlined /> }] },
      { to: '/orders', needs: ['list-work-orders'], title: 'page.orders', icon: <ContainerOutlined />, letter: 'q', below: [{ to: '/orders/connections', needs: ['list-work-order-connections'], title: 'page.orderConnections', icon: <ApiOutlined /> }] },
      { to: '/notices', needs: ['list-notices'], title: 'page.notices', icon: <NotificationOutlined />, letter: 'm' },
      { to: '/daily-reports', needs: ['list-daily-reports'], title: 'page.daily', icon: <FileDoneOutlined /> },
      { to: '/disposals', needs: ['list-disposals'], title: 'page.disposals', icon: <AuditOutlined />, below: [{ to: '/disposal-rules', needs: ['list-disposal-rules', 'list-disposal-records'], title: 'page.disposalRules', icon: <ThunderboltOutlined /> }, { to: '/disposal-plans', needs: ['list-disposal-plans'], title: 'page.plans', icon: <SolutionOutlined /> }] },
    ],
  },
  {
    title: 'nav.duty',
    items: [
      { to: '/duty', needs: ['get-my-duty'], title: 'page.duty', icon: <SolutionOutlined />, below: [{ to: '/duty/calendar', needs: ['list-duty-teams'], title: 'page.roster', icon: <ScheduleOutlined /> }] },
      { to: '/sla', needs: ['get-sla-report'], title: 'page.sla', icon: <DashboardOutlined /> },
      {
        to: '/notify',
        needs: ['list-deliveries'],
        title: 'page.deliveries',
        icon: <BellOutlined />,
        below: [
          { to: '/notify/contacts', needs: ['list-contact-points'], title: 'page.contacts', icon: <SolutionOutlined /> },
          { to: '/notify/routes', needs: ['get-routing'], title: 'page.routing', icon: <ApartmentOutlined /> },
          { to: '/notify/wordings', needs: ['list-wordings'], title: 'page.wordings', icon: <FileSearchOutlined /> },
        ],
      },
    ],
  },
  {
    title: 'nav.search',
    items: [
      {
        to: '/search',
        needs: ['read'],
        title: 'page.search',
        icon: <FileSearchOutlined />,
        letter: 's',
        below: [
          { to: '/search/monitors', needs: ['read'], title: 'page.monitors', icon: <ScheduleOutlined />, letter: 'e' },
          { to: '/search/groups', needs: ['read'], title: 'page.groups.logs', icon: <FolderOpenOutlined /> },
          { to: '/search/exports', needs: ['read'], title: 'page.exports', icon: <DownloadOutlined />, letter: 'x' },
        ],
      },
      { to: '/traces', needs: ['traces-search'], title: 'page.traces', icon: <NodeIndexOutlined />, letter: 'l' },
      { to: '/flows', needs: ['read'], title: 'page.flows', icon: <DeploymentUnitOutlined />, letter: 'f' },
    ],
  },
  {
    title: 'nav.assets',
    items: [
      {
        to: '/cmdb',
        needs: ['read'],
        title: 'page.cmdb',
        icon: <DatabaseOutlined />,
        letter: 'c',
        below: [
          { to: '/cmdb/items', needs: ['list-cmdb-items'], title: 'page.cmdb.items', icon: <TableOutlined /> },
          { to: '/cmdb/key', needs: ['get-cmdb-key-assets'], title: 'page.cmdb.key', icon: <StarOutlined /> },
          { to: '/cmdb/traffic', needs: ['list-cmdb-traffic'], title: 'page.cmdb.traffic', icon: <SwapOutlined /> },
          { to: '/cmdb/topologies', needs: ['list-cmdb-topologies'], title: 'page.cmdb.topologies', icon: <PartitionOutlined /> },
          { to: '/cmdb/path', needs: ['find-cmdb-path'], title: 'page.cmdb.path', icon: <BranchesOutlined /> },
          { to: '/cmdb/changes', needs: ['list-cmdb-changes'], title: 'page.cmdb.changes', icon: <HistoryOutlined /> },
          { to: '/cmdb/inbox', needs: ['list-cmdb-inbox'], title: 'page.cmdbInbox', icon: <InboxOutlined /> },
          { to: '/cmdb/import', needs: ['export-cmdb'], title: 'page.cmdbImport', icon: <ImportOutlined /> },
          { to: '/cmdb/requests', needs: ['list-cmdb-requests'], title: 'page.cmdbRequests', icon: <AuditOutlined /> },
          { to: '/cmdb/subscriptions', needs: ['list-cmdb-subscriptions'], title: 'page.cmdbSubscriptions', icon: <BellOutlined /> },
          { to: '/cmdb/models', needs: ['get-cmdb-model'], title: 'page.cmdb.models', icon: <BlockOutlined /> },
          { to: '/cmdb/dictionaries', needs: ['get-cmdb-model'], title: 'page.cmdb.dictionaries', icon: <BookOutlined /> },
          { to: '/cmdb/rules', needs: ['get-cmdb-model'], title: 'page.cmdb.rules', icon: <ShareAltOutlined /> },
          { to: '/cmdb/labels', needs: ['list-cmdb-labels'], title: 'page.cmdb.labels', icon: <TagsOutlined /> },
        ],
      },
      { to: '/tenants', needs: ['read'], title: 'page.tenants', icon: <ClusterOutlined />, letter: 't' },
      { to: '/units', needs: ['list-cmdb-units'], title: 'page.archive.unit', icon: <ApartmentOutlined /> },
      { to: '/systems', needs: ['list-cmdb-systems'], title: 'page.archive.system', icon: <AppstoreOutlined /> },
      { to: '/findings', needs: ['list-findings'], title: 'page.findings', icon: <BugOutlined />, below: [{ to: '/findings/figures', needs: ['get-finding-figures'], title: 'page.findingFigures', icon: <BarChartOutlined /> }, { to: '/finding-orders', needs: ['list-finding-orders'], title: 'page.findingOrders', icon: <SolutionOutlined /> }, { to: '/vulnerabilities', needs: ['list-vulnerabilities'], title: 'page.vulnerabilities', icon: <BookOutlined /> }, { to: '/scans', needs: ['list-scan-runs'], title: 'page.scans', icon: <AimOutlined /> }, { to: '/surface', needs: ['list-surface-changes'], title: 'page.surface', icon: <RadarChartOutlined /> }] },
      { to: '/risk', needs: ['list-cmdb-risk'], title: 'page.archive.asset', icon: <SafetyCertificateOutlined /> },
    ],
  },
  { title: 'nav.rules', items: [{ to: '/rules', needs: ['read'], title: 'page.rules', icon: <SafetyCertificateOutlined />, letter: 'r', below: [{ to: '/rules/proposals', needs: ['list-rule-proposals'], title: 'page.ruleProposals', icon: <AuditOutlined /> }] }, { to: '/policies', needs: ['get-policies'], title: 'page.policies', icon: <AuditOutlined /> }, { to: '/knowledge', needs: ['list-articles'], title: 'page.knowledge', icon: <BookOutlined /> }] },
  {
    title: 'nav.intake',
    items: [
      { to: '/sources', needs: ['read'], title: 'page.sources', icon: <ApiOutlined />, letter: 'n' },
      { to: '/agents', needs: ['list-fleet-hosts'], title: 'page.agents', icon: <DesktopOutlined /> },
      { to: '/parsers', needs: ['list-parsers'], title: 'page.parsers', icon: <FileSearchOutlined /> },
      { to: '/coverage', needs: ['get-coverage'], title: 'page.coverage', icon: <RadarChartOutlined /> },
      { to: '/alert-sources', needs: ['list-alert-sources'], title: 'page.alertsources', icon: <ImportOutlined /> },
      { to: '/connect', needs: ['read'], title: 'page.connect', icon: <LinkOutlined />, letter: 'k' },
      { to: '/processing', title: 'page.processing', icon: <FilterOutlined />, needs: ['list-processing-rules'] },
      { to: '/forwarding', needs: ['list-forward-targets'], title: 'page.forwarding', icon: <SendOutlined />, letter: 'w' },
    ],
  },
  {
    title: 'nav.admin',
    items: [
      { to: '/admin/users', title: 'page.users', icon: <TeamOutlined />, needs: ['list-users'], letter: 'u' },
      { to: '/admin/units', title: 'page.units', icon: <ApartmentOutlined />, needs: ['create-unit', 'set-unit-ceiling'] },
      { to: '/admin/roles', title: 'page.roles', icon: <SolutionOutlined />, needs: ['create-role', 'get-user'], letter: 'o' },
      { to: '/admin/groups', title: 'page.groups', icon: <UsergroupAddOutlined />, needs: ['list-groups', 'list-grants'] },
      { to: '/admin/sessions', title: 'page.sessions', icon: <DesktopOutlined />, needs: ['list-sessions'] },
      { to: '/admin/tokens', title: 'page.tokens', icon: <KeyOutlined />, needs: ['list-tokens'] },
      { to: '/admin/keys', title: 'page.keys', icon: <LockOutlined />, needs: ['list-keys'] },
      { to: '/admin/identity-providers', title: 'page.providers', icon: <IdcardOutlined />, needs: ['list-identity-providers'] },
      { to: '/admin/applications', title: 'page.applications', icon: <AppstoreAddOutlined />, needs: ['list-applications', 'list-application-clients'] },
      { to: '/admin/storage', title: 'page.storage', icon: <HddOutlined />, needs: ['system', 'audit'], letter: 'b' },
      { to: '/admin/backups', title: 'page.backups', icon: <CloudUploadOutlined />, needs: ['list-backups'] },
      { to: '/admin/masking', title: 'page.masking', icon: <EyeInvisibleOutlined />, needs: ['list-masking-rules'] },
      { to: '/admin/settings', title: 'page.settings', icon: <SettingOutlined />, needs: ['system', 'security', 'audit'] },
      { to: '/admin/transitions', title: 'page.transitions', icon: <RetweetOutlined />, needs: ['security'] },
      { to: '/admin/audit', title: 'page.audit', icon: <AuditOutlined />, needs: ['list-audit'], letter: 'd' },
    ],
  },
];

/** The items somebody may use, groups without any left out. */
export function navFor(can: (what: string) => boolean): NavGroup[] {
  const allowed = (items: NavItem[]): NavItem[] => items.filter((i) => !i.needs || i.needs.some(can)).map((i) => (i.below ? { ...i, below: allowed(i.below) } : i));
  return NAV.map((g) => ({ ...g, items: allowed(g.items) })).filter((g) => g.items.length > 0);
}

/** Every page there is to go to, those below others too. */
export function everyItem(groups: readonly NavGroup[]): NavItem[] {
  return groups.flatMap((g) => g.items.flatMap((i) => [i, ...(i.below ?? [])]));
}
