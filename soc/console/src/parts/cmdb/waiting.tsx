import { useModel } from '../../api/cmdb';
import { Failed, Skeleton } from '../states';
import { useRevisions } from './modelchange';

/** What stands where the model of the CMDB is not there yet: that it loads, or why it does not come and what to do. */
export function ModelWaits({ lines, small }: { lines?: number; small?: boolean }) {
  return <Waits of={[useModel()]} lines={lines} small={small} />;
}

/** The same for the model and what administrators laid over it. */
export function DocumentWaits({ lines }: { lines?: number }) {
  return <Waits of={[useModel(), useRevisions()]} lines={lines} />;
}

function Waits({ of, lines, small }: { of: { data: unknown; error: unknown; refetch: () => unknown }[]; lines?: number; small?: boolean }) {
  const failed = of.find((q) => q.error && q.data === undefined);
  return failed ? <Failed error={failed.error} what="page.cmdb.models" small={small} retry={() => of.forEach((q) => void q.refetch())} /> : <Skeleton lines={lines} />;
}
