import { useQuery } from '@tanstack/react-query';
import { get } from './client';
import { useCan } from './queries';
import { list, type List, type Page } from './types';

/** What a list of items is asked by, and what it shows. */
export interface ViewQuery {
  class?: string;
  q?: string;
  filter?: string;
  sort?: string;
  columns?: List<string>;
}
export interface View {
  id: string;
  name: string;
  owner: string;
  mine: boolean;
  editable: boolean;
  /** Empty is the owner's own, * everybody's, else the slug of a tenant. */
  share: string;
  query: ViewQuery;
  revision: number;
}
export interface FollowedThing {
  kind: 'line' | 'zone' | 'item';
  key: string;
  name: string;
  class?: string;
  items: number;
}
/** Where an item stands in one of its life cycles. */
export interface ItemState {
  attribute: string;
  value: string;
  next: List<string>;
  any: boolean;
  periods: List<{ value: string; since: string; until?: string; actor: string }>;
}
export interface Wants {
  classes?: List<string>;
  kinds?: List<string>;
  fields?: List<string>;
  filter?: string;
  contact?: string;
  notices?: boolean;
}
export interface Subscription {
  id: string;
  name: string;
  owner: string;
  mine: boolean;
  enabled: boolean;
  wants: Wants;
  told: number;
  told_at?: string;
  trouble: string;
  revision: number;
}

export function useViews() {
  const can = useCan();
  return useQuery({ enabled: can('list-cmdb-views'), queryKey: ['cmdb-views'], queryFn: async ({ signal }) => list((await get<Page<View>>('/cmdb/views', {}, signal)).items), staleTime: 30_000 });
}

export function useFollowed() {
  const can = useCan();
  return useQuery({ enabled: can('list-cmdb-followed'), queryKey: ['cmdb-followed'], queryFn: async ({ signal }) => list((await get<Page<FollowedThing>>('/cmdb/followed', {}, signal)).items), staleTime: 30_000 });
}

/** A relation that traffic shows: who asks whom, for what, how much. */
export interface TrafficEdge {
  id: number;
  from: { id: string; class: string; name: string };
  to: { id: string; class: string; name: string };
  from_system?: { id: string; name: string };
  to_system?: { id: string; name: string };
  zone: string;
  services: List<{ port: number; protocol: string; name?: string; flows: number; bytes: number; first_seen: string; last_seen: string }>;
  first_seen: string;
  last_seen: string;
  flows: number;
  bytes: number;
  state: 'waiting' | 'accepted' | 'rejected';
  silent: boolean;
  /** Of the relation that was made. */
  type?: string;
  decided_by?: string;
  decided_at?: string;
  note?: string;
  annotation?: string;
  annotated_by?: string;
  annotated_at?: string;
}
