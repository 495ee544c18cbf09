import { useMemo } from 'react';
import { useT } from '../app/settings';
import { lineDiff } from '../logic/linediff';

/** Lines around a change that are shown with it. */
const AROUND = 3;

/** Two texts as one, with the lines that went and those that came. */
export function TextDiff({ before, after }: { before: string; after: string }) {
  const t = useT();
  const lines = useMemo(() => lineDiff(before, after), [before, after]);
  const near = lines.map((_, i) => lines.slice(Math.max(0, i - AROUND), i + AROUND + 1).some((l) => l.sign !== ' '));
  return (
    <pre className="linediff" data-testid="linediff" role="group" tabIndex={0} aria-label={t('proposals.diff')}>
      {lines.map((l, i) =>
        near[i] ? (
          <div key={i} className={l.sign === '+' ? 'come' : l.sign === '-' ? 'gone' : undefined}>
            <span aria-hidden>{l.sign}</span> {l.sign === '+' ? <ins>{l.text}</ins> : l.sign === '-' ? <del>{l.text}</del> : l.text}
          </div>
        ) : (
          near[i - 1] && (
            <div key={i} className="faint">
              ⋯
            </div>
          )
        ),
      )}
    </pre>
  );
}
