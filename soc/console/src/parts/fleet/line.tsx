import { Modal } from 'antd';
import type { MadeToken } from '../../api/fleet';
import { list } from '../../api/types';
import { useT } from '../../app/settings';
import { CodeBox } from '../codebox';

/** What to run on the host, with a token that is shown this once. */
export function InstallLine({ made, close }: { made: MadeToken; close: () => void }) {
  const t = useT();
  return (
    <Modal open width={760} title={t('fleet.add')} okText={t('do.close')} cancelButtonProps={{ style: { display: 'none' } }} onOk={close} onCancel={close} maskClosable={false}>
      <p>{t('fleet.token.once')}</p>
      <CodeBox id="install-linux" into={t('fleet.token.linux')} text={`./icewatch-agent enrol --token ${made.token} && ./icewatch-agent install`} />
      <CodeBox into={t('fleet.token.windows')} text={`.\\icewatch-agent.exe enrol --token ${made.token}; .\\icewatch-agent.exe install`} />
      <p className="dim">
        {t('fleet.token.binary')} {t('fleet.token.reach', { x: list(made.urls).join(', ') })}
      </p>
    </Modal>
  );
}
