import { useSettings } from '../app/settings';

/** That an alert or an incident is about a key asset. */
export function KeyMark({ of }: { of: { key?: boolean } }) {
  const { t } = useSettings();
  if (!of.key) return null;
  return (
    <span className="keymark nowrap" title={t('key.about')}>
      <span aria-hidden>★</span>
      <span className="visually-hidden">{t('key.about')}</span>
    </span>
  );
}
