import type { Firing } from './rules';
import type { List, Pair, Text } from './types';

/** How far a backtest has come. */
export interface BacktestProgress {
  reached: string;
  share: number;
  events: number;
  read: number;
  fired: number;
}
export interface BacktestDay {
  date: string;
  occurrences: number;
  alerts: number;
  suppressed: number;
}
export interface BacktestAlert {
  key: string;
  rule: string;
  tenant: string;
  first: string;
  last: string;
  occurrences: number;
  events: number;
  suppressed: number;
  group: List<Pair>;
  title: Text;
  incident?: { id: string; title: Text; by: 'alert' | 'item' | 'actor' };
}
export interface BacktestFindings extends BacktestProgress {
  from: string;
  to: string;
  covered: string;
  occurrences: number;
  alerts: number;
  suppressed: number;
  held: number;
  joined: number;
  days: List<BacktestDay>;
  samples: List<Firing>;
  list: List<BacktestAlert>;
  cost: { per_million: number; asked: number; seconds: number; per_second: number };
  filter: string;
  stopped?: 'alerts' | 'failed' | 'cancelled';
}
export interface Backtest {
  id: string;
  title: string;
  state: 'queued' | 'running' | 'done' | 'failed' | 'cancelled';
  error?: string;
  progress: BacktestProgress;
  created_at: string;
  request: { rule?: string; source: string; suppression?: string; from: string; to: string; tenant?: string };
  findings?: BacktestFindings;
}
