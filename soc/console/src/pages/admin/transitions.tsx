import { useQuery } from '@tanstack/react-query';
import { Button, Checkbox, Switch } from 'antd';
import { useEffect, useState } from 'react';
import { Link } from 'react-router-dom';
import type { Setting } from '../../api/access';
import { put } from '../../api/client';
import { all } from '../../api/directory';
import type { Move } from '../../api/dispatch';
import { list, type Status } from '../../api/types';
import type { NoticeState } from '../../api/notices';
import { useAct } from '../../app/act';
import { useUrl } from '../../app/hooks';
import { useSettings } from '../../app/settings';
import { joined } from '../../logic/format';
import { deadEnds, find, pairs, said, withMove, type Kind } from '../../logic/transitions';
import { Refused } from '../../parts/dialog';
import { Head } from '../../parts/page';
import { RolesPicker } from '../../parts/pickers';
import { Empty, Loaded, Stale } from '../../parts/states';
import { DataTable } from '../../parts/table';
import { Tabs, useTab } from '../../parts/tabs';

const RENEW = ['settings', 'incident', 'notices'];

/** Who may move incidents, alerts and notices from state to state (?tab=). */
export default function Transitions() {
  const { t } = useSettings();
  const query = useQuery({ queryKey: ['settings'], queryFn: ({ signal }) => all<Setting>('/settings', {}, signal), refetchOnWindowFocus: false });
  const setting = list(query.data).find((s) => s.name === 'transitions');
  return (
    <div className="page">
      <Stale query={query} />
      <Loaded query={query} what="page.transitions" lines={8}>
        {() =>
          setting ? (
            <Table setting={setting} />
          ) : (
            <>
              <Head title={t('page.transitions')} />
              <div className="panel">
                <Empty title={t('state.forbidden', { what: t('page.transitions') })} why={t('state.forbiddenScope', { scope: t('scope.security'), who: t('ask.security') })} />
              </div>
            </>
          )
        }
      </Loaded>
    </div>
  );
}

/** A state's name, as the pages of its kind call it. */
function useStateName(): (of: Kind, state: string) => string {
  const { t } = useSettings();
  return (of, state) => (of === 'notice' ? t(`notice.state.${state as NoticeState}`) : t(`status.${state as Status}`));
}

function Table({ setting }: { setting: Setting }) {
  const { t, locale } = useSettings();
  const { act, busy } = useAct();
  const stateName = useStateName();
  const tabs = (['incident', 'alert', 'notice'] as const).map((key) => ({ key, title: t(`move.of.${key}`) }));
  const of = useTab(tabs);
  const [, setUrl] = useUrl();
  const kept = list(setting.value.moves as Move[]);
  const usual = list(setting.default.moves as Move[]);
  const [moves, setMoves] = useState<Move[]>([...kept]);
  const [error, setError] = useState<unknown>(null);
  const keptText = said(kept);
  useEffect(() => setMoves([...list(setting.value.moves as Move[])]), [keptText]); // eslint-disable-line react-hooks/exhaustive-deps
  const dirty = said(moves) !== keptText;
  const send = (next: readonly Move[], words: string, undo?: () => void) => {
    setError(null);
    void act(
      async () => {
        try {
          await put('/settings/transitions', { moves: next });
        } catch (e) {
          setError(e);
          throw e;
        }
      },
      { said: words, undo, renew: RENEW },
    );
  };
  const save = () => send(moves, t('move.saved'), () => send(kept, t('move.saved')));
  const rows = pairs(of);
  const ends = deadEnds(moves, of);
  const change = (from: string, to: string, part: Partial<Move> | null) => setMoves(withMove(moves, of, from, to, part));
  return (
    <>
      <Head title={t('page.transitions')} sub={dirty ? t('settings.unsaved') : t('move.lead')}>
        <Link to="/admin/settings?setting=transitions">
          <Button>{t('move.versions')}</Button>
        </Link>
        {said(moves) !== said(usual) && <Button onClick={() => setMoves([...usual])}>{t('settings.reset')}</Button>}
        {dirty && <Button onClick={() => setMoves([...kept])}>{t('do.cancel')}</Button>}
        <Button type="primary" disabled={!dirty} loading={busy} onClick={save}>
          {t('do.save')}
        </Button>
      </Head>
      <Tabs tabs={tabs} label={t('page.transitions')} />
      <Refused error={error} />
      {ends.length > 0 && (
        <div className="notice warn" role="status">
          {t('move.deadEnd', { x: joined(ends.map((s) => stateName(of, s)), locale) })}
        </div>
      )}
      <div className="panel">
        <DataTable
          label={t('page.transitions')}
          rows={rows}
          rowKey={(r) => `${r.from}-${r.to}`}
          columns={[
            { key: 'from', title: t('move.from'), width: 130, render: (r) => stateName(of, r.from) },
            { key: 'to', title: t('move.to'), width: 130, render: (r) => <b>→ {stateName(of, r.to)}</b> },
            {
              key: 'may',
              title: t('move.may'),
              width: 90,
              render: (r) => <Switch size="small" aria-label={t('move.mayOf', { x: stateName(of, r.from), y: stateName(of, r.to) })} checked={!!find(moves, of, r.from, r.to)} onChange={(on) => change(r.from, r.to, on ? (find(usual, of, r.from, r.to) ?? { roles: [] }) : null)} />,
            },
            {
              key: 'roles',
              title: t('move.roles'),
              render: (r) => {
                const m = find(moves, of, r.from, r.to);
                if (!m) return <span className="faint">{t('move.nobody')}</span>;
                return (
                  <span className="row">
                    <span style={{ width: 380, maxWidth: '100%' }}>
                      <RolesPicker label={t('move.roles')} value={[...list(m.roles)]} onChange={(roles) => change(r.from, r.to, { roles })} />
                    </span>
                    {list(m.roles).length === 0 && <span className="dim">{t('move.everybody')}</span>}
                  </span>
                );
              },
            },
            ...(of === 'notice'
              ? [
                  {
                    key: 'apart',
                    title: t('move.apart'),
                    render: (r: { from: string; to: string }) => {
                      const m = find(moves, of, r.from, r.to);
                      return m && <Checkbox aria-label={t('move.apart')} checked={!!m.apart} onChange={(e) => change(r.from, r.to, { apart: e.target.checked || undefined })} />;
                    },
                  },
                ]
              : []),
          ]}
        />
      </div>
      <p className="faint" style={{ marginTop: 10 }}>
        {t('move.admin')}{' '}
        <button className="plain link" onClick={() => setUrl({ tab: of === 'incident' ? 'notice' : undefined })}>
          {t(of === 'incident' ? 'move.seeNotices' : 'move.seeIncidents')}
        </button>
      </p>
    </>
  );
}
