import { useKeys } from './keys';

const visible = (e: Element) => (e as HTMLElement).offsetParent !== null;

/** The rows of the list that is walked: the one that has the focus, else the first of the page. */
function rows(): HTMLElement[] {
  const lists = [...document.querySelectorAll('main table.data > tbody, main .list')].filter(visible);
  const all = lists.map((l) => [...l.querySelectorAll<HTMLElement>(':scope > tr, :scope .line[role=row]:not(.head-line)')].filter((r) => visible(r) && leads(r) !== undefined));
  return all.find((r) => r.includes(document.activeElement as HTMLElement)) ?? all.find((r) => r.length > 0) ?? [];
}

/** What opens a row: itself where it is made for a click, else its first link, else the button that looks like one. */
function leads(row: HTMLElement): HTMLElement | undefined {
  return row.querySelector<HTMLElement>('a[href]:not([download]), button.link') ?? (row.classList.contains('go') ? row : (row.querySelector<HTMLElement>('button:not(:disabled)') ?? undefined));
}

/** The field that narrows the page's list. */
export const filterField = () => [...document.querySelectorAll<HTMLInputElement>('main .filters input, main [role=search] input, main input[type=search], main .ant-input-search input')].find((e) => visible(e) && /^(text|search)$/.test(e.type) && !e.readOnly && !e.closest('.ant-select, table'));

function move(by: number) {
  const all = rows();
  const at = all.indexOf(document.activeElement as HTMLElement);
  const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.max(0, Math.min(all.length - 1, at + by))];
  if (!next) return;
  next.tabIndex = -1;
  next.focus();
  next.scrollIntoView({ block: 'nearest' });
}

/** Keys of every list whose page has none of its own: j and k walk its rows, enter opens one, / goes to the filter. */
export function useListKeys(): void {
  useKeys(
    {
      j: () => move(1),
      k: () => move(-1),
      Enter: () => {
        const row = rows().find((r) => r === document.activeElement);
        if (row) leads(row)?.click();
      },
      '/': () => filterField()?.focus(),
    },
    true,
    true,
  );
}

/** Whether those keys have something to do on the page as it stands. */
export const walkable = () => rows().length > 0;
