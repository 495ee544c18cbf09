import { Segmented } from 'antd';
import { useUrl } from '../../app/hooks';
import { useT } from '../../app/settings';

export type Language = 'logsql' | 'logql';
const KEPT = 'icewatch.search.text.';

/** What was last asked in a language on this desk, so that changing over loses nothing. */
function kept(language: Language): string {
  return sessionStorage.getItem(KEPT + language) ?? '';
}

/** The language the search is written in. The text of each is kept; span and tenants are the same for both. */
export function LanguageSwitch({ value, draft }: { value: Language; draft: string }) {
  const t = useT();
  const [, setUrl] = useUrl();
  return (
    <Segmented<Language>
      aria-label={t('language.label')}
      value={value}
      onChange={(next) => {
        sessionStorage.setItem(KEPT + value, draft);
        setUrl({ lang: next === 'logql' ? next : undefined, query: kept(next), mode: undefined, live: undefined, view: undefined }, true);
      }}
      options={[
        { value: 'logsql', label: 'LogsQL' },
        { value: 'logql', label: 'LogQL' },
      ]}
    />
  );
}
