import type { List, Severity, Text } from './types';

export const HOST_STATES = ['online', 'degraded', 'tripped', 'offline', 'never', 'revoked'] as const;
export type HostState = (typeof HOST_STATES)[number];

export interface FleetHost {
  id: string;
  tenant: string;
  name: string;
  state: HostState;
  addresses: List<string>;
  os: string;
  platform: string;
  release: string;
  arch: string;
  virtual?: string;
  labels: List<string>;
  group?: string;
  version: string;
  profile?: string;
  profile_name?: string;
  configuration: { id?: string; name?: string; version: number; applied: boolean; refused?: string };
  seen_at?: string;
  enrolled_at: string;
  item?: string;
  agent_cpu_percent: number;
  agent_memory_bytes: number;
  queued_bytes: number;
  lost: number;
  wrong?: string;
}

export interface FleetHostDetail extends FleetHost {
  facts: { kernel: string; cores: number; memory: number; disk: number; macs?: List<string>; model?: string; serial?: string };
  modules: Record<string, string>;
  reasons: List<{ part: string; text: string; since?: number }>;
  inputs: List<{ name: string; plugin: string; state: string; error?: string; rate: number; extension?: FleetPluginProcess }>;
  queue: { bytes: number; batches: number; oldest_seconds: number; dropped_metrics: number; dropped_lines: number; sent_lines: number; sent_samples: number };
  certificate: { serial: string; not_after: string };
  enrolled_by: string;
  address?: string;
  tasks: List<{ id: string; name: string; leased: boolean }>;
}

export interface ContainerService {
  protocol: string;
  address?: string;
  port: number;
  published?: string;
  process?: string;
  service?: string;
  version?: string;
  listening: boolean;
}
/** A container of a host. */
export interface HostContainer {
  id: string;
  name: string;
  image: string;
  state: string;
  ports?: List<string>;
  engine?: string;
  health?: string;
  reason?: string;
  started?: number;
  restarts?: number;
  exit_code?: number;
  pod?: string;
  namespace?: string;
  addresses?: List<string>;
  service?: string;
  version?: string;
  services?: List<ContainerService>;
}
export interface FleetContainer extends HostContainer {
  agent: string;
  host: string;
  tenant: string;
  online: boolean;
  taken: string;
}
export interface FleetContainerFigures {
  hosts: number;
  total: number;
  states: Record<string, number>;
  services: Record<string, number>;
  images: number;
  unhealthy: number;
}

export interface FleetInventory {
  taken: number;
  disks?: List<{ device: string; mount: string; type: string; size: number; used: number }>;
  packages?: List<{ name: string; version: string; arch?: string; source: string }>;
  processes?: List<{ pid: number; name: string; command?: string; user?: string; cpu_percent: number; memory_bytes: number }>;
  ports?: List<{ protocol: string; address: string; port: number; process?: string; service?: string; version?: string }>;
  users?: List<{ name: string; id: string; shell?: string; groups?: List<string>; login: boolean }>;
  certificates?: List<{ path: string; subject: string; issuer: string; not_after: number }>;
  containers?: List<HostContainer>;
  services?: List<{ name: string; state: string; start?: string }>;
}

export interface FleetStatistics {
  hosts: number;
  agents: number;
  states: Record<string, number>;
  os: Record<string, number>;
  platforms: Record<string, number>;
  kinds: Record<string, number>;
  versions: Record<string, number>;
  labels: Record<string, number>;
  plugins: Record<string, number>;
  failing_inputs: number;
  refused: number;
  performance: List<FleetVersionPerformance>;
}
/** What agents of a version take of their hosts. */
export interface FleetVersionPerformance {
  version: string;
  os: string;
  arch: string;
  agents: number;
  cpu_percent: number;
  cpu_percent_p95: number;
  memory_bytes: number;
  memory_bytes_p95: number;
  tripped: number;
  failing: number;
  lost_samples: number;
  lost_lines: number;
}

export interface FleetToken {
  id: string;
  tenant: string;
  note: string;
  labels: List<string>;
  uses: number;
  used: number;
  expires: string;
  state: 'valid' | 'used' | 'expired' | 'withdrawn';
  created_at: string;
  created_by: string;
}
export interface MadeToken extends FleetToken {
  token: string;
  urls: List<string>;
}

