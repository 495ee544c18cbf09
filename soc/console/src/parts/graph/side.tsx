import { Button, Progress as Bar } from 'antd';
import { Link } from 'react-router-dom';
import type { GraphEdge, GraphNode, Path, Progress, Traced } from '../../api/graph';
import { useWords } from '../../api/cmdb';
import { list } from '../../api/types';
import { useSettings } from '../../app/settings';
import { zh, type Key } from '../../locales/zh';
import { absolute, bytes, joined, number } from '../../logic/format';
import { edgeWord, entityPath, type Scene } from '../../logic/graph';
import { fieldIs } from '../../logic/logsql';
import { SeverityMark } from '../severity';
import { Empty } from '../states';
import { WhenFull } from '../time';

/** A word for why a step is on a path, or what is unusual about an edge. */
export function useWhy(): (code: string) => string {
  const { t } = useSettings();
  return (code) => {
    for (const key of [`why.${code}`, `abnormal.${code}`]) if (key in zh) return t(key as Key);
    return code;
  };
}

/** What an edge is about: of alerts what happened, else the service or account. */
export function useEdgeWord(): (e: GraphEdge) => string {
  const { tx } = useSettings();
  const words = useWords();
  return (e) => (e.kind === 'alert' ? tx(list(e.alerts)[0]?.title) || e.label : e.kind === 'relation' ? words.typeName(e.label) : e.kind === 'same' ? '=' : edgeWord(e));
}

export interface Doing {
  choose: (id: string) => void;
  expand: (id: string, most?: number) => void;
  collapse: (id: string) => void;
  hide: (id: string) => void;
  pin: (id: string) => void;
  trace: (id: string, direction: 'backward' | 'forward') => void;
}

/** LogsQL of the events that have to do with an entity. */
function searchOf(n: GraphNode): string {
  switch (n.type) {
    case 'ip':
      return `(${fieldIs('source.ip', n.value.split('|')[1] ?? n.value)} or ${fieldIs('destination.ip', n.value.split('|')[1] ?? n.value)})`;
    case 'host':
      return fieldIs('host.name', n.value);
    case 'user':
      return fieldIs('user.name', n.value);
    case 'process': {
      const [host = '', name = ''] = n.value.split('|');
      return `${fieldIs('host.name', host)} ${fieldIs('process.name', name)}`;
    }
    case 'domain':
      return `(${fieldIs('url.domain', n.value)} or ${fieldIs('dns.question.name', n.value)})`;
    case 'item':
      return fieldIs('icewatch.ci.id', n.value);
  }
}

