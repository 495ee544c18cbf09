import { Button } from 'antd';
import { useState } from 'react';
import { useT } from '../../app/settings';
import { Head, Panel } from '../../parts/page';
import { TokenList } from '../../parts/tokens';

const SCOPES = ['ingest', 'read', 'respond', 'configure', 'system', 'security', 'audit'] as const;

export default function Tokens() {
  const t = useT();
  const [adding, setAdding] = useState(false);
  return (
    <div className="page">
      <Head title={t('page.tokens')}>
        <Button type="primary" onClick={() => setAdding(true)}>
          {t('tokens.new')}
        </Button>
      </Head>
      <Panel flush>
        <TokenList path="/tokens" scopes={SCOPES} adding={adding} setAdding={setAdding} />
      </Panel>
    </div>
  );
}