export interface Selector {
  everybody?: boolean;
  groups?: List<string>;
  labels?: List<string>;
  os?: string;
}

export interface FleetConfiguration {
  id: string;
  tenant: string;
  name: string;
  note?: string;
  priority: number;
  selector: Selector;
  latest: number;
  rollout: { version: number; previous?: number; state: 'rolling' | 'paused' | 'done' | 'rolled_back'; percent: number; soak_seconds: number; reason?: string; host?: string };
  revision: number;
  updated_at: string;
  updated_by: string;
  progress: { agents: number; online: number; given: number; applied: number; refused: number };
}
export interface FleetVersion {
  number: number;
  document: string;
  comment?: string;
  at: string;
  by: string;
}

export interface TemplateParam {
  name: string;
  type: 'text' | 'list' | 'number' | 'bool' | 'url' | 'duration' | 'choice';
  label: Text;
  help: Text;
  default: string;
  required: boolean;
  secret: boolean;
  choices: List<string>;
}
export interface FleetTemplate {
  name: string;
  category: string;
  title: Text;
  description: Text;
  remote: boolean;
  needs: Text;
  params: List<TemplateParam>;
  document: string;
  plugins: List<string>;
}

export const TASK_STATES = ['running', 'failing', 'waiting', 'off'] as const;
export interface FleetTask {
  profile?: string;
  deployment?: string;
  installing?: Record<string, number>;
  id: string;
  tenant: string;
  name: string;
  template: string;
  category: string;
  params: Record<string, string>;
  secrets: List<string>;
  document: string;
  hosts: List<string>;
  selector: Selector;
  group?: string;
  weight: number;
  enabled: boolean;
  revision: number;
  updated_at: string;
  updated_by: string;
  state: (typeof TASK_STATES)[number];
  fault?: string;
  on: number;
  running: number;
  failing: number;
  holder?: string;
  holder_name?: string;
}

export interface FleetGroup {
  id: string;
  tenant: string;
  name: string;
  note?: string;
  members: List<{ id: string; name: string; state: string; load: number }>;
  tasks: number;
  idle: number;
}

export const JOB_KINDS = ['restart', 'reload', 'upgrade', 'uninstall', 'inventory', 'start', 'stop', 'plugin-install', 'plugin-remove', 'plugin-start', 'plugin-stop'] as const;
export interface FleetJob {
  report?: string;
  id: string;
  tenant: string;
  kind: (typeof JOB_KINDS)[number];
  input?: string;
  version?: string;
  plugin?: string;
  by: string;
  at: string;
  until: string;
  hosts: number;
  states: Record<string, number>;
}
export interface FleetJobDetail extends FleetJob {
  results: List<{ agent: string; host: string; state: string; text?: string; at?: string }>;
}

export interface FleetPackage {
  build: { program?: string; version?: string; go?: string; commit?: string; committed?: string; modified?: boolean; telegraf?: string };
  verified: boolean;
  key: string;
  running: number;
  version: string;
  os: string;
  arch: string;
  sha256: string;
  size: number;
  note?: string;
  at: string;
  by: string;
}

export interface FleetPackageDetail extends FleetPackage {
  contents: { inputs: List<string>; modules: List<{ path: string; version: string }>; sha256: string };
  intact: boolean;
}

export interface TestSpread {
  minutes: number;
  p50: number;
  p95: number;
  max: number;
}

/** What agents of a version took of their hosts, beside the version before. */
export interface FleetTestReport {
  id: string;
  version: string;
  before: List<string>;
  job?: string;
  at: string;
  by: string;
  ceiling_cpu_percent: number;
  ceiling_memory_mb: number;
  verdict: 'pass' | 'fail' | 'insufficient';
  reasons: List<Text>;
  measured: number;
  compared: number;
  dropped: number;
  tripped: number;
  figures: List<{ name: 'cpu' | 'memory' | 'network' | 'samples' | 'gather' | 'queue' | 'dropped'; unit: string; all?: TestSpread; after?: TestSpread; before?: TestSpread; worse: boolean }>;
  hosts: List<{ agent: string; host: string; platform: string; minutes: number; before?: string; before_minutes: number; enough: boolean; over: boolean; cpu?: TestSpread; memory?: TestSpread; cpu_before?: TestSpread; memory_before?: TestSpread }>;
}

