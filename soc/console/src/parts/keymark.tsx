import { Link } from 'react-router-dom';
import { useSettings } from '../app/settings';

/** That an alert or an incident is about a key asset: a star in lists, with the word where there is room. */
export function KeyMark({ of, word }: { of: { key?: boolean }; word?: boolean }) {
  const { t } = useSettings();
  if (!of.key) return null;
  if (word) {
    return (
      <Link className="tag strong nowrap" to="/cmdb/key" title={t('key.about')}>
        <span className="keymark" aria-hidden>
          ★
        </span>
        {t('key.asset')}
      </Link>
    );
  }
  return (
    <span className="keymark nowrap" title={t('key.about')}>
      <span aria-hidden>★</span>
      <span className="visually-hidden">{t('key.about')}</span>
    </span>
  );
}
