import { useTenants } from '../api/queries';
import { useSettings } from '../app/settings';
import { zh, type Key } from '../locales/zh';

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

/** Who did something, as people call him: the suite itself, a rule and another system have names, too. */
export function useActorName(): (actor: string | undefined) => string {
  const { t } = useSettings();
  return (actor) => {
    if (!actor || actor === 'system') return t('timeline.system');
    if (actor === 'disposal-rule') return t('actor.rule');
    return actor.startsWith('work-order:') ? t('actor.order', { x: actor.slice('work-order:'.length) }) : actor;
  };
}

/** A scope's name, or what it lets one do. A scope this console does not know shows as the server writes it. */
export function scopeText(t: (key: Key) => string, scope: string, why = false): string {
  const key = `scope.${scope}${why ? '.why' : ''}`;
  return key in zh ? t(key as Key) : why ? '' : scope;
}
