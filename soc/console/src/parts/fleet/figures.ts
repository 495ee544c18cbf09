import type { Key } from '../../locales/zh';

/** A chart of a host's page: which input makes its figures, what it asks, what it is in. */
export interface Figure {
  plugin: string;
  title: Key;
  /** OWN stands for the label that names the agent. */
  query: string;
  percent?: boolean;
  bytes?: boolean;
  /** The label that tells lines apart. */
  by?: string;
}

/** What is shown of a host, by the inputs that run on it. The names are those that agents send (TestDashboardsShowWhatIsSent). */
export const FIGURES: readonly Figure[] = [
  { plugin: 'cpu', title: 'fleet.m.cpu', query: '100 - cpu_usage_idle{OWN,cpu="cpu-total"}', percent: true },
  { plugin: 'mem', title: 'fleet.m.mem', query: 'mem_used_percent{OWN}', percent: true },
  { plugin: 'system', title: 'fleet.m.load', query: 'system_load1{OWN}' },
  { plugin: 'disk', title: 'fleet.m.disk', query: 'disk_used_percent{OWN}', percent: true, by: 'path' },
  { plugin: 'net', title: 'fleet.m.net', query: 'rate(net_bytes_recv{OWN,interface!="all"}[5m])', bytes: true, by: 'interface' },
  { plugin: 'mysql', title: 'fleet.m.mysqlQueries', query: 'rate(mysql_queries{OWN}[5m])', by: 'server' },
  { plugin: 'mysql', title: 'fleet.m.mysqlThreads', query: 'mysql_threads_connected{OWN}', by: 'server' },
  { plugin: 'postgresql', title: 'fleet.m.pgCommits', query: 'sum by (db) (rate(postgresql_xact_commit{OWN}[5m]))', by: 'db' },
  { plugin: 'postgresql', title: 'fleet.m.pgBackends', query: 'sum by (db) (postgresql_numbackends{OWN})', by: 'db' },
  { plugin: 'redis', title: 'fleet.m.redisCommands', query: 'rate(redis_total_commands_processed{OWN}[5m])', by: 'server' },
  { plugin: 'redis', title: 'fleet.m.redisMemory', query: 'redis_used_memory{OWN}', bytes: true, by: 'server' },
  { plugin: 'nginx', title: 'fleet.m.nginxRequests', query: 'rate(nginx_requests{OWN}[5m])', by: 'server' },
  { plugin: 'nginx', title: 'fleet.m.nginxActive', query: 'nginx_active{OWN}', by: 'server' },
  { plugin: 'tomcat', title: 'fleet.m.tomcatBusy', query: 'tomcat_connector_current_threads_busy{OWN}', by: 'name' },
  { plugin: 'rabbitmq', title: 'fleet.m.rabbitReady', query: 'rabbitmq_overview_messages_ready{OWN}', by: 'url' },
];
