import { Button } from 'antd';
import { useState } from 'react';
import { useCan } from '../api/queries';
import { useUrl } from '../app/hooks';
import { useSettings } from '../app/settings';
import { PackEditor, type Beginning } from '../parts/parsers/editor';
import { ExplainTab, OwnTab, PacksTab, UnreadTab, useMakesPacks } from '../parts/parsers/tabs';
import { Head } from '../parts/page';
import { Tabs, useTab, type Tab } from '../parts/tabs';

type Part = 'packs' | 'explain' | 'unread' | 'own';

/** How lines of log are read: the packs, a line explained, what is not read, packs of one's own. */
export default function Parsers() {
  const { t } = useSettings();
  const can = useCan();
  const [, setUrl] = useUrl();
  const makes = useMakesPacks();
  const [making, setMaking] = useState<Beginning | null>(null);
  const tabs: Tab<Part>[] = [
    { key: 'packs', title: t('parsers.tab.packs') },
    { key: 'explain', title: t('parsers.tab.explain') },
    ...(can('list-unread-logs') ? [{ key: 'unread' as const, title: t('parsers.tab.unread') }] : []),
    ...(can('list-own-packs') ? [{ key: 'own' as const, title: t('parsers.tab.own') }] : []),
  ];
  const tab = useTab(tabs);
  return (
    <div className="page">
      <Head title={t('page.parsers')} sub={t('parsers.lead')}>
        {makes && <Button type="primary" onClick={() => setMaking({ id: '', source: '', samples: '', revision: 0 })}>{t('parsers.new')}</Button>}
      </Head>
      <Tabs tabs={tabs} label={t('page.parsers')} />
      {tab === 'packs' && <PacksTab make={setMaking} />}
      {tab === 'explain' && <ExplainTab />}
      {tab === 'unread' && <UnreadTab make={setMaking} />}
      {tab === 'own' && <OwnTab make={setMaking} />}
      {making && (
        <PackEditor
          begin={making}
          close={(made) => {
            setMaking(null);
            if (made) setUrl({ tab: 'own', pack: made.pack });
          }}
        />
      )}
    </div>
  );
}
