import { Button, Dropdown } from 'antd';
import { useState } from 'react';
import { useSettings } from '../app/settings';
import { zh, type Key } from '../locales/zh';
import { absolute } from '../logic/format';
import { momentOf } from '../logic/zone';
import type { Range } from '../logic/urlstate';

/** A moment as a datetime-local field holds it: the reader's zone, no offset. */
const local = (time: string) => absolute(time).replace(' ', 'T');

export function useRangeText(): (r: Range) => string {
  const { t } = useSettings();
  return (r) => {
    if ('since' in r) return `range.${r.since}` in zh ? t(`range.${r.since}` as Key) : t('range.since', { x: r.since });
    return `${absolute(r.start)} – ${absolute(r.end)}`;
  };
}

/** The page's time range: usual spans, or from–to. */
export function RangePicker({ value, onChange, choices, custom = true }: { value: Range; onChange: (r: Range) => void; choices: string[]; custom?: boolean }) {
  const { t } = useSettings();
  const text = useRangeText();
  const [open, setOpen] = useState(false);
  const [span, setSpan] = useState(() => ('start' in value ? [local(value.start), local(value.end)] : ['', '']));
  const [from = '', to = ''] = span;
  const ready = momentOf(from) < momentOf(to);
  const pick = (r: Range) => {
    setOpen(false);
    onChange(r);
  };
  return (
    <Dropdown
      open={open}
      onOpenChange={(o, info) => {
        if (info.source === 'trigger') setOpen(o);
      }}
      trigger={['click']}
      placement="bottomRight"
      popupRender={() => (
        <div className="menu" style={{ position: 'static' }}>
          {choices.map((c) => (
            <button key={c} className="plain" onClick={() => pick({ since: c })} aria-pressed={'since' in value && value.since === c}>
              {text({ since: c })}
              {'since' in value && value.since === c && <span style={{ marginLeft: 'auto' }}>✓</span>}
            </button>
          ))}
          {custom && <div style={{ borderTop: '1px solid var(--border)', margin: '6px 0', padding: '8px 10px 4px' }}>
            <div className="dim" style={{ marginBottom: 4 }}>
              {t('range.custom')}
            </div>
            <div className="facts" style={{ gridTemplateColumns: '44px 1fr' }}>
              <label htmlFor="range-from">{t('range.from')}</label>
              <input id="range-from" type="datetime-local" step="1" value={from} onChange={(e) => setSpan([e.target.value, to])} />
              <label htmlFor="range-to">{t('range.to')}</label>
              <input id="range-to" type="datetime-local" step="1" value={to} onChange={(e) => setSpan([from, e.target.value])} />
            </div>
            <Button
              size="small"
              type="primary"
              style={{ marginTop: 6 }}
              disabled={!ready}
              onClick={() => pick({ start: new Date(momentOf(from)).toISOString(), end: new Date(momentOf(to)).toISOString() })}
            >
              {t('range.apply')}
            </Button>
          </div>}
        </div>
      )}
    >
      <Button title={t('range.label')}>
        {text(value)} <span aria-hidden="true">▾</span>
      </Button>
    </Dropdown>
  );
}
