import { useTenants } from '../api/queries';
import { useSettings } from '../app/settings';

/** A tenant's name in the reader's language, or its slug while that is all we know. */
export function useTenantName(): (slug: string | undefined) => string {
  const { tx } = useSettings();
  const tenants = useTenants().data;
  return (slug) => {
    if (!slug) return '';
    return tx(tenants?.find((x) => x.slug === slug)?.name) || slug;
  };
}

export function TenantName({ slug }: { slug?: string }) {
  const name = useTenantName();
  return slug ? <span title={slug}>{name(slug)}</span> : <span className="faint">–</span>;
}
