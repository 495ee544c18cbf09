import { Button, Dropdown, Input, Select } from 'antd';
import { BLOCK_TYPES, PROOF_KINDS, type Block, type Proof, type Run } from '../../api/notices';
import { list } from '../../api/types';
import { useFeedback } from '../../app/feedback';
import { useSettings, useT } from '../../app/settings';
import { bytes } from '../../logic/format';
import { bytesOf, freshBlock, squared } from '../../logic/notices';
import { readImage } from '../image';
import { Picture } from './body';

/** The most that one picture may have, in bytes. */
const PICTURE = 2_000_000;
const SIZES = [9, 10, 12, 14, 16, 18, 22, 28, 36];
const COLORS = ['', '#cf1322', '#d4380d', '#b97700', '#237a4b', '#0f62d6', '#5a6473'];

/** Writes a notice's text, part by part. */
export function BodyEditor({ body, set }: { body: readonly Block[]; set: (body: Block[]) => void }) {
  const t = useT();
  const change = (i: number, b: Block) => set(body.map((x, k) => (k === i ? b : x)));
  const move = (i: number, by: number) => {
    const next = [...body];
    const [b] = next.splice(i, 1);
    next.splice(i + by, 0, b as Block);
    set(next);
  };
  return (
    <div className="stack" data-testid="body-editor">
      {body.map((b, i) => (
        <section key={i} className="blockedit" aria-label={t(`notice.block.${b.type}`)}>
          <div className="row">
            <b className="dim">{t(`notice.block.${b.type}`)}</b>
            <span style={{ marginLeft: 'auto' }} />
            <Button size="small" type="text" disabled={i === 0} aria-label={t('notice.up')} onClick={() => move(i, -1)}>
              ↑
            </Button>
            <Button size="small" type="text" disabled={i === body.length - 1} aria-label={t('notice.down')} onClick={() => move(i, 1)}>
              ↓
            </Button>
            <Button size="small" type="text" aria-label={t('do.remove', { x: t(`notice.block.${b.type}`) })} onClick={() => set(body.filter((_, k) => k !== i))}>
              ✕
            </Button>
          </div>
          <BlockEditor block={b} set={(x) => change(i, x)} />
        </section>
      ))}
      <Dropdown trigger={['click']} menu={{ items: BLOCK_TYPES.map((k) => ({ key: k, label: t(`notice.block.${k}`) })), onClick: ({ key }) => set([...body, freshBlock(key as Block['type'])]) }}>
        <Button type="dashed" style={{ alignSelf: 'flex-start' }}>
          + {t('notice.addBlock')} ▾
        </Button>
      </Dropdown>
    </div>
  );
}

