/** Where files are dropped or chosen. */
import { useState, type ReactNode, type Ref } from 'react';

/** The children tell what is taken. One file is the rule; `multiple` takes several. The same file can be chosen again; `chooser` opens the choice from elsewhere. */
export function Drop({ take, label, accept, multiple, busy, chooser, children }: { take: (files: File[]) => void; label?: string; accept?: string; multiple?: boolean; busy?: boolean; chooser?: Ref<HTMLInputElement>; children: ReactNode }) {
  const [over, setOver] = useState(false);
  const give = (chosen: FileList | null) => {
    const files = [...(chosen ?? [])].slice(0, multiple ? undefined : 1);
    if (files.length > 0 && !busy) take(files);
  };
  return (
    <label
      className={`drop${over ? ' over' : ''}`}
      aria-busy={busy}
      onDragOver={(e) => {
        e.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(e) => {
        e.preventDefault();
        setOver(false);
        give(e.dataTransfer.files);
      }}
    >
      <input
        ref={chooser}
        type="file"
        accept={accept}
        multiple={multiple}
        disabled={busy}
        className="visually-hidden"
        aria-label={label}
        onChange={(e) => {
          give(e.target.files);
          e.target.value = '';
        }}
      />
      {children}
    </label>
  );
}
