import type { EntityJudgement } from '../api/entities';
import { useSettings } from '../app/settings';
import { absolute } from '../logic/format';
import { list } from '../api/types';

/** What was concluded of an entity: the word, how grave, whether it is watched, and its tags. */
export function ConclusionMark({ of: j, tags = false }: { of: EntityJudgement; tags?: boolean }) {
  const { t } = useSettings();
  return (
    <span className="tags">
      <span className={`concl concl-${j.conclusion}`} data-testid="conclusion">
        {t(`entity.conclusion.${j.conclusion}`)}
        {j.risk && ` · ${t(`sev.${j.risk}`)}`}
      </span>
      {j.watched && (
        <span className="tag" title={j.until && t('entity.untilAt', { x: absolute(j.until) })}>
          ◉ {t('entity.watch')}
        </span>
      )}
      {tags &&
        list(j.tags).map((x) => (
          <span className="tag" key={x}>
            {x}
          </span>
        ))}
    </span>
  );
}
