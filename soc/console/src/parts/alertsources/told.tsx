import { Button, Modal } from 'antd';
import type { NewSource, SourceTemplate } from '../../api/alertsources';
import { useSettings } from '../../app/settings';
import { CodeBox } from '../codebox';

/** What a sender has to be set to, with the places of a template's text filled in. */
export function setupText(text: string, made: { path: string; mail?: string; token: string }): string {
  const url = window.location.origin + made.path;
  const words: Record<string, string> = { url, path: made.path, host: window.location.host, token: made.token, address: made.mail ?? `${made.token}@…`, smtp: window.location.hostname };
  return text.replace(/\{(url|path|host|token|address|smtp)\}/g, (_, w: string) => words[w] ?? '');
}

/** Shows the token of a source, this once, and how its sender is set up. */
export function TokenTold({ made, template, close }: { made: NewSource; template?: SourceTemplate; close: () => void }) {
  const { t, tx } = useSettings();
  const url = window.location.origin + made.path;
  return (
    <Modal open width={720} title={t('asource.token')} closable={false} maskClosable={false} keyboard={false} onCancel={close} footer={<Button type="primary" onClick={close}>{t('asource.done')}</Button>}>
      <div className="stack">
        <p className="dim">{t('asource.tokenWhy')}</p>
        {made.mail ? (
          <CodeBox into={t('asource.address')} text={made.mail} id="source-address" />
        ) : (
          <>
            <CodeBox into={t('asource.address')} text={url} id="source-address" />
            <CodeBox into={t('asource.header')} text={`POST ${window.location.origin}/alert-hooks/${made.source.id}\nAuthorization: Bearer ${made.token}`} />
          </>
        )}
        {template?.setup && <CodeBox into={t('asource.setup')} text={setupText(tx(template.setup), made)} />}
        {template?.reference && (
          <a href={template.reference} target="_blank" rel="noreferrer">
            {t('asource.reference')}
          </a>
        )}
      </div>
    </Modal>
  );
}
