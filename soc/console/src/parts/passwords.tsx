import { Button, Modal } from 'antd';
import { copyText, useFeedback } from '../app/feedback';
import { useT } from '../app/settings';
import { download, toCSV } from '../logic/export';
import { DataTable } from './table';

/** First passwords, shown once: one to copy, many to take away as a file. */
export function Passwords({ rows, close }: { rows: readonly { username: string; password: string }[]; close: () => void }) {
  const t = useT();
  const { done, failed } = useFeedback();
  const only = rows.length === 1 ? rows[0] : undefined;
  return (
    <Modal
      open
      title={t(only ? 'users.handOver' : 'users.passwords')}
      closable={false}
      maskClosable={false}
      keyboard={false}
      width={520}
      footer={[
        only ? (
          <Button key="copy" onClick={() => void copyText(only.password).then(() => done(t('do.copied')), failed)}>
            {t('do.copy')}
          </Button>
        ) : (
          <Button key="save" onClick={() => download('first-passwords.csv', 'text/csv;charset=utf-8', toCSV(rows.map((r) => ({ ...r })), ['username', 'password']))}>
            {t('users.passwordsSave')}
          </Button>
        ),
        <Button key="done" type="primary" onClick={close}>
          {t('tokens.done')}
        </Button>,
      ]}
    >
      <DataTable
        label={t('users.passwords')}
        rows={rows}
        rowKey={(r) => r.username}
        columns={[
          { key: 'u', title: t('users.username'), render: (r) => <b>{r.username}</b> },
          { key: 'p', title: t('users.password'), render: (r) => <code data-testid="first-password">{r.password}</code> },
        ]}
      />
    </Modal>
  );
}
