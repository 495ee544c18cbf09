import { Button } from 'antd';
import { Component, type ReactNode } from 'react';
import { ApiError } from '../api/client';
import { useRefusal } from '../app/refusal';
import { useSettings, useT } from '../app/settings';
import type { Key } from '../locales/zh';
import { keeperOf, scopeWanted } from '../logic/access';
import { absolute } from '../logic/format';
import { scopeText } from './names';

/** The shape of a list before it is there. */
export function Skeleton({ lines = 8 }: { lines?: number }) {
  const t = useT();
  return (
    <div role="status" aria-label={t('state.loading')}>
      {Array.from({ length: lines }, (_, i) => (
        <div className="skel-line" key={i}>
          <div className="skel" style={{ width: 54 }} />
          <div className="skel" style={{ width: `${34 + ((i * 37) % 30)}%` }} />
          <div className="skel" style={{ width: 90, marginLeft: 'auto' }} />
        </div>
      ))}
    </div>
  );
}

export function Empty({ title, why, children, small }: { title: string; why?: ReactNode; children?: ReactNode; small?: boolean }) {
  return (
    <div className={`state${small ? ' small' : ''}`}>
      <h3>{title}</h3>
      {why && <div>{why}</div>}
      {children && <div className="do">{children}</div>}
    </div>
  );
}

/** What failed, whether data is safe, what to do, and the id to quote. */
export function Failed({ error, what, retry, small }: { error: unknown; what: Key; retry?: () => void; small?: boolean }) {
  const t = useT();
  const refusal = useRefusal();
  const e = error instanceof ApiError ? error : null;
  const name = t(what);
  if (e?.status === 403) {
    const scope = scopeWanted(e.problem.detail ?? '');
    const who = t(`ask.${keeperOf(scope)}`);
    return (
      <Empty
        small={small}
        title={t('state.forbidden', { what: name })}
        why={
          <>
            {scope ? t('state.forbiddenScope', { scope: scopeText(t, scope), who }) : t('state.forbiddenAsk', { who })}
            {e.problem.detail && <div className="faint">{t('state.forbiddenSaid', { x: e.problem.detail })}</div>}
          </>
        }
      />
    );
  }
  if (e?.status === 404 && /nothing at this path/.test(e.problem.detail ?? '')) return <Empty small={small} title={t('state.unknownApi')} why={t('state.unknownApiWhy')} />;
  if (e?.status === 404) return <Empty small={small} title={t('state.notFound', { what: name })} why={t('state.notFoundWhy')} />;
  return (
    <div className={`state${small ? ' small' : ''}`} role="alert">
      <h3>{t('state.failed', { what: name })}</h3>
      <div>{e?.status === 0 ? t('state.offline') : `${refusal(error)} · ${t('state.safe')}`}</div>
      {e?.requestId && (
        <div className="id">
          {t('state.requestId')} <code>{e.requestId}</code>
        </div>
      )}
      {retry && (
        <div className="do">
          <Button onClick={retry}>{t('do.retry')}</Button>
        </div>
      )}
    </div>
  );
}

/** Says since when the page stands still, while the connection is lost. */
export function Stale({ query }: { query: { isError: boolean; data: unknown; dataUpdatedAt: number; refetch: () => unknown } }) {
  const { t } = useSettings();
  if (!query.isError || query.data === undefined) return null;
  return (
    <div className="stale" role="status">
      <span aria-hidden="true">⚠</span>
      {t('state.stale', { time: absolute(query.dataUpdatedAt) })}
      <Button size="small" style={{ marginLeft: 'auto' }} onClick={() => void query.refetch()}>
        {t('do.retry')}
      </Button>
    </div>
  );
}

interface QueryLike<T> {
  data: T | undefined;
  error: unknown;
  isPending: boolean;
  refetch: () => unknown;
}

/** The states of one query, in the order they matter. */
export function Loaded<T>({ query, what, lines, small, children }: { query: QueryLike<T>; what: Key; lines?: number; small?: boolean; children: (data: T) => ReactNode }) {
  if (query.data !== undefined) return <>{children(query.data)}</>;
  if (query.error) return <Failed error={query.error} what={what} small={small} retry={() => void query.refetch()} />;
  return <Skeleton lines={lines} />;
}

function Crash({ error }: { error: Error }) {
  const t = useT();
  return (
    <div className="state" role="alert">
      <h3>{t('state.crash')}</h3>
      <div>{t('state.crashWhy')}</div>
      <code className="cmd">{String(error.message)}</code>
      <div className="do">
        <Button onClick={() => window.location.reload()}>{t('state.reload')}</Button>
      </div>
    </div>
  );
}

/** Keeps a page's fault in the page: the rail stays and leads away. */
export class Boundary extends Component<{ children: ReactNode; at: string }, { error: Error | null; at: string }> {
  override state: { error: Error | null; at: string } = { error: null, at: this.props.at };
  static getDerivedStateFromError(error: Error) {
    return { error };
  }
  static getDerivedStateFromProps(props: { at: string }, state: { at: string }) {
    return props.at === state.at ? null : { error: null, at: props.at };
  }
  override render() {
    return this.state.error ? <Crash error={this.state.error} /> : this.props.children;
  }
}
