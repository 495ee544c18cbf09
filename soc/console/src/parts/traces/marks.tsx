import { useSettings } from '../../app/settings';
import { number } from '../../logic/format';

/** How many failed: told by shape and figure, quiet where none did. */
export function ErrorCount({ n, of }: { n: number; /** Of how many, to say the rate too. */ of?: number }) {
  const { locale } = useSettings();
  if (n === 0) return <span className="faint">0</span>;
  return (
    <span className="status" style={{ color: 'var(--medium)', fontWeight: 600 }}>
      <i className="dot error" />
      {number(n, locale)}
      {of !== undefined && of > 0 && <span className="dim" style={{ fontWeight: 400 }}>{((100 * n) / of).toLocaleString(locale, { maximumSignificantDigits: 2 })}%</span>}
    </span>
  );
}
