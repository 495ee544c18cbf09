import { Button } from 'antd';
import { copyText, useFeedback } from '../app/feedback';
import { useT } from '../app/settings';

/** A text to be taken elsewhere: where it goes, the text, and a button that copies it. */
export function CodeBox({ into, text, id }: { into: string; text: string; id?: string }) {
  const t = useT();
  const { done, failed } = useFeedback();
  return (
    <figure className="codebox">
      <figcaption>
        <span className="mono ellipsis">{into}</span>
        <Button size="small" aria-label={t('connect.copyOf', { x: into })} onClick={() => void copyText(text).then(() => done(t('do.copied')), failed)}>
          {t('do.copy')}
        </Button>
      </figcaption>
      <pre data-testid={id} tabIndex={0}>
        {text}
      </pre>
    </figure>
  );
}
