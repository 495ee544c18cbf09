/** What a role grants, operation by operation. */
import type { Operation, Role } from '../api/access';
import { list } from '../api/types';

/** Operations anybody may use belong to no role. */
export function grantable(operations: readonly Operation[]): Operation[] {
  return operations.filter((o) => o.scope !== 'any' && o.scope !== 'public');
}

/** Why a role allows an operation: its whole kind, the operation alone, or not at all. */
export function heldBy(role: Pick<Role, 'scopes' | 'operations'>, o: Pick<Operation, 'id' | 'scope' | 'also'>): 'scope' | 'operation' | '' {
  const scopes = list(role.scopes);
  if (scopes.includes(o.scope) || list(o.also).some((s) => scopes.includes(s)) || scopes.includes('admin')) return 'scope';
  return list(role.operations).includes(o.id) ? 'operation' : '';
}

/** What the role admin stands for while the three powers are apart: the system administrator. */
export function effective(role: Role, separated: boolean): Role {
  return separated && list(role.scopes).includes('admin') ? { ...role, scopes: ['system'] } : role;
}

/** Operations by the part of the API they belong to, in the order they came. */
export function byTag(operations: readonly Operation[]): [string, Operation[]][] {
  const groups = new Map<string, Operation[]>();
  for (const o of operations) {
    const tag = o.tag || 'other';
    const g = groups.get(tag);
    if (g) g.push(o);
    else groups.set(tag, [o]);
  }
  return [...groups];
}

/** What b holds that a does not, and the other way round. */
export function compare(operations: readonly Operation[], a: Role, b: Role): { onlyA: Operation[]; onlyB: Operation[]; both: Operation[] } {
  const out = { onlyA: [] as Operation[], onlyB: [] as Operation[], both: [] as Operation[] };
  for (const o of grantable(operations)) {
    const inA = heldBy(a, o) !== '';
    const inB = heldBy(b, o) !== '';
    if (inA && inB) out.both.push(o);
    else if (inA) out.onlyA.push(o);
    else if (inB) out.onlyB.push(o);
  }
  return out;
}

/** How many names came and went. */
export function changeOf(before: readonly string[], after: readonly string[]): { added: number; removed: number } {
  return { added: after.filter((x) => !before.includes(x)).length, removed: before.filter((x) => !after.includes(x)).length };
}
