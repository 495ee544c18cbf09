import { useEffect, useRef, useState } from 'react';
import type { Block, Run } from '../../api/notices';
import { list } from '../../api/types';
import { useT } from '../../app/settings';

/** A notice's text. It is data and never markup, so nothing in it runs. */
export function NoticeBody({ body }: { body: readonly Block[] }) {
  return (
    <div className="noticebody">
      {body.map((b, i) => (
        <Part key={i} block={b} />
      ))}
    </div>
  );
}

function Part({ block: b }: { block: Block }) {
  switch (b.type) {
    case 'heading':
      return (
        <h3>
          <Runs runs={list(b.runs)} />
        </h3>
      );
    case 'text':
      return (
        <p>
          <Runs runs={list(b.runs)} />
        </p>
      );
    case 'link':
      return (
        <p>
          <a href={b.url} target="_blank" rel="noreferrer noopener">
            {b.text || b.url} ↗
          </a>
        </p>
      );
    case 'code':
      return <pre className="raw">{b.text}</pre>;
    case 'image':
      return (
        <figure>
          <Picture image={b.image ?? ''} alt={b.text ?? ''} />
          {b.text && <figcaption className="faint">{b.text}</figcaption>}
        </figure>
      );
    case 'table': {
      const [head, ...rows] = list(b.rows);
      return (
        <div style={{ overflowX: 'auto' }}>
          <table className="data">
            <thead>
              <tr>
                {head?.map((c, i) => (
                  <th key={i} scope="col">
                    {c}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map((r, i) => (
                <tr key={i}>
                  {r.map((c, k) => (
                    <td key={k}>{c}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      );
    }
    default:
      return null;
  }
}

const Runs = ({ runs }: { runs: readonly Run[] }) => (
  <>
    {runs.map((r, i) => (
      <span key={i} style={{ fontSize: r.size ? `${r.size}pt` : undefined, color: r.color, background: r.highlight, fontWeight: r.bold ? 650 : undefined, fontStyle: r.italic ? 'italic' : undefined }}>
        {r.text}
      </span>
    ))}
  </>
);

/** A picture out of the document itself. It is drawn: the content policy lets no page load a picture from a data: address. */
export function Picture({ image, alt }: { image: string; alt: string }) {
  const t = useT();
  const canvas = useRef<HTMLCanvasElement>(null);
  const [broken, setBroken] = useState('');
  useEffect(() => {
    let gone = false;
    const [head, data] = image.split(',', 2);
    const draw = async () => {
      const bytes = Uint8Array.from(atob(data ?? ''), (c) => c.charCodeAt(0));
      const picture = await createImageBitmap(new Blob([bytes], { type: /^data:([^;]+)/.exec(head ?? '')?.[1] ?? 'image/png' }));
      const c = canvas.current;
      if (gone || !c) return;
      c.width = picture.width;
      c.height = picture.height;
      c.getContext('2d')?.drawImage(picture, 0, 0);
    };
    draw().catch(() => {
      if (!gone) setBroken(image);
    });
    return () => {
      gone = true;
    };
  }, [image]);
  if (broken === image) return <span className="faint">{t('notice.imageBroken')}</span>;
  return <canvas ref={canvas} role="img" aria-label={alt || t('notice.block.image')} className="picture" width={1} height={1} />;
}
