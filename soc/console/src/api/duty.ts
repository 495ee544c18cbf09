import type { List, Status, Text } from './types';

export interface Shift {
  from: string;
  to: string;
  people: List<string>;
}
export interface Window {
  days: number[];
  from: string;
  to: string;
}
export interface Layer {
  name?: string;
  from: string;
  until?: string;
  turn: { every?: number; unit?: 'hour' | 'day' | 'week'; handover?: string };
  people: List<string[]>;
  days?: 'all' | 'workdays' | 'restdays';
  windows: List<Window>;
  shifts: List<Shift>;
}
export interface Line {
  key: string;
  name: Text;
  layers: List<Layer>;
}
export interface Step {
  after_minutes: number;
  lines: List<string>;
  users: List<string>;
  head?: boolean;
}
export interface Policy {
  priorities: List<string>;
  steps: List<Step>;
  repeat?: number;
  repeat_after_minutes?: number;
  head_after_minutes?: number;
}
export interface TeamContent {
  name: Text;
  unit?: string;
  tenants: List<string>;
  systems: List<string>;
  priorities: List<string>;
  owners: List<string>;
  head?: string;
  zone?: string;
  receivers: List<string>;
  lines: List<Line>;
  policies: List<Policy>;
}
export interface Team extends TeamContent {
  id: string;
  revision: number;
  updated_at: string;
  updated_by: string;
  editable: boolean;
  mine: boolean;
}
export interface TeamRef {
  id: string;
  name: Text;
  head?: string;
}
export interface Stretch extends Shift {
  gap?: boolean;
  swap?: boolean;
}
export interface Override extends Shift {
  id: string;
  team: string;
  line: string;
  replaces?: string;
  note?: string;
  by: string;
  swap?: string;
}
export interface Conflict {
  person: string;
  from: string;
  to: string;
  places: List<string>;
}
export interface DutyCalendar {
  team: TeamRef;
  zone: string;
  from: string;
  to: string;
  lines: List<{ line: string; name: Text; stretches: List<Stretch> }>;
  conflicts: List<Conflict>;
  overrides: List<Override>;
  days: List<{ date: string; name?: string; make_up?: boolean }>;
  unknown_years: List<number>;
}
export interface Swap {
  id: string;
  team: string;
  giver: string;
  taker: string;
  give: { line: string; from: string; to: string };
  back?: { line: string; from: string; to: string };
  note?: string;
  state: 'proposed' | 'agreed' | 'declined' | 'withdrawn' | 'undo_proposed' | 'undone';
  undo_by?: string;
}
export interface Brief {
  id: string;
  title: string;
  title_en: string;
  priority: string;
  status: Status;
  assignee?: string;
  due?: string;
}
export interface Note {
  id: string;
  team: string;
  text: string;
  by: string;
  at: string;
  closed_by?: string;
}
export interface Handover {
  id: string;
  signed_at?: string;
  accepted_at?: string;
  remark?: string;
  digest?: string;
  team: string;
  name: Text;
  line: string;
  from: string;
  to: string;
  outgoing: string;
  incoming: string;
  text: string;
  opened: List<Brief>;
  closed: List<Brief>;
  open: List<Brief>;
  notes: List<Note>;
  calls: number;
}
export interface MyShift {
  team: TeamRef;
  line: string;
  line_name: Text;
  from: string;
  to: string;
  with: List<string>;
}
export interface MyDuty {
  on: List<MyShift>;
  next: List<MyShift>;
  mine: List<Brief>;
  others: List<Brief>;
  notes: List<Note>;
  swaps: List<Swap>;
  handovers: List<Handover>;
  teams: List<Team>;
  people: Record<string, { name: Text; people: List<string> }>;
}
export interface SLALine {
  group: string;
  incidents: number;
  running: number;
  ack_met: number;
  ack_missed: number;
  resolve_met: number;
  resolve_missed: number;
  propose_met: number;
  propose_missed: number;
  ack_share: number;
  resolve_share: number;
  ack_mean_seconds: number;
  resolve_mean_seconds: number;
  paused_seconds: number;
}
export interface SLAReport {
  from: string;
  to: string;
  by: string;
  lines: List<SLALine>;
}
export interface Promise_ {
  priority: string;
  ack_minutes: number;
  resolve_minutes: number;
  calendar?: string;
}
export interface Terms {
  promises: Promise_[];
  warn_percent: number;
  fault: { propose_minutes: number; online_warn_minutes: number; online_minutes: number; offline_warn_minutes: number; offline_minutes: number };
  calendars: { key: string; name: Text; zone?: string; windows: Window[]; holidays: boolean }[];
  reasons: { key: string; name: Text }[];
  stability?: Stability[];
}
/** What is agreed on the availability and stability of systems. */
export interface Stability {
  systems?: string[];
  level?: number;
  percent: number;
  outages_per_30_days?: number;
}
export interface SystemUptime {
  system: string;
  name: string;
  tenant?: string;
  level?: number;
  service_seconds: number;
  planned_seconds: number;
  down_seconds: number;
  down_planned_seconds: number;
  availability: number;
  outages: number;
  mtbf_seconds: number;
  mttr_seconds: number;
  longest_seconds: number;
  down: boolean;
  agreed: boolean;
  target?: number;
  outages_per_30_days?: number;
  met: boolean;
  incidents: number;
}
export interface SystemsUptime {
  from: string;
  to: string;
  systems: List<SystemUptime>;
  missed: number;
}
export interface Year {
  source: string;
  off: List<{ name: string; from: string; to: string }>;
  work: List<string>;
}
export interface Holidays {
  published: Record<string, Year>;
  own: Record<string, Year>;
}
export interface Statistics extends SLAReport {
  shares: List<{ person: string; team: string; shifts: number; hours: number; night_hours: number; rest_day_hours: number }>;
}
