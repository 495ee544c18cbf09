import { Archive } from './archive';

export default function Page() {
  return <Archive kind="unit" />;
}
