import { useT } from '../app/settings';
import { whyOf } from '../logic/sending';

/** Why something did not reach its receiver: in words, and as the connection said it. */
export function WhyNot({ error, status }: { error?: string; status?: number }) {
  const t = useT();
  if (!error) return null;
  const why = whyOf(error, status);
  return (
    <span style={{ overflowWrap: 'anywhere' }}>
      {why && <b>{t(`why.${why}`)} </b>}
      <span className={why ? 'faint' : undefined}>{error}</span>
    </span>
  );
}
