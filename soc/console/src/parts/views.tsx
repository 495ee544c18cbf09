import { Button, Input, Popover } from 'antd';
import { useState } from 'react';
import { Link, useLocation } from 'react-router-dom';
import { copyText, useFeedback } from '../app/feedback';
import { usePagePreferences, type Columns } from '../app/preferences';
import { useUrl } from '../app/hooks';
import { useT } from '../app/settings';
import { list } from '../api/types';
import { viewOf } from '../logic/columns';

const MOST = 50;

/** Views kept under a name: filters and columns. Each is an address, so that it can be sent. */
export function Views({ page, columns }: { page: string; columns: Columns }) {
  const t = useT();
  const { value, change } = usePagePreferences(page);
  const { done, failed } = useFeedback();
  const { pathname } = useLocation();
  const [url] = useUrl();
  const [open, setOpen] = useState(false);
  const [name, setName] = useState('');
  const saved = list(value?.saved);
  const now = viewOf(url, columns.chosen ? columns.shown : undefined);
  const plain = viewOf(url);
  const on = saved.find((s) => s.query === now || s.query === plain);
  const keep = async () => {
    const as = name.trim();
    if (!as) return;
    const before = saved;
    const next = [...saved.filter((s) => s.name !== as), { name: as, query: now }];
    if (await change({ saved: next })) {
      setName('');
      done(t('views.kept', { x: as }), () => void change({ saved: before }));
    }
  };
  const drop = async (s: { name: string }) => {
    const before = saved;
    if (await change({ saved: saved.filter((x) => x !== s) })) done(t('views.dropped', { x: s.name }), () => void change({ saved: before }));
  };
  const share = () => copyText(`${window.location.origin}${pathname}${now ? `?${now}` : ''}`).then(() => done(t('views.copied')), failed);
  return (
    <Popover
      open={open}
      onOpenChange={setOpen}
      trigger="click"
      placement="bottomRight"
      content={
        <div className="columnlist" data-testid="views">
          {saved.length === 0 && <div className="dim">{t('views.none')}</div>}
          {saved.map((s) => (
            <div className="row" key={s.name}>
              <Link className="grow ellipsis" aria-current={s === on ? 'true' : undefined} style={{ fontWeight: s === on ? 650 : undefined }} to={`${pathname}${s.query ? `?${s.query}` : ''}`} onClick={() => setOpen(false)}>
                {s.name}
              </Link>
              <button className="plain x" aria-label={t('do.remove', { x: s.name })} onClick={() => void drop(s)}>
                ✕
              </button>
            </div>
          ))}
          <div className="row">
            <Input size="small" maxLength={80} value={name} placeholder={t('views.name')} aria-label={t('views.name')} onChange={(e) => setName(e.target.value)} onPressEnter={() => void keep()} />
            <Button size="small" type="primary" disabled={!name.trim() || (saved.length >= MOST && !saved.some((s) => s.name === name.trim()))} onClick={() => void keep()}>
              {t('views.keep')}
            </Button>
          </div>
          <Button size="small" type="link" style={{ padding: 0, alignSelf: 'flex-start' }} onClick={() => void share()}>
            {t('views.share')}
          </Button>
        </div>
      }
    >
      <Button>
        <span className="ellipsis" style={{ maxWidth: 130 }}>
          {on?.name ?? t('views.title')}
        </span>{' '}
        ▾
      </Button>
    </Popover>
  );
}