export interface FleetOperation {
  id: string;
  time: string;
  tenant: string;
  agent?: string;
  host?: string;
  object?: string;
  kind: string;
  actor: string;
  ok: boolean;
  text?: string;
}

export const hostPath = (id: string) => `/agents/hosts/${encodeURIComponent(id)}`;

export const DEPLOY_STATES = ['key-unknown', 'failed', 'running', 'waiting', 'cancelled', 'done'] as const;
export interface FleetDeployment {
  id: string;
  tenant: string;
  kind: 'install' | 'upgrade' | 'remove';
  user: string;
  version?: string;
  by: string;
  at: string;
  until: string;
  ended_at?: string;
  retry_of?: string;
  hosts: number;
  states: Record<string, number>;
}
export interface FleetDeploymentHost {
  address: string;
  state: (typeof DEPLOY_STATES)[number];
  step?: 'connect' | 'probe' | 'upload' | 'run' | 'online' | 'collect';
  text?: string;
  platform?: string;
  agent?: string;
  at?: string;
  key?: { type: string; fingerprint: string; line: string };
  log?: List<{ at: string; text: string }>;
}
export interface FleetDeploymentDetail extends FleetDeployment {
  targets: List<FleetDeploymentHost>;
}
export interface FleetHostKey {
  id: string;
  tenant: string;
  address: string;
  type: string;
  fingerprint: string;
  by: string;
  at: string;
}

export interface FleetThreshold {
  id: string;
  tenant: string;
  name: string;
  of: 'host' | 'agent' | 'task';
  resource: 'cpu' | 'memory' | 'disk' | 'network' | 'delay' | 'rate' | 'time';
  above: number;
  unit: string;
  minutes: number;
  severity: Severity;
  selector: Selector;
  enabled: boolean;
  revision: number;
  at: string;
  by: string;
  beyond: List<{ agent: string; host: string; task?: string; value: number; since: string }>;
}

/** How the program of an extension plug-in fares on a host. */
export interface FleetPluginProcess {
  package: string;
  version: string;
  pid?: number;
  started?: number;
  starts: number;
  restarts: number;
  samples: number;
  errors: number;
  cpu_percent: number;
  memory_bytes: number;
}
export interface FleetPlugin {
  name: string;
  kind: 'uploaded' | 'preset';
  title?: string;
  versions: List<string>;
  hosts: number;
  running: number;
  failing: number;
  stopped: number;
  samples_minute: number;
  cpu_percent: number;
  memory_bytes: number;
}
export interface FleetPluginPackage {
  name: string;
  version: string;
  sha256: string;
  size: number;
  files: number;
  note?: string;
  at: string;
  by: string;
  manifest: {
    title?: string;
    description?: string;
    run: 'interval' | 'process';
    format: 'influx' | 'json' | 'lines';
    programs: Record<string, string>;
    options?: List<{ name: string; default?: string; required?: boolean; help?: string }>;
    limits: { cpu_percent: number; memory_mb: number };
  };
}
export interface FleetPluginHost {
  host: string;
  name: string;
  tenant: string;
  state: 'running' | 'failing' | 'held' | 'stopped' | 'waiting' | 'removing';
  online: boolean;
  version: string;
  error?: string;
  rate: number;
  process?: FleetPluginProcess;
}
export interface FleetPluginDetail {
  name: string;
  packages: List<FleetPluginPackage>;
  hosts: List<FleetPluginHost>;
}

/** What hosts are that are added by it. */
export interface FleetProfile {
  id: string;
  tenant: string;
  name: string;
  note?: string;
  labels: List<string>;
  group?: string;
  configuration?: string;
  plugins: List<string>;
  version?: string;
  revision: number;
  templates: List<{ template: string; params?: Record<string, string>; secrets?: List<string>; task?: string }>;
  hosts: number;
}
