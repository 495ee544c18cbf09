/** What is wrong with a query, and at which byte of it, as the API tells. */
import type { ApiError } from '../api/client';
import { list } from '../api/types';

export interface Fault {
  message: string;
  byte?: number;
}

export function faultOf(e: ApiError): Fault {
  const first = list(e.problem.errors)[0] as { message?: string; position?: number; value?: { position?: number } } | undefined;
  const at = first?.value?.position ?? first?.position;
  return { message: first?.message || e.message, byte: at !== undefined && at >= 0 ? at : undefined };
}

/** Whether the server could not read the query, rather than not answer it. */
export const unreadable = (e: ApiError) => e.status === 400 || e.status === 422;
