import { Drawer } from 'antd';
import { useOperators } from '../../api/search';
import { useSettings } from '../../app/settings';
import { Loaded } from '../states';

/** Everything a query can say, with how it is written and an example to take over. */
export function OperatorHelp({ close, insert }: { close: () => void; insert: (text: string) => void }) {
  const { t, tx } = useSettings();
  const query = useOperators();
  return (
    <Drawer open onClose={close} width={620} title={t('operators.title')} styles={{ body: { padding: 0 } }}>
      <p className="dim" style={{ padding: '10px 16px 6px' }}>
        {t('operators.why')}
      </p>
      <Loaded query={query} what="operators.title" lines={14}>
        {(ops) => (
          <table className="data" data-testid="operators">
            <thead>
              <tr>
                <th scope="col">{t('operators.name')}</th>
                <th scope="col">{t('operators.form')}</th>
              </tr>
            </thead>
            <tbody>
              {ops.map((o) => (
                <tr key={o.id}>
                  <td style={{ width: 250 }}>
                    <b>{tx(o.name)}</b>
                    <div className="dim">{tx(o.explain)}</div>
                  </td>
                  <td>
                    <code>{o.form}</code>
                    {o.example && (
                      <div>
                        <button className="plain link mono" title={t('operators.take')} onClick={() => insert(o.example)}>
                          {o.example}
                        </button>
                      </div>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Loaded>
    </Drawer>
  );
}
