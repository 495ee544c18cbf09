import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Button, Input } from 'antd';
import { useRef, useState } from 'react';
import { Link } from 'react-router-dom';
import { MEDIA_CAPTURE, type EvidenceItem, type EvidenceList } from '../../api/casework';
import { buildPath, get, upload } from '../../api/client';
import { list, type Alert } from '../../api/types';
import { useFeedback } from '../../app/feedback';
import { useSettings } from '../../app/settings';
import { Panel } from '../page';
import { Failed } from '../states';
import { When } from '../time';
import { Capture } from './capture';

/**
 * The packet captures of an alert: those kept as evidence of its incident, with the
 * conversations of the alert's own addresses, to be read and to be downloaded. Each
 * look enters the chain of custody there.
 */
export function AlertCaptures({ alert, respond }: { alert: Alert; respond: boolean }) {
  const { t } = useSettings();
  const client = useQueryClient();
  const { done, failed } = useFeedback();
  const [open, setOpen] = useState<EvidenceItem>();
  const [reason, setReason] = useState('');
  const picker = useRef<HTMLInputElement>(null);
  const incident = alert.incident_id ?? '';
  const path = `/incidents/${encodeURIComponent(incident)}`;
  const query = useQuery({ queryKey: ['incident', incident, 'evidence'], queryFn: ({ signal }) => get<EvidenceList>(`${path}/evidence`, {}, signal), enabled: incident !== '' });
  const captures = list(query.data?.items).filter((x) => x.media === MEDIA_CAPTURE && !x.withdrawn_at);
  const addresses = [...new Set([alert.attacker?.ip, alert.victim?.ip, alert.source_ip].filter((x): x is string => !!x))];
  const keep = async (file: File | undefined) => {
    if (!file) return;
    try {
      await upload(`${path}/evidence`, { name: file.name, reason: reason.trim(), media: MEDIA_CAPTURE }, file, 'application/octet-stream');
      setReason('');
      done(t('case.kept', { x: file.name }));
      await client.invalidateQueries({ queryKey: ['incident', incident] });
    } catch (e) {
      failed(e);
    }
  };
  if (incident === '' && !respond) return null;
  return (
    <Panel title={t('alert.captures')} id="captures">
      {incident === '' ? (
        <span className="dim">{t('alert.capturesNoIncident')}</span>
      ) : (
        <>
          {query.error && !query.data && <Failed small error={query.error} what="case.evidence" retry={() => void query.refetch()} />}
          {query.data && captures.length === 0 && <div className="dim">{t('alert.capturesNone')}</div>}
          {captures.map((x) => (
            <div key={x.id} className="row wrap" style={{ padding: '3px 0' }}>
              <a href={buildPath(`${path}/evidence/${x.id}/content`)} download title={x.sha256}>
                {x.name}
              </a>
              <Button size="small" aria-label={`${t('case.capture')} ${x.name}`} onClick={() => setOpen(x)}>
                {t('case.capture')}
              </Button>
              <span className="dim">{x.reason}</span>
              <span className="dim" style={{ marginLeft: 'auto' }}>
                {x.added_by} <When time={new Date(x.added_at).toISOString()} />
              </span>
            </div>
          ))}
          {respond && (
            <div className="row wrap" style={{ marginTop: 8 }}>
              <Input style={{ flex: '1 1 160px' }} value={reason} maxLength={2000} placeholder={t('case.reason')} aria-label={t('case.reason')} onChange={(e) => setReason(e.target.value)} />
              <input
                ref={picker}
                type="file"
                accept=".pcap,.pcapng,.cap"
                hidden
                onChange={(e) => {
                  void keep(e.target.files?.[0]);
                  e.target.value = '';
                }}
              />
              <Button size="small" disabled={reason.trim() === ''} onClick={() => picker.current?.click()}>
                {t('alert.capturesAdd')}
              </Button>
            </div>
          )}
          <div className="faint" style={{ marginTop: 6 }}>
            <Link to={`/incidents/${encodeURIComponent(incident)}`}>{t('alert.capturesOf', { x: incident })}</Link>
          </div>
        </>
      )}
      {open && <Capture path={path} item={open} addresses={addresses} close={() => setOpen(undefined)} />}
    </Panel>
  );
}
