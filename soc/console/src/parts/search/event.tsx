import { Button } from 'antd';
import { Link } from 'react-router-dom';
import type { LogEvent } from '../../api/types';
import { copyText, useFeedback } from '../../app/feedback';
import { useT } from '../../app/settings';
import { fieldValues } from '../../logic/evidence';
import { textOf } from '../../logic/event';
import { traceId, traceLink } from '../../logic/trace';
import { Token } from '../token';
import { useDesk } from './desk';

/** The fields that say most stand first; the rest by name. */
const FIRST = ['message', 'event.original'];

/** All of one event: its text, every field with its values, and what can be done with each. */
export function EventDetail({ event }: { event: LogEvent }) {
  const t = useT();
  const desk = useDesk();
  const { done, failed } = useFeedback();
  const followed = desk?.followed ?? [];
  const names = Object.keys(event)
    .filter((n) => !FIRST.includes(n))
    .sort((a, b) => Number(followed.includes(b)) - Number(followed.includes(a)) || a.localeCompare(b));
  const raw = textOf(event, 'event.original') || textOf(event, 'message');
  const trace = traceId(textOf(event, 'trace.id'));
  const span = textOf(event, 'span.id');
  return (
    <div className="all">
      {raw && (
        <pre className="raw" data-testid="raw-line" data-words="" title={t('search.selectHint')}>
          {raw}
        </pre>
      )}
      <div className="row wrap" style={{ margin: '8px 0' }}>
        {trace && (
          <Link to={traceLink(trace, span)}>
            <Button size="small">{t('trace.of')}</Button>
          </Link>
        )}
        {desk && textOf(event, '@timestamp') && (
          <Button size="small" onClick={() => desk.context(event)}>
            {t('search.context')} <kbd>c</kbd>
          </Button>
        )}
        <Button size="small" onClick={() => void copyText(JSON.stringify(event, null, 2)).then(() => done(t('do.copied')), failed)}>
          {t('search.copyJSON')}
        </Button>
        {raw && (
          <Button size="small" onClick={() => void copyText(raw).then(() => done(t('do.copied')), failed)}>
            {t('search.copyRaw')}
          </Button>
        )}
      </div>
      <table className="fields" aria-label={t('alert.fields')}>
        <colgroup>
          <col />
          <col />
        </colgroup>
        <tbody>
          {names.map((name) => (
            <tr key={name} className={followed.includes(name) ? 'followed' : ''}>
              <td>
                {followed.includes(name) && <span aria-label={t('search.followed')}>★ </span>}
                {name}
              </td>
              <td>
                {fieldValues(event[name]).map((v, i) => (
                  <div key={i} className="val">
                    <Token field={name} value={v} />
                    {desk && (
                      <span className="vdo">
                        <button className="plain do" title={t('search.in', { x: v })} aria-label={t('search.in', { x: v })} onClick={() => desk.filter(name, v, false)}>
                          +
                        </button>
                        <button className="plain do" title={t('search.out', { x: v })} aria-label={t('search.out', { x: v })} onClick={() => desk.filter(name, v, true)}>
                          −
                        </button>
                        <button
                          className="plain do"
                          title={t(desk.columns.includes(name) ? 'search.columnOff' : 'search.columnOn', { x: name })}
                          aria-label={t(desk.columns.includes(name) ? 'search.columnOff' : 'search.columnOn', { x: name })}
                          aria-pressed={desk.columns.includes(name)}
                          onClick={() => desk.toggleColumn(name)}
                        >
                          ▥
                        </button>
                      </span>
                    )}
                  </div>
                ))}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
