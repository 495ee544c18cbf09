/** Forms from documents: a setting's default tells the fields and their types. */

export type FieldKind = 'switch' | 'number' | 'choice' | 'words' | 'roles' | 'text' | 'both' | 'image' | 'group' | 'targets' | 'json';

export interface Field {
  /** Keys from the document's root. */
  path: string[];
  kind: FieldKind;
  choices?: readonly string[];
  fields?: Field[];
}

/** The words a field can hold, and fields that are more than their type says. */
const CHOICES: Record<string, readonly string[]> = {
  'sign-in.factors': ['optional', 'roles', 'all'],
  'sessions.binding': ['off', 'network', 'address'],
  'quota.at_limit': ['accept', 'refuse'],
};
const ABNORMAL = ['record', 'notify', 'factor', 'lock'] as const;
const KINDS: Record<string, FieldKind> = {
  'sign-in.factor_roles': 'roles',
  'branding.logo': 'image',
  'audit-forward.targets': 'targets',
  // A number for each class by its name: empty, it would look like a text in two languages.
  'storage.class_days': 'json',
};

function plain(v: unknown): v is Record<string, unknown> {
  return typeof v === 'object' && v !== null && !Array.isArray(v);
}

/** The fields of a document. What has no form of its own (a list of objects) is edited as JSON. */
export function fieldsOf(name: string, doc: Record<string, unknown>, path: string[] = []): Field[] {
  return Object.entries(doc).map(([key, value]) => {
    const at = [...path, key];
    const id = `${name}.${at.join('.')}`;
    const choices = CHOICES[id] ?? (id.startsWith('sessions.on_abnormal.') ? ABNORMAL : undefined);
    if (choices) return { path: at, kind: 'choice', choices };
    if (KINDS[id]) return { path: at, kind: KINDS[id] };
    if (typeof value === 'boolean') return { path: at, kind: 'switch' };
    if (typeof value === 'number') return { path: at, kind: 'number' };
    if (typeof value === 'string') return { path: at, kind: 'text' };
    if (plain(value)) {
      const keys = Object.keys(value);
      if (keys.length === 0 || keys.every((k) => k === 'zh' || k === 'en')) return { path: at, kind: 'both' };
      return { path: at, kind: 'group', fields: fieldsOf(name, value, at) };
    }
    if (Array.isArray(value) && value.every((x) => typeof x === 'string')) return { path: at, kind: 'words' };
    return { path: at, kind: 'json' };
  });
}

export function valueAt(doc: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((d, k) => (plain(d) ? d[k] : undefined), doc);
}

/** A copy with one place changed. */
export function withValue(doc: Record<string, unknown>, path: readonly string[], value: unknown): Record<string, unknown> {
  const [key, ...rest] = path;
  if (key === undefined) return doc;
  const below = plain(doc[key]) ? doc[key] : {};
  return { ...doc, [key]: rest.length === 0 ? value : withValue(below, rest, value) };
}