export function NodeFacts({ node, scene, open, pinned, limit, span, doing }: { node: GraphNode; scene: Scene; open: boolean; pinned: boolean; limit: number; span: Record<string, string>; doing: Doing }) {
  const { t, locale } = useSettings();
  const word = useEdgeWord();
  const touching = scene.edges.filter((e) => e.from === node.id || e.to === node.id);
  const name = new Map(scene.nodes.map((n) => [n.id, n.name]));
  const root = scene.roots.has(node.id);
  return (
    <section className="chosenitem" data-testid="chosen">
      <h2>
        <Link to={entityPath(node)}>{node.name}</Link>
      </h2>
      <div className="dim">
        {t(`entity.${node.type}`)} {node.type === 'ip' && <span className="mono">{node.value}</span>} {node.type === 'ip' && !node.internal && <span className="tag">{t('graph.outside')}</span>} {node.system}
      </div>
      {node.masked ? (
        <div className="notice">{t('graph.masked')}</div>
      ) : (
        <div className="row wrap" style={{ gap: 4 }}>
          {!open && (
            <Button size="small" type="primary" onClick={() => doing.expand(node.id)}>
              {t('graph.expand')} <kbd className="onbutton">e</kbd>
            </Button>
          )}
          {open && !root && (
            <Button size="small" onClick={() => doing.collapse(node.id)}>
              {t('graph.collapse')} <kbd>c</kbd>
            </Button>
          )}
          <Button size="small" onClick={() => doing.trace(node.id, 'backward')}>
            {t('graph.traceBack')} <kbd>t</kbd>
          </Button>
          <Button size="small" onClick={() => doing.trace(node.id, 'forward')}>
            {t('graph.traceForward')}
          </Button>
          <Button size="small" onClick={() => doing.pin(node.id)}>
            {t(pinned ? 'graph.unpin' : 'graph.pin')} <kbd>p</kbd>
          </Button>
          <Button size="small" onClick={() => doing.hide(node.id)}>
            {t('graph.hide')} <kbd>h</kbd>
          </Button>
        </div>
      )}
      {node.more > 0 && (
        <div className="notice" data-testid="more">
          {t(node.at_least ? 'graph.moreAtLeast' : 'graph.more', { n: number(node.more, locale) })}{' '}
          <button className="plain link" onClick={() => doing.expand(node.id, Math.min(2000, limit + 100))}>
            {t('graph.showMore', { n: Math.min(100, node.more) })}
          </button>
        </div>
      )}
      <div className="row wrap" style={{ gap: 10 }}>
        <Link to={entityPath(node)}>{t('graph.page')}</Link>
        <Link to={`/search?${new URLSearchParams({ query: searchOf(node), ...span })}`}>{t('graph.search')}</Link>
        <Link to={`/alerts?${new URLSearchParams({ q: node.type === 'ip' ? (node.value.split('|')[1] ?? node.value) : node.value, status: 'open,acknowledged,closed', since: '30d' })}`}>{t('graph.alerts')}</Link>
      </div>
      <ul className="onit" aria-label={t('graph.tab.edges')}>
        {touching.slice(0, 200).map((e) => (
          <li key={e.id}>
            <button className="plain" title={t('graph.selectEdge')} onClick={() => doing.choose(e.id)}>
              <span className="tag">{t(`edge.${e.kind}`)}</span>
              <span className="ellipsis">
                {e.from === node.id ? '→ ' : '← '}
                {name.get(e.from === node.id ? e.to : e.from)}
              </span>
              <span className="faint ellipsis">{word(e)}</span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

export function EdgeFacts({ edge, scene, span, doing }: { edge: GraphEdge; scene: Scene; span: Record<string, string>; doing: Doing }) {
  const { t, tx, locale } = useSettings();
  const why = useWhy();
  const word = useEdgeWord();
  const name = new Map(scene.nodes.map((n) => [n.id, n.name]));
  const end = (id: string) => (
    <button className="plain link" onClick={() => doing.choose(id)}>
      {name.get(id) ?? id}
    </button>
  );
  return (
    <section className="chosenitem" data-testid="chosen">
      <h2>
        {t(`edge.${edge.kind}`)} {edge.kind === 'alert' ? '' : word(edge)}
      </h2>
      <div>
        {end(edge.from)} → {end(edge.to)}
      </div>
      {list(edge.abnormal).length > 0 && (
        <div className="row wrap" style={{ gap: 4 }}>
          {list(edge.abnormal).map((a) => (
            <span key={a} className="tag warn">
              {why(a)}
            </span>
          ))}
        </div>
      )}
      {list(edge.phases).length > 0 && <div className="dim">{joined(list(edge.phases).map((p) => (`phase.${p}` in zh ? t(`phase.${p}` as Key) : p)), locale)}</div>}
      <dl className="facts">
        {edge.count > 0 && (
          <>
            <dt>{t('graph.count')}</dt>
            <dd className="num">
              {number(edge.count, locale)}
              {edge.bytes > 0 && ` · ${bytes(edge.bytes, locale)}`}
              {edge.outcome && ` · ${t(`graph.outcome.${edge.outcome}`)}`}
            </dd>
          </>
        )}
        {!edge.first_seen.startsWith('0001') && (
          <>
            <dt>{t('col.firstSeen')}</dt>
            <dd>
              <WhenFull time={edge.first_seen} />
            </dd>
            <dt>{t('col.lastSeen')}</dt>
            <dd>
              <WhenFull time={edge.last_seen} />
            </dd>
          </>
        )}
      </dl>
      {list(edge.alerts).map((a) => (
        <div key={a.id}>
          <SeverityMark level={a.severity} /> <Link to={`/alerts/${encodeURIComponent(a.id)}`}>{tx(a.title)}</Link>
        </div>
      ))}
      {edge.query && <Link to={`/search?${new URLSearchParams({ query: edge.query, ...span })}`}>{t('graph.events')}</Link>}
    </section>
  );
}

export function NodeList({ scene, chosen, depth, doing }: { scene: Scene; chosen: string; depth: ReadonlyMap<string, number>; doing: Doing }) {
  const { t } = useSettings();
  const sorted = [...scene.nodes].sort((a, b) => (depth.get(a.id) ?? 0) - (depth.get(b.id) ?? 0));
  return (
    <ul className="onit" aria-label={t('graph.tab.nodes')} data-testid="node-list">
      {sorted.map((n) => (
        <li key={n.id}>
          <button className={`plain${n.id === chosen ? ' on' : ''}`} aria-pressed={n.id === chosen} onClick={() => doing.choose(n.id)} onDoubleClick={() => doing.expand(n.id)}>
            <span className="tag">{t(`entity.${n.type}`)}</span>
            <span className="ellipsis">{n.name}</span>
            <span className="faint num">
              {depth.get(n.id) ?? 0}
              {n.more > 0 && ` · +${n.more}`}
            </span>
          </button>
        </li>
      ))}
    </ul>
  );
}

export function EdgeList({ scene, chosen, doing }: { scene: Scene; chosen: string; doing: Doing }) {
  const { t } = useSettings();
  const word = useEdgeWord();
  const name = new Map(scene.nodes.map((n) => [n.id, n.name]));
  return (
    <ul className="onit" aria-label={t('graph.tab.edges')} data-testid="edge-list">
      {scene.edges.slice(0, 1000).map((e) => (
        <li key={e.id}>
          <button className={`plain${e.id === chosen ? ' on' : ''}`} aria-pressed={e.id === chosen} onClick={() => doing.choose(e.id)}>
            <span className="tag">{t(`edge.${e.kind}`)}</span>
            <span className="ellipsis">
              {name.get(e.from)} → {name.get(e.to)}
            </span>
            <span className="faint ellipsis">{word(e)}</span>
          </button>
        </li>
      ))}
    </ul>
  );
}

/** How far a trace is, and the paths that it found, each step with why it is there. */
export function PathList({ traced, progress, direction, path, stop, close, pick, doing }: { traced?: Traced; progress?: Progress; direction: 'backward' | 'forward'; path: number; stop: () => void; close: () => void; pick: (n: number) => void; doing: Doing }) {
  const { t, locale } = useSettings();
  const why = useWhy();
  const word = useEdgeWord();
  if (!traced) {
    return (
      <div role="status" data-testid="tracing">
        <div>{t('graph.tracing', { n: progress?.looked ?? 0, most: progress?.most ?? '–', edges: number(progress?.edges ?? 0, locale), hops: progress?.hops ?? 0 })}</div>
        <Bar percent={progress ? Math.round((100 * progress.looked) / progress.most) : 0} showInfo={false} size="small" />
        <Button size="small" onClick={stop}>
          {t('graph.traceStop')}
        </Button>
      </div>
    );
  }
  const name = new Map(list(traced.nodes).map((n) => [n.id, n.name]));
  const edges = new Map(list(traced.edges).map((e) => [e.id, e]));
  const paths = list(traced.paths);
  const steps = (p: Path) => (
    <ol className="tracesteps">
      {list(p.steps).map((s, i) => {
        const e = edges.get(s.edge);
        return (
          <li key={`${s.edge} ${i}`}>
            <button className="plain" onClick={() => doing.choose(s.edge)}>
              <b>
                {name.get(s.from) ?? s.from} → {name.get(s.to) ?? s.to}
              </b>{' '}
              {e && (
                <span className="dim">
                  {t(`edge.${e.kind}`)} {word(e)}
                </span>
              )}
            </button>
            <div className="faint">{e?.kind !== 'same' && t(direction === 'backward' ? 'graph.until' : 'graph.since', { x: absolute(s.at) })}</div>
            <div className="row wrap" style={{ gap: 4 }}>
              {list(s.why).map((w) => (
                <span key={w} className="tag">
                  {why(w)}
                </span>
              ))}
            </div>
          </li>
        );
      })}
    </ol>
  );
  return (
    <div className="stack" data-testid="paths" style={{ gap: 8 }}>
      <div className="row">
        <span className="dim">{t('graph.pathsN', { n: paths.length })}</span>
        <Button size="small" style={{ marginLeft: 'auto' }} onClick={close}>
          {t('graph.traceClose')}
        </Button>
      </div>
      {traced.bounded ? <div className="notice">{t('graph.bounded', { n: traced.looked })}</div> : <div className="faint">{t('graph.looked', { n: traced.looked })}</div>}
      {paths.length === 0 && <Empty small title={t('graph.traceNone', { x: t(`graph.${direction}`) })} why={t('graph.traceNoneWhy')} />}
      {paths.map((p, i) => (
        <section key={p.origin} className="chosenitem">
          <button className="plain" aria-expanded={i === path} onClick={() => pick(i)} style={{ textAlign: 'left' }}>
            <b>{t(direction === 'backward' ? 'graph.path' : 'graph.pathTo', { x: name.get(p.origin) ?? p.origin, n: p.hops })}</b> {p.weak && <span className="tag">{t('graph.weak')}</span>} {p.cut && <span className="tag">{t('graph.cut')}</span>}
          </button>
          {i === path && steps(p)}
        </section>
      ))}
    </div>
  );
}
