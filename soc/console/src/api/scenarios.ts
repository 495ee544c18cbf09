import type { Level } from './risk';
import type { List, Severity, Text } from './types';

/** A kind of trouble that is watched as one, whichever rules find it. */
export interface ScenarioBody {
  name: Text;
  description?: Text;
  tags?: List<string>;
  off?: boolean;
  /** The conditions of one line hold together, the lines are alternatives. */
  any: List<List<string>>;
  /** Which of them tell of a hidden risk and of no attack. */
  risks?: List<List<string>>;
  /** A data scope. */
  objects?: string;
  /** A filter of the CMDB. */
  items?: string;
  days?: number;
  tenants?: List<string>;
}
export interface Scenario extends ScenarioBody {
  id: string;
  shipped: boolean;
  editable: boolean;
  version: number;
  updated_at?: string;
  updated_by?: string;
}
export type ScenarioVersion = Scenario & { deleted?: boolean };
interface Counts {
  alerts: number;
  open: number;
  risks: number;
  succeeded: number;
  severity?: Severity;
  last_seen?: string;
}
export interface Share extends Counts {
  key: string;
  name?: string;
  tenant?: string;
  protection_level?: number;
  risk?: Level;
  score?: number;
  findings?: number;
}
export interface ScenarioFigures extends Counts {
  from: string;
  to: string;
  before: number;
  incidents: number;
  days: List<{ day: string; alerts: number; risks: number }>;
  systems: List<Share>;
  units: List<Share>;
  regions: List<Share>;
  accounts: List<Share>;
  items: List<Share>;
  more?: boolean;
}
export type ScenarioState = Scenario & { figures: ScenarioFigures; notes: List<Text> };

/** A scenario as it is written, without what the server adds. */
export function scenarioBody(s: Scenario): ScenarioBody {
  return { name: s.name, description: s.description, tags: s.tags ?? [], off: s.off, any: s.any, risks: s.risks ?? [], objects: s.objects, items: s.items, days: s.days, tenants: s.tenants ?? [] };
}
export const scenarioPath = (id: string) => `/scenarios/${encodeURIComponent(id)}`;
export const SCENARIO_RENEW = ['scenarios', 'scenario'];
