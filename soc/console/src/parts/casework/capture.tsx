import { useQuery } from '@tanstack/react-query';
import { Input, Modal, Table } from 'antd';
import { useState } from 'react';
import type { CapturedPackets, EvidenceItem, PacketConversation, PacketEnd } from '../../api/casework';
import { get } from '../../api/client';
import { list } from '../../api/types';
import { useSettings } from '../../app/settings';
import { Failed, Skeleton } from '../states';
import { When } from '../time';

const end = (e: PacketEnd) => (e.port ? (e.address.includes(':') ? `[${e.address}]:${e.port}` : `${e.address}:${e.port}`) : e.address);

/** What is in a packet capture that was kept as evidence: its conversations, those with most bytes first. Addresses are offered to look for, the first of them looked for at once. */
export function Capture({ path, item, addresses = [], close }: { path: string; item: EvidenceItem; addresses?: readonly string[]; close: () => void }) {
  const { t } = useSettings();
  const [address, setAddress] = useState(addresses[0] ?? '');
  const query = useQuery({
    queryKey: ['capture', path, item.id, address],
    queryFn: ({ signal }) => get<CapturedPackets>(`${path}/evidence/${item.id}/conversations`, address ? { address } : {}, signal),
    staleTime: Infinity, // what was kept does not change, and each look enters the chain of custody
  });
  const found = query.data;
  const rows = list(found?.conversations);
  return (
    <Modal open width={980} footer={null} onCancel={close} title={t('case.captureOf', { x: item.name })}>
      {query.error && <Failed small error={query.error} what="case.evidence" retry={() => void query.refetch()} />}
      {query.isPending && <Skeleton lines={6} />}
      <div className="row wrap" style={{ marginBottom: 8 }}>
        {addresses.map((x) => (
          <button key={x} className="plain toggle" aria-pressed={address === x} onClick={() => setAddress(address === x ? '' : x)}>
            {x}
          </button>
        ))}
        <Input.Search allowClear style={{ width: 260 }} placeholder={t('case.captureAddress')} aria-label={t('case.captureAddress')} onSearch={(x) => setAddress(x.trim())} />
        {found && (
          <span className="dim">{t('case.captureSays', { format: found.format, packets: found.packets, bytes: found.bytes, n: found.total })}</span>
        )}
      </div>
      {found?.fault && (
        <div className="notice warn" role="alert">
          {t('case.captureFault', { x: found.fault })}
        </div>
      )}
      {found && (
        <Table<PacketConversation>
          size="small"
          rowKey={(c) => `${c.protocol} ${end(c.a)} ${end(c.b)}`}
          dataSource={rows}
          pagination={rows.length > 20 ? { pageSize: 20, showSizeChanger: false } : false}
          locale={{ emptyText: t('case.captureNone') }}
          columns={[
            { title: t('case.captureProtocol'), dataIndex: 'protocol', width: 80 },
            { title: t('case.captureFrom'), render: (_, c) => <code>{end(c.a)}</code> },
            { title: t('case.captureTo'), render: (_, c) => <code>{end(c.b)}</code> },
            { title: t('case.capturePackets'), dataIndex: 'packets', width: 80, align: 'right' },
            { title: t('case.captureBytes'), width: 150, align: 'right', render: (_, c) => `${c.bytes_from_a} / ${c.bytes_from_b}` },
            { title: t('case.captureNames'), render: (_, c) => list(c.names).join(', ') },
            { title: t('case.captureFirst'), width: 150, render: (_, c) => (c.first.startsWith('0001') ? '' : <When time={c.first} />) },
          ]}
        />
      )}
      {found && found.total > rows.length && <div className="faint">{t('case.captureShown', { n: rows.length })}</div>}
    </Modal>
  );
}
