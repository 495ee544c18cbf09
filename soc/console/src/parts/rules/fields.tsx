import { useQuery } from '@tanstack/react-query';
import { AutoComplete } from 'antd';
import { useMemo, type KeyboardEvent } from 'react';
import { get } from '../../api/client';
import type { CatalogueField } from '../../api/rules';
import { list, type Page } from '../../api/types';
import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';

/** Every field there is: those that are described, and those seen in the last day. */
export function useCatalogue(): Map<string, CatalogueField> {
  const query = useQuery({
    queryKey: ['field-catalogue'],
    queryFn: async ({ signal }) => list((await get<Page<CatalogueField>>('/fields/catalogue', {}, signal)).items),
    staleTime: 300_000,
  });
  return useMemo(() => new Map((query.data ?? []).map((f) => [f.name, f])), [query.data]);
}

/** Fields by part of the name in either language; what people look for first stands first. */
export function findFields(all: Iterable<CatalogueField>, text: string, tx: (t: CatalogueField['title']) => string): CatalogueField[] {
  const wanted = text.trim().toLowerCase();
  const rank = (f: CatalogueField) => {
    const name = f.name.toLowerCase();
    if (name === wanted) return 0;
    if (name.startsWith(wanted)) return 1;
    if (name.includes(wanted)) return 2;
    return [f.title.zh, f.title.en, tx(f.description)].some((s) => (s ?? '').toLowerCase().includes(wanted)) ? 3 : 9;
  };
  return [...all]
    .map((f, i) => ({ f, i, r: wanted ? rank(f) : 3 }))
    .filter((x) => x.r < 9)
    .sort((a, b) => a.r - b.r || Number(b.f.seen > 0) - Number(a.f.seen > 0) || a.i - b.i)
    .slice(0, 80)
    .map((x) => x.f);
}

/** Escape closes the suggestions; a browser would also empty the field, which is one for searches to it. */
export function keepOnEscape(e: KeyboardEvent<HTMLInputElement | HTMLTextAreaElement>): void {
  if (e.key === 'Escape') e.preventDefault();
}

export function FieldPicker({ value, onChange, fields, label, autoFocus }: { value: string; onChange: (name: string) => void; fields: ReadonlyMap<string, CatalogueField>; label: string; autoFocus?: boolean }) {
  const { t, tx, locale } = useSettings();
  const options = useMemo(
    () =>
      findFields(fields.values(), fields.has(value) ? '' : value, tx).map((f) => ({
        value: f.name,
        label: (
          <div className="fieldopt" title={tx(f.description) || undefined}>
            <span className="mono ellipsis">{f.name}</span>
            <span className="ellipsis">{tx(f.title)}</span>
            <span className="faint nowrap">{f.seen > 0 ? t('build.seen', { n: number(f.seen, locale) }) : ''}</span>
          </div>
        ),
      })),
    [fields, value, tx, t, locale],
  );
  const known = fields.get(value);
  return (
    <AutoComplete
      className="mono"
      value={value}
      onChange={(v: string) => onChange((v ?? '').trim())}
      options={options}
      onInputKeyDown={keepOnEscape}
      popupMatchSelectWidth={460}
      aria-label={label}
      placeholder={label}
      autoFocus={autoFocus}
      status={value && fields.size > 0 && !known ? 'warning' : undefined}
      title={known ? `${tx(known.title)} · ${tx(known.description)}` : undefined}
    />
  );
}
