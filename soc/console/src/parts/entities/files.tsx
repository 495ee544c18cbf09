import { useCan } from '../../api/queries';
import { useT } from '../../app/settings';
import { fileOf, type About } from './ask';

/** The list of a part as files. */
export function Files({ about, list, role }: { about: About; list: string; role?: string }) {
  const t = useT();
  const can = useCan();
  if (!can('export-entity')) return null;
  const more = role ? { role } : undefined;
  return (
    <>
      <a href={fileOf(about, list, 'csv', more)} download>
        {t('entity.export', { x: 'CSV' })}
      </a>
      <a href={fileOf(about, list, 'xlsx', more)} download>
        {t('entity.export', { x: 'Excel' })}
      </a>
    </>
  );
}
