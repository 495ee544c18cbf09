import correlation from '../../../../../rules/schema/correlation.json';
import filter from '../../../../../rules/schema/filter.json';
import sigma from '../../../../../rules/schema/sigma.json';

/** A JSON schema, as far as it says what can be written. */
interface Schema {
  $ref?: string;
  type?: string | string[];
  properties?: Record<string, Schema>;
  items?: Schema;
  enum?: unknown[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  additionalProperties?: boolean | Schema;
  $defs?: Record<string, Schema>;
}

/** The schema that `icectl rules lint` holds a document to, by what kind of rule it is. */
export function schemaOf(lines: readonly string[]): Schema {
  const has = (key: string) => lines.some((l) => l.startsWith(`${key}:`));
  return (has('correlation') ? correlation : has('filter') ? filter : sigma) as unknown as Schema;
}

/** What stands for a schema: what it refers to, and its alternatives. */
function alternatives(s: Schema | undefined, root: Schema, deep = 0): Schema[] {
  if (!s || deep > 8) return [];
  const name = s.$ref?.startsWith('#/$defs/') ? s.$ref.slice('#/$defs/'.length) : undefined;
  return [s, ...(name ? alternatives(root.$defs?.[name], root, deep + 1) : []), ...[...(s.anyOf ?? []), ...(s.oneOf ?? []), ...(s.allOf ?? [])].flatMap((x) => alternatives(x, root, deep + 1))];
}

/** The schemas of what stands below keys, through lists as well. */
function below(root: Schema, path: readonly string[]): Schema[] {
  let here = alternatives(root, root);
  for (const key of path) {
    const inLists = here.flatMap((s) => alternatives(s.items, root));
    here = [...here, ...inLists].flatMap((s) => {
      const others = typeof s.additionalProperties === 'object' ? s.additionalProperties : undefined;
      return alternatives(s.properties?.[key] ?? others, root);
    });
  }
  return here;
}

/** The keys that can be written below others, with what follows each: a value on the line, or more below it. */
export function keysAt(root: Schema, path: readonly string[]): string[] {
  const here = below(root, path);
  const all = [...here, ...here.flatMap((s) => alternatives(s.items, root))];
  const out = new Map<string, string>();
  for (const s of all) {
    for (const [name, of] of Object.entries(s.properties ?? {})) {
      const types = alternatives(of, root).flatMap((x) => (x.enum ? ['string'] : (x.type ?? [])));
      const more = types.length > 0 && types.every((t) => t === 'object' || t === 'array');
      out.set(name, more ? `${name}:` : `${name}: `);
    }
  }
  return [...out.values()];
}

/** The words that a key can have as value; nothing where it is free. */
export function valuesAt(root: Schema, path: readonly string[]): string[] {
  const here = below(root, path);
  const all = [...here, ...here.flatMap((s) => alternatives(s.items, root))];
  const words = all.flatMap((s) => (s.enum ? s.enum.map(String) : s.type === 'boolean' ? ['true', 'false'] : []));
  return [...new Set(words)];
}
