import { Select } from 'antd';
import { Link } from 'react-router-dom';
import { useSettings } from '../app/settings';

/** The security levels of data, the highest first; 0 is none that is known. */
const LEVELS = ['5', '4', '3', '2', '1', '0'] as const;

/** Of what security level the data is that an alert or an incident is about: short in lists, with the word where there is room. */
export function DataMark({ of, word }: { of: { data_level?: number; raised_from?: string }; word?: boolean }) {
  const { t } = useSettings();
  if (!of.data_level) return null;
  const about = t('data.about', { n: of.data_level });
  if (word) {
    return (
      <Link className="tag strong nowrap" to={`/alerts?data_level=${of.data_level}`} title={of.raised_from ? t('data.raised', { n: of.data_level }) : about}>
        {t('data.level', { n: of.data_level })}
      </Link>
    );
  }
  return (
    <span className="tag nowrap" title={about}>
      <span aria-hidden>{t('data.short', { n: of.data_level })}</span>
      <span className="visually-hidden">{about}</span>
    </span>
  );
}

/** Chooses levels of data to filter by. */
export function DataFilter({ value, set }: { value: string[]; set: (levels: string[]) => void }) {
  const { t } = useSettings();
  return (
    <Select
      mode="multiple"
      aria-label={t('data.filter')}
      placeholder={t('data.filter')}
      value={value}
      onChange={set}
      options={LEVELS.map((n) => ({ value: n, label: n === '0' ? t('data.none') : t('data.level', { n }) }))}
      style={{ minWidth: 120 }}
      maxTagCount="responsive"
    />
  );
}
