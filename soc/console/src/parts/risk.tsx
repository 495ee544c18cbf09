import { useQuery } from '@tanstack/react-query';
import { Popover } from 'antd';
import type { ReactNode } from 'react';
import { Link } from 'react-router-dom';
import { get } from '../api/client';
import type { Contact, Level } from '../api/risk';
import { list, type Page } from '../api/types';
import { useSettings } from '../app/settings';
import { SeverityMark } from './severity';
import { Loaded } from './states';

const SHOWN = { compromised: 'critical', high: 'high', medium: 'medium', low: 'low' } as const;

/** A score with its level, as mark and word. */
export function RiskMark({ score, level }: { score: number; level: Level }) {
  const { t } = useSettings();
  return (
    <span className="row" style={{ gap: 6 }} title={t(`risk.${level}`)}>
      <SeverityMark level={SHOWN[level]} word={false} />
      <b className="mono">{score}</b>
      <span>{t(`risk.${level}`)}</span>
    </span>
  );
}

/** Whom to turn to about an item. */
export function Contacts({ id }: { id: string }) {
  const { t } = useSettings();
  const query = useQuery({ queryKey: ['cmdb', 'contacts', id], queryFn: ({ signal }) => get<Page<Contact>>(`/cmdb/items/${encodeURIComponent(id)}/contacts`, {}, signal), staleTime: 60_000 });
  return (
    <Loaded query={query} what="portrait.people" lines={2} small>
      {(page) =>
        list(page.items).length === 0 ? (
          <span className="faint">{t('portrait.none')}</span>
        ) : (
          <div className="stack" style={{ gap: 10 }}>
            {list(page.items).map((c) => (
              <div key={c.name}>
                <b>{c.person ? <Link to={`/cmdb/${encodeURIComponent(c.person)}`}>{c.name}</Link> : c.name}</b> <span className="tag">{t(`contact.${c.role}`)}</span>{' '}
                {c.on_duty !== undefined && <span className="tag">{t(c.on_duty ? 'contact.onDuty' : 'contact.offDuty')}</span>}
                <div className="faint">{[c.unit, c.duty].filter(Boolean).join(' · ')}</div>
                <div className="mono">{[c.phone, c.mail].filter(Boolean).join(' · ')}</div>
              </div>
            ))}
          </div>
        )
      }
    </Loaded>
  );
}

/** A name that shows the contact card of an item when it is pointed at. */
export function ContactCard({ id, children }: { id: string; children: ReactNode }) {
  return (
    <Popover content={<div style={{ minWidth: 220 }}><Contacts id={id} /></div>} mouseEnterDelay={0.3}>
      <span tabIndex={0}>{children}</span>
    </Popover>
  );
}
