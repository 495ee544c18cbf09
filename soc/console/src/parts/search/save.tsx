import { useQuery } from '@tanstack/react-query';
import { AutoComplete, Form, Input, Radio } from 'antd';
import { get, post, put } from '../../api/client';
import { useCan } from '../../api/queries';
import type { SavedDraft, SavedSearch } from '../../api/search';
import { list, type Page } from '../../api/types';
import { useAct } from '../../app/act';
import { useT } from '../../app/settings';
import { FormDialog } from '../dialog';
import { WordsInput } from '../pickers';

interface Values {
  name: string;
  query?: string;
  description?: string;
  folder?: string;
  tags?: string[];
  visibility: SavedSearch['visibility'];
}

/** What a kept search says, without whose it is and when it changed: what is sent to keep it again. */
export function contentOf(s: SavedSearch): SavedDraft {
  const { name, description, folder, tags, query, click, tenant, group, time, columns, chart, visibility } = s;
  return { name, description, folder, tags, query, click, tenant, group, time, columns, chart, visibility };
}

type Draft = Omit<SavedDraft, 'name' | 'visibility'>;

/** Keeps a search under a name, for oneself or for others; or changes one that is kept. */
export function SaveDialog({ draft, saved, close }: { draft?: Draft; saved?: SavedSearch; close: () => void }) {
  const t = useT();
  const can = useCan();
  const { tell } = useAct();
  const folders = useQuery({ queryKey: ['saved', 'folders'], queryFn: async ({ signal }) => list((await get<Page<{ folder: string; count: number }>>('/saved-searches/folders', {}, signal)).items).map((f) => f.folder) });
  const share = can('share-saved-search');
  return (
    <FormDialog<Values>
      title={t(saved ? 'saved.edit' : 'save.title')}
      ok={t('save.ok')}
      initial={saved ? { ...saved, tags: list(saved.tags) } : { visibility: 'private' }}
      close={close}
      submit={async (v) => {
        const said = { ...v, description: v.description ?? '', folder: v.folder?.trim() ?? '', tags: v.tags ?? [] };
        if (saved) await put(`/saved-searches/${encodeURIComponent(saved.id)}`, { ...contentOf(saved), ...said, revision: saved.revision });
        else await post('/saved-searches', { ...draft, ...said });
        tell({ said: t('save.done', { x: v.name }), renew: ['saved'] });
      }}
    >
      {saved ? (
        <Form.Item name="query" label={t('monitor.query')}>
          <Input.TextArea className="mono grows" rows={2} spellCheck={false} />
        </Form.Item>
      ) : (
        <code className="cmd">{draft?.query || '*'}</code>
      )}
      <Form.Item name="name" label={t('save.name')} rules={[{ required: true, whitespace: true, message: t('save.needName') }]}>
        <Input autoFocus autoComplete="off" maxLength={128} />
      </Form.Item>
      <Form.Item name="folder" label={t('save.folder')}>
        <AutoComplete options={(folders.data ?? []).filter(Boolean).map((f) => ({ value: f, label: f }))} />
      </Form.Item>
      <Form.Item name="description" label={t('save.description')}>
        <Input autoComplete="off" maxLength={512} />
      </Form.Item>
      <Form.Item name="tags" label={t('save.tags')}>
        <WordsInput />
      </Form.Item>
      <Form.Item name="visibility" label={t('save.visibility')} extra={share ? undefined : t('save.cannotShare')}>
        <Radio.Group options={(['private', 'unit', 'everybody'] as const).map((v) => ({ value: v, label: t(`visibility.${v}`), disabled: v !== 'private' && !share }))} />
      </Form.Item>
    </FormDialog>
  );
}
