import type { LogEvent, List } from './types';

/** A log query's answer: what the query made of each line, and the event it came from. */
export interface LogQLLogs {
  type: 'logs';
  limit: number;
  truncated: boolean;
  events: List<{ time: string; event_id: string; line: string; labels: Record<string, string>; event: LogEvent }>;
}
/** A metric query's answer. A value is null where it is no number. */
export interface LogQLMatrix {
  type: 'matrix';
  step_ms: number;
  start: string;
  end: string;
  series: List<{ labels: Record<string, string>; points: [string, number | null][] }>;
}
export type LogQLAnswer = LogQLLogs | LogQLMatrix;
