import { Form, Input, Modal, type FormInstance } from 'antd';
import { useId, useState, type ReactNode } from 'react';
import { ApiError } from '../api/client';
import { list } from '../api/types';
import { useRefusal } from '../app/refusal';
import { useT } from '../app/settings';
import { zh, type Key } from '../locales/zh';

/** What the server refused, where the hand is: beside the form, not in a corner. */
export function Refused({ error }: { error: unknown }) {
  const t = useT();
  const refusal = useRefusal();
  if (!error) return null;
  const e = error instanceof ApiError ? error : null;
  const fields = list(e?.problem.errors);
  return (
    <div className="notice warn" role="alert">
      <div>{e?.status === 0 ? t('state.unsure') : e?.problem.rule && `rule.${e.problem.rule}` in zh ? t(`rule.${e.problem.rule}` as Key) : refusal(error)}</div>
      {fields.length > 0 && (
        <ul>
          {fields.map((f, i) => (
            <li key={i}>
              {f.location ?? f.column}: {refusal(f.message)}
            </li>
          ))}
        </ul>
      )}
      {e && e.status >= 500 && e.requestId && (
        <div className="faint">
          {t('state.requestId')} <code>{e.requestId}</code>
        </div>
      )}
    </div>
  );
}

/** One form in a dialog: checks, sends, shows the refusal in place, closes when done. */
export function FormDialog<T extends object>({
  title,
  ok,
  initial,
  submit,
  close,
  cancel = close,
  width = 480,
  children,
}: {
  title: ReactNode;
  ok: string;
  initial?: Partial<T>;
  /** Throws where it did not work: the dialog then stays, with what was typed. */
  submit: (values: T) => Promise<unknown>;
  /** After it worked. */
  close: () => void;
  /** Given up; the same as close where it is not named. */
  cancel?: () => void;
  width?: number;
  children: ReactNode | ((form: FormInstance<T>) => ReactNode);
}) {
  const t = useT();
  // A page behind may hold fields of the same names: labels must find ours.
  const id = useId();
  const [form] = Form.useForm<T>();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const send = async () => {
    const values = await form.validateFields().catch(() => null);
    if (!values) return;
    setBusy(true);
    setError(null);
    try {
      await submit(values);
      close();
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Modal open title={title} okText={ok} cancelText={t('do.cancel')} confirmLoading={busy} onCancel={cancel} onOk={() => void send()} width={width} maskClosable={false} destroyOnHidden>
      <Form<T> name={id} form={form} layout="vertical" requiredMark={false} initialValues={initial} onFinish={() => void send()} style={{ paddingTop: 6 }}>
        <Refused error={error} />
        {typeof children === 'function' ? children(form) : children}
        {/* Enter submits from any field. */}
        <button type="submit" hidden />
      </Form>
    </Modal>
  );
}

/** Asks before something that cannot be undone; with `name`, wants it typed. */
export function Ask({ title, why, ok, name, danger = true, submit, close }: { title: ReactNode; why: ReactNode; ok: string; name?: string; danger?: boolean; submit: () => Promise<unknown>; close: () => void }) {
  const t = useT();
  const [typed, setTyped] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const send = async () => {
    setBusy(true);
    setError(null);
    try {
      await submit();
      close();
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Modal open title={title} okText={ok} okButtonProps={{ danger, disabled: !!name && typed !== name }} cancelText={t('do.cancel')} confirmLoading={busy} onCancel={close} onOk={() => void send()} width={440}>
      <Refused error={error} />
      <div style={{ margin: '8px 0 12px' }}>{why}</div>
      {name && <Input aria-label={t('do.typeName', { x: name })} placeholder={t('do.typeName', { x: name })} value={typed} onChange={(e) => setTyped(e.target.value)} autoFocus />}
    </Modal>
  );
}
