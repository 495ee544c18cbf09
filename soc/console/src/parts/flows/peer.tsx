import { DeploymentUnitOutlined } from '@ant-design/icons';
import { Link } from 'react-router-dom';
import type { Peer } from '../../api/flows';
import { useT } from '../../app/settings';
import { peerName } from '../../logic/flows';
import { Token } from '../token';

/** One end of a flow: its address to act on, the asset it is, whether it is one of ours, and the way to its map. */
export function PeerMark({ peer, map = true }: { peer: Peer; map?: boolean }) {
  const t = useT();
  return (
    <span className="peer">
      <Token field="source.ip" value={peer.address}>
        {peer.address}
      </Token>
      {peer.ci ? (
        <Link to={`/cmdb/${encodeURIComponent(peer.ci.id)}`} title={[peer.ci.system?.name, peer.ci.class].filter(Boolean).join(' · ')}>
          {peerName(peer)}
        </Link>
      ) : (
        !peer.internal && <span className="tag">{t('flows.external')}</span>
      )}
      {map && (
        <Link className="faint" title={t('flows.toMap', { x: peer.address })} aria-label={t('flows.toMap', { x: peer.address })} to={`/flows?${new URLSearchParams({ tab: 'map', asset: `${peer.zone}|${peer.address}` })}`}>
          <DeploymentUnitOutlined />
        </Link>
      )}
    </span>
  );
}
