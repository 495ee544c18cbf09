import type { List, Text } from './types';

export const LEVELS = ['compromised', 'high', 'medium', 'low'] as const;
export type Level = (typeof LEVELS)[number];
export type RiskKind = 'unit' | 'system' | 'asset';

export interface RiskLine {
  id: string;
  class: string;
  name: string;
  kind: RiskKind;
  criticality: number;
  owner?: string;
  score: number;
  level: Level;
  alerts: number;
  incidents: number;
  findings: number;
  tags: List<string>;
  why: Text;
}
export interface RiskPart {
  name: 'threat' | 'finding' | 'exposure' | 'protection';
  points: number;
  most: number;
  reasons: List<Text>;
}
export interface RiskDetail extends RiskLine {
  result: { importance: number; matters: List<Text>; parts: List<RiskPart>; floor: number; words: List<{ name: Text; weight: number; alerts: number }> };
  trend: List<{ day: string; score: number; level?: Level }>;
  peers: { class: string; line?: string; count: number; rank: number; mean: number; median: number; worst: number; best: number };
}
export interface RiskOverview {
  total: number;
  at_risk: number;
  by_level: Record<Level, number>;
  industries: List<{ value: string; total: number; at_risk: number }>;
  regions: List<{ value: string; total: number; at_risk: number; alerts: number; worst: number }>;
  worst: List<RiskLine>;
}
export interface Archived {
  id: string;
  name: string;
  attributes?: Record<string, string>;
  risk?: RiskLine;
  unit?: { id: string; name: string };
  members: Record<string, number>;
}
export interface Contact {
  name: string;
  role: 'owner' | 'responsible' | 'contact' | 'unit';
  duty?: string;
  unit?: string;
  phone?: string;
  mail?: string;
  account?: string;
  person?: string;
  on_duty?: boolean;
}
