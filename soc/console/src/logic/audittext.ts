import { auditAgain, auditFields, auditKinds, auditPatterns, auditPhrases } from '../locales/auditwords';

/** What a name of the server's is called here, such as a setting's or a finding's; undefined where it is unknown. */
export type Named = (group: 'setting' | 'finding' | 'act', name: string) => string | undefined;

/** A word of a table, and nothing that every object has by birth. */
function word(table: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.prototype.hasOwnProperty.call(table, key) ? table[key] : undefined;
}

/** The object of a record in Chinese: its kind as a word, its name as it is. */
export function objectZh(object: string, named: Named): string {
  const phrase = word(auditPhrases, object);
  if (phrase) return phrase;
  const whole = word(auditKinds, object);
  if (whole) return whole;
  const colon = object.indexOf(':');
  // A kind may be of several words: "cmdb view 7".
  const at = colon > 0 && word(auditKinds, object.slice(0, colon)) ? colon : object.lastIndexOf(' ');
  const kind = at > 0 ? word(auditKinds, object.slice(0, at)) : undefined;
  if (!kind) return object;
  const name = object.slice(at + 1);
  return `${kind}：${(object.startsWith('setting:') && named('setting', name)) || name}`;
}

/** The detail of a record in Chinese, where its words are known. */
export function detailZh(detail: string, named: Named): string {
  const phrase = word(auditPhrases, detail);
  if (phrase) return phrase;
  const again = auditAgain[0].exec(detail);
  if (again) return `${detailZh(again[1] ?? '', named)}${auditAgain[1].replace('{n}', again[2] ?? '')}`;
  for (const [pattern, words] of auditPatterns) {
    const m = pattern.exec(detail);
    if (!m) continue;
    const x = m[1] ?? '';
    const each = () =>
      x
        .split(/[\s,]+/)
        .filter(Boolean)
        .map((w) => word(auditFields, w) ?? named('finding', w) ?? named('act', w) ?? w)
        .join('、');
    // By function: a name may hold what replace would take for a pattern.
    return words.replace('{x}', () => x).replace('{w}', each);
  }
  return detail;
}

/** A changed field in Chinese. */
export function fieldZh(field: string): string {
  return word(auditFields, field) ?? field;
}
