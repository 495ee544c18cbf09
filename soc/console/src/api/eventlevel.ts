import type { List, Text } from './types';

export const SOURCES = ['data_level', 'severity', 'verdict', 'alerts', 'items', 'systems', 'field', 'attribute', 'answer'] as const;
export interface Step {
  at_least?: number;
  is?: string;
  name: Text;
  points: number;
  floor?: number;
}
export interface Factor {
  key: string;
  name: Text;
  source: (typeof SOURCES)[number];
  of?: string;
  weight: number;
  steps: Step[];
}
/** The table by which data-security events are graded. */
export interface Terms {
  from: number;
  factors: Factor[];
  levels: { name: Text; from: number }[];
  activities: { key: string; name: Text; when: string[] }[];
}
export interface EventLevel {
  judged: boolean;
  grade: {
    level: number;
    name: Text;
    score: number;
    floor?: number;
    reasons: List<{ factor: string; name: Text; value?: string; means?: Text; points: number; weight: number; floor?: number; asked?: boolean }>;
  };
  category?: string;
  activity?: string;
  activity_name?: Text;
  judged_at?: string;
  answers: List<{ factor: string; answer: string; by: string; at: string }>;
  questions: List<{ factor: string; name: Text; choices: List<{ key: string; name: Text }> }>;
}
