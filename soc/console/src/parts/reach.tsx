import { useQuery } from '@tanstack/react-query';
import { Input } from 'antd';
import type { ReachCheck, ReachTenant } from '../api/access';
import { post } from '../api/client';
import { list } from '../api/types';
import { useSettled } from '../app/hooks';
import { useSettings, useT } from '../app/settings';
import { DataTable } from './table';

const EXAMPLES = ['organisation under "A01"', 'region in ("福田", "南山") and label contains "citizen"', 'tenant = "tax" and not industry = "health"'];

/** A data scope as its expression, checked while it is typed. A form field. */
export function ReachInput({ value = '', onChange, id, disabled }: { value?: string; onChange?: (v: string) => void; id?: string; disabled?: boolean }) {
  const t = useT();
  const text = useSettled(value.trim(), 300);
  const check = useQuery({
    queryKey: ['reach', 'check', text],
    queryFn: () => post<ReachCheck>('/reach/check', { expression: text }),
    enabled: !!text,
    staleTime: 30_000,
    retry: false,
  });
  const answer = text && text === value.trim() ? check.data : undefined;
  return (
    <div>
      <Input.TextArea
        id={id}
        className="mono grows"
        aria-label={t('reach.expression')}
        value={value}
        disabled={disabled}
        status={answer && !answer.valid ? 'warning' : undefined}
        onChange={(e) => onChange?.(e.target.value)}
        rows={2}
        spellCheck={false}
        placeholder={EXAMPLES[0]}
      />
      <div aria-live="polite" data-testid="reach-check" style={{ margin: '6px 0' }}>
        {!answer ? (
          !disabled && (
            <div className="hint">
              {t('reach.fields')}
              <br />
              {t('reach.operators')}
              <br />
              {t('reach.example')}{' '}
              {EXAMPLES.slice(1).map((x) => (
                <button type="button" className="plain tag mono" key={x} onClick={() => onChange?.(x)} style={{ marginRight: 6 }}>
                  {x}
                </button>
              ))}
            </div>
          )
        ) : answer.valid ? (
          <div>
            <span style={{ color: 'var(--ok)', fontWeight: 600 }}>✓ {t('reach.ok')}</span>{' '}
            <span className="dim">
              {answer.whole || answer.part ? t('reach.covers', { w: answer.whole ?? 0, p: answer.part ?? 0 }) : t('reach.nothing')}
              {!!answer.units && ` · ${t('reach.units', { n: answer.units })}`}
            </span>
            {list(answer.unknown).length > 0 && <div style={{ color: 'var(--medium)' }}>⚠ {t('reach.unknown', { x: list(answer.unknown).join(', ') })}</div>}
          </div>
        ) : (
          <div role="alert">
            <span style={{ color: 'var(--medium)', fontWeight: 600 }}>⚠ {answer.error?.message}</span>{' '}
            <span className="dim">{answer.error && t('reach.badAt', { n: answer.error.position + 1 })}</span>
            {answer.error && (
              <div className="mono faint" aria-hidden="true">
                {[...text].slice(Math.max(0, answer.error.position - 24), answer.error.position).join('')}
                <mark>{[...text].slice(answer.error.position, answer.error.position + 12).join('') || ' '}</mark>
              </div>
            )}
          </div>
        )}
      </div>
    </div>
  );
}

/** The tenants a scope covers, each whole or in part. */
export function ReachTenants({ tenants }: { tenants: readonly ReachTenant[] }) {
  const { t, tx } = useSettings();
  return (
    <DataTable
      label={t('reach.coverage')}
      rows={tenants}
      rowKey={(x) => x.slug}
      columns={[
        { key: 'name', title: t('col.tenant'), render: (x) => <span title={x.slug}>{tx(x.name) || x.slug}</span> },
        { key: 'cov', title: t('reach.coverage'), render: (x) => <span className={x.coverage === 'whole' ? 'tag strong' : 'tag'}>{t(`reach.${x.coverage}`)}</span> },
        { key: 'region', title: t('units.region'), render: (x) => x.region || <span className="faint">–</span> },
        { key: 'industry', title: t('units.industry'), render: (x) => x.industry || <span className="faint">–</span> },
      ]}
    />
  );
}
