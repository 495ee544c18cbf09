import { Link } from 'react-router-dom';
import { useT } from '../app/settings';
import { Empty } from '../parts/states';

export default function NotFound() {
  const t = useT();
  return (
    <div className="page">
      <Empty title={t('page.notFound')} why={<code>{window.location.pathname}</code>}>
        <Link to="/">{t('do.back', { x: t('page.shift') })}</Link>
      </Empty>
    </div>
  );
}