function BlockEditor({ block: b, set }: { block: Block; set: (b: Block) => void }) {
  const { t, locale } = useSettings();
  const { failed } = useFeedback();
  switch (b.type) {
    case 'heading':
      return <Input aria-label={t('notice.block.heading')} maxLength={400} value={list(b.runs)[0]?.text ?? ''} onChange={(e) => set({ ...b, runs: [{ ...list(b.runs)[0], text: e.target.value }] })} />;
    case 'text':
      return <RunsEditor runs={list(b.runs)} set={(runs) => set({ ...b, runs })} />;
    case 'code':
      return <Input.TextArea className="mono grows" aria-label={t('notice.block.code')} rows={4} maxLength={20_000} spellCheck={false} value={b.text ?? ''} onChange={(e) => set({ ...b, text: e.target.value })} />;
    case 'link':
      return (
        <div className="two">
          <Input aria-label={t('notice.linkText')} placeholder={t('notice.linkText')} maxLength={400} value={b.text ?? ''} onChange={(e) => set({ ...b, text: e.target.value })} />
          <Input className="mono" aria-label={t('notice.linkURL')} placeholder="https://" maxLength={2000} value={b.url ?? ''} onChange={(e) => set({ ...b, url: e.target.value })} />
        </div>
      );
    case 'image': {
      const take = async (file: File | undefined) => {
        if (!file) return;
        if (file.size > PICTURE) return failed(new Error(t('notice.imageBig', { n: bytes(PICTURE, locale) })));
        set({ ...b, image: `data:${file.type};base64,${await readImage(file)}`, text: b.text || file.name.replace(/\.\w+$/, '') });
      };
      return (
        <div className="stack" style={{ gap: 6 }}>
          <div className="row">
            <label className="ant-btn ant-btn-default filebtn">
              <input type="file" accept="image/png,image/jpeg,image/gif,image/webp" className="visually-hidden" onChange={(e) => void take(e.target.files?.[0])} />
              {t('settings.choose')}
            </label>
            <span className="faint">{b.image ? bytes(bytesOf(b.image), locale) : t('notice.imageWhy', { n: bytes(PICTURE, locale) })}</span>
            <Input className="grow" aria-label={t('notice.imageAlt')} placeholder={t('notice.imageAlt')} maxLength={400} value={b.text ?? ''} onChange={(e) => set({ ...b, text: e.target.value })} />
          </div>
          {b.image && <Picture image={b.image} alt={b.text ?? ''} />}
        </div>
      );
    }
    case 'table': {
      const rows = list(b.rows);
      const columns = rows[0]?.length ?? 2;
      const cell = (r: number, c: number, text: string) => set({ ...b, rows: rows.map((row, i) => (i === r ? row.map((x, k) => (k === c ? text : x)) : row)) });
      return (
        <div className="stack" style={{ gap: 6 }}>
          <div style={{ overflowX: 'auto' }}>
            <table className="gridedit">
              <tbody>
                {rows.map((row, r) => (
                  <tr key={r}>
                    {row.map((x, c) => (
                      <td key={c}>
                        <Input aria-label={t('notice.cell', { r: r + 1, c: c + 1 })} value={x} maxLength={2000} style={r === 0 ? { fontWeight: 600 } : undefined} onChange={(e) => cell(r, c, e.target.value)} />
                      </td>
                    ))}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          <div className="row">
            <Button size="small" onClick={() => set({ ...b, rows: squared([...rows, []], columns) })}>
              + {t('notice.row')}
            </Button>
            <Button size="small" disabled={rows.length < 2} onClick={() => set({ ...b, rows: rows.slice(0, -1) })}>
              − {t('notice.row')}
            </Button>
            <Button size="small" disabled={columns >= 12} onClick={() => set({ ...b, rows: squared(rows, columns + 1) })}>
              + {t('notice.column')}
            </Button>
            <Button size="small" disabled={columns < 2} onClick={() => set({ ...b, rows: squared(rows, columns - 1) })}>
              − {t('notice.column')}
            </Button>
          </div>
        </div>
      );
    }
    default:
      return null;
  }
}

/** Stretches of text, each with its look. */
function RunsEditor({ runs, set }: { runs: readonly Run[]; set: (runs: Run[]) => void }) {
  const t = useT();
  const change = (i: number, part: Partial<Run>) => set(runs.map((r, k) => (k === i ? { ...r, ...part } : r)));
  return (
    <div className="stack" style={{ gap: 6 }}>
      {runs.map((r, i) => (
        <div key={i}>
          <div className="row" style={{ gap: 4, marginBottom: 3 }}>
            <button type="button" className="plain toggle" aria-pressed={!!r.bold} aria-label={t('notice.bold')} onClick={() => change(i, { bold: !r.bold || undefined })}>
              <b>B</b>
            </button>
            <button type="button" className="plain toggle" aria-pressed={!!r.italic} aria-label={t('notice.italic')} onClick={() => change(i, { italic: !r.italic || undefined })}>
              <i>I</i>
            </button>
            <Select size="small" allowClear aria-label={t('notice.size')} placeholder={t('notice.size')} style={{ width: 82 }} value={r.size} onChange={(size?: number) => change(i, { size })} options={SIZES.map((value) => ({ value, label: `${value} pt` }))} />
            <span className="row" role="group" aria-label={t('notice.color')} style={{ gap: 3 }}>
              {COLORS.map((c) => (
                <button key={c} type="button" className="plain swatch" aria-pressed={(r.color ?? '') === c} aria-label={c || t('notice.noColor')} style={{ background: c || 'var(--text)' }} onClick={() => change(i, { color: c || undefined })} />
              ))}
            </span>
            <button type="button" className="plain toggle" aria-pressed={!!r.highlight} onClick={() => change(i, { highlight: r.highlight ? undefined : '#fff1b8', color: r.highlight ? r.color : (r.color ?? '#1b2330') })}>
              {t('notice.highlight')}
            </button>
            {runs.length > 1 && (
              <button type="button" className="plain x" style={{ marginLeft: 'auto' }} aria-label={t('do.remove', { x: t('notice.run') })} onClick={() => set(runs.filter((_, k) => k !== i))}>
                ✕
              </button>
            )}
          </div>
          <Input.TextArea
            className="grows"
            aria-label={t('notice.block.text')}
            rows={3}
            maxLength={20_000}
            value={r.text}
            style={{ color: r.color, fontWeight: r.bold ? 650 : undefined, fontStyle: r.italic ? 'italic' : undefined, background: r.highlight }}
            onChange={(e) => change(i, { text: e.target.value })}
          />
        </div>
      ))}
      <Button size="small" type="link" style={{ alignSelf: 'flex-start', padding: 0 }} onClick={() => set([...runs, { text: '' }])}>
        + {t('notice.run')}
      </Button>
    </div>
  );
}

/** What a notice goes by. */
export function ProofEditor({ proofs, set }: { proofs: readonly Proof[]; set: (proofs: Proof[]) => void }) {
  const t = useT();
  const change = (i: number, part: Partial<Proof>) => set(proofs.map((p, k) => (k === i ? { ...p, ...part } : p)));
  return (
    <div className="stack" style={{ gap: 6 }}>
      {proofs.map((p, i) => (
        <div key={i} className="row">
          <Select aria-label={t('notice.proofKind')} style={{ width: 104 }} value={p.kind} onChange={(kind) => change(i, { kind })} options={PROOF_KINDS.map((k) => ({ value: k, label: t(`notice.proof.${k}`) }))} />
          <Input className="mono grow" aria-label={t('notice.proofID')} placeholder={t(p.kind === 'log' ? 'notice.proofQuery' : 'notice.proofID')} maxLength={2000} value={p.id} onChange={(e) => change(i, { id: e.target.value })} />
          <Input className="grow" aria-label={t('notice.proofTitle')} placeholder={t('notice.proofTitle')} maxLength={200} value={p.title ?? ''} onChange={(e) => change(i, { title: e.target.value })} />
          <button type="button" className="plain x" aria-label={t('do.remove', { x: p.title || p.id || t('notice.evidence') })} onClick={() => set(proofs.filter((_, k) => k !== i))}>
            ✕
          </button>
        </div>
      ))}
      <Button size="small" type="dashed" style={{ alignSelf: 'flex-start' }} onClick={() => set([...proofs, { kind: 'incident', id: '' }])}>
        + {t('notice.evidence')}
      </Button>
    </div>
  );
}
