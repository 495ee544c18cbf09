import { Button, Input } from 'antd';
import { useId } from 'react';
import { useT } from '../../app/settings';

/** A secret that is never shown: left empty it stays, and it can be taken away. */
export function SecretField({ label, why, kept, value, set, drop, dropped }: { label: string; why?: string; kept: boolean; value: string; set: (v: string) => void; drop: (off: boolean) => void; dropped: boolean }) {
  const t = useT();
  const id = useId();
  return (
    <div className="labelled">
      <label className="dim" htmlFor={id}>
        {label}
      </label>
      <div className="row">
        <Input.Password id={id} className="grow" maxLength={4000} autoComplete="new-password" placeholder={t(dropped ? 'secret.goes' : kept ? 'secret.stays' : 'secret.none')} value={value} onChange={(e) => set(e.target.value)} />
        {(kept || dropped) && (
          <Button size="small" type="text" onClick={() => drop(!dropped)}>
            {dropped ? t('do.undo') : t('do.remove', { x: label })}
          </Button>
        )}
      </div>
      {why && <span className="faint">{why}</span>}
    </div>
  );
}
