import { useQuery } from '@tanstack/react-query';
import { Button, Form, Input, Modal, QRCode } from 'antd';
import { useState } from 'react';
import type { Factors } from '../api/access';
import { ApiError, del, get, post } from '../api/client';
import { list, type List } from '../api/types';
import { useAct } from '../app/act';
import { copyText, useFeedback } from '../app/feedback';
import { useSettings, useT } from '../app/settings';
import { download } from '../logic/export';
import { creationOptions, credentialJSON, webauthnOffered } from '../logic/webauthn';
import { Ask, FormDialog } from './dialog';
import { Loaded } from './states';
import { When } from './time';

const RENEW = ['factors', 'me'] as const;

/** An authenticator that is offered, until its first code confirms it. */
interface TOTPOffer {
  id: string;
  secret: string;
  uri: string;
}

/** One's own second factors: an authenticator, security keys, recovery codes. */
export function FactorPanel({ changed }: { changed: () => void }) {
  const { t } = useSettings();
  const { tell } = useAct();
  const { failed } = useFeedback();
  const [codes, setCodes] = useState<string[]>([]);
  const [totp, setTOTP] = useState<TOTPOffer | null>(null);
  const [dialog, setDialog] = useState<'key' | 'recovery' | 'no-totp' | null>(null);
  const [removing, setRemoving] = useState<{ id: string; name: string } | null>(null);
  const [busy, setBusy] = useState(false);
  const query = useQuery({ queryKey: ['factors'], queryFn: ({ signal }) => get<Factors>('/me/factors', {}, signal) });
  const renew = (said?: string) => {
    tell({ said, renew: RENEW });
    changed();
  };
  /** Recovery codes come with the first factor: what shows the page anew waits until they are saved. */
  const enrolled = (fresh: List<string>, said: string) => {
    if (list(fresh).length > 0) {
      setCodes(list(fresh));
      tell({ said, renew: ['factors'] });
    } else renew(said);
  };
  const begin = async () => {
    setBusy(true);
    try {
      setTOTP(await post<TOTPOffer>('/me/factors/totp'));
    } catch (e) {
      failed(e);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Loaded query={query} what="factors.what" lines={3} small>
      {(f) => (
        <div className="stack" style={{ gap: 0 }}>
          <div className="setrow" data-testid="factor-totp">
            <div className="grow">
              <b>{t('me.totp')}</b> {f.totp.enabled && <span className="tag strong">✓ {t('me.totpOn')}</span>}
              <div className="hint">{t('me.totpWhy')}</div>
            </div>
            {f.totp.enabled ? (
              <Button onClick={() => setDialog('no-totp')}>{t('me.totpRemove')}</Button>
            ) : (
              <Button type={list(f.webauthn).length === 0 ? 'primary' : 'default'} loading={busy} onClick={() => void begin()}>
                {t('me.totpAdd')}
              </Button>
            )}
          </div>
          <div className="setrow" data-testid="factor-keys">
            <div className="grow">
              <b>{t('me.keys')}</b>
              <div className="hint">{t(webauthnOffered() ? 'me.keysWhy' : 'signin.webauthnNone')}</div>
              {list(f.webauthn).map((k) => (
                <div className="row" key={k.id} style={{ marginTop: 6 }}>
                  <span>🔑︎ {k.name}</span>
                  {k.synced && <span className="tag">{t('me.keySynced')}</span>}
                  <span className="faint">
                    {t('sessions.seen')} <When time={k.last_used_at ?? k.created_at} />
                  </span>
                  <Button size="small" type="text" onClick={() => setRemoving({ id: k.id, name: k.name })} aria-label={t('do.remove', { x: k.name })}>
                    ✕
                  </Button>
                </div>
              ))}
            </div>
            <Button disabled={!webauthnOffered()} onClick={() => setDialog('key')}>
              {t('me.keyAdd')}
            </Button>
          </div>
          {(f.totp.enabled || list(f.webauthn).length > 0) && (
            <div className="setrow">
              <div className="grow">
                <b>{t('me.recovery')}</b> <span className="tag">{t('me.recoveryLeft', { n: f.recovery_codes_left ?? 0 })}</span>
                <div className="hint">{t('me.recoveryWhy')}</div>
              </div>
              <Button onClick={() => setDialog('recovery')}>{t('me.recoveryNew')}</Button>
            </div>
          )}
          {totp && <EnrolTOTP offer={totp} close={() => setTOTP(null)} done={(c) => enrolled(c, t('me.totpDone'))} />}
          {dialog === 'key' && <EnrolKey close={() => setDialog(null)} done={(name, c) => enrolled(c, t('me.keyAdded', { x: name }))} />}
          {dialog === 'no-totp' && (
            <Ask
              title={t('me.totpRemove')}
              why={t('me.totpRemoveWhy')}
              ok={t('me.totpRemove')}
              close={() => setDialog(null)}
              submit={async () => {
                await del('/me/factors/totp');
                renew();
              }}
            />
          )}
          {dialog === 'recovery' && (
            <Ask
              title={t('me.recoveryNew')}
              why={t('me.recoveryNewWhy')}
              ok={t('me.recoveryNew')}
              danger={false}
              close={() => setDialog(null)}
              submit={async () => setCodes(list((await post<{ recovery_codes: List<string> }>('/me/factors/recovery')).recovery_codes))}
            />
          )}
          {removing && (
            <Ask
              title={t('me.keyRemove')}
              why={removing.name}
              ok={t('me.keyRemove')}
              close={() => setRemoving(null)}
              submit={async () => {
                await del(`/me/factors/webauthn/${encodeURIComponent(removing.id)}`);
                renew(t('me.keyRemoved', { x: removing.name }));
              }}
            />
          )}
          {codes.length > 0 && (
            <RecoveryCodes
              codes={codes}
              close={() => {
                setCodes([]);
                renew();
              }}
            />
          )}
        </div>
      )}
    </Loaded>
  );
}

function EnrolTOTP({ offer, close, done }: { offer: TOTPOffer; close: () => void; done: (codes: List<string>) => void }) {
  const t = useT();
  return (
    <FormDialog<{ code: string }>
      title={t('me.totpAdd')}
      ok={t('signin.totpDo')}
      width={420}
      close={close}
      submit={async (v) => {
        try {
          done((await post<{ recovery_codes: List<string> }>('/me/factors/totp/confirm', { id: offer.id, code: v.code.trim() })).recovery_codes);
        } catch (e) {
          throw e instanceof ApiError && e.status === 422 && list(e.problem.errors).length === 0 ? new Error(t('me.totpBad')) : e;
        }
      }}
    >
      <p className="dim">{t('me.totpScan')}</p>
      <div style={{ display: 'flex', justifyContent: 'center', margin: '12px 0' }}>
        {/* White in dark mode too: many scanners read no inverted codes. */}
        <QRCode type="svg" value={offer.uri} size={184} color="#000" bgColor="#fff" bordered={false} errorLevel="M" />
      </div>
      <p style={{ textAlign: 'center', marginBottom: 12 }}>
        <span className="dim">{t('me.totpSecret')} </span>
        <code data-testid="totp-secret">{offer.secret.replace(/(.{4})(?=.)/g, '$1 ')}</code>
      </p>
      <Form.Item name="code" label={t('signin.totp')} rules={[{ required: true, pattern: /^\s*\d{6}\s*$/, message: t('signin.totp') }]}>
        <Input autoFocus className="mono" inputMode="numeric" autoComplete="one-time-code" maxLength={6} />
      </Form.Item>
    </FormDialog>
  );
}

function EnrolKey({ close, done }: { close: () => void; done: (name: string, codes: List<string>) => void }) {
  const t = useT();
  return (
    <FormDialog<{ name: string }>
      title={t('me.keyAdd')}
      ok={t('do.next')}
      width={420}
      close={close}
      submit={async (v) => {
        const begun = await post<{ id: string; options: { publicKey: Record<string, unknown> } }>('/me/factors/webauthn/begin');
        const made = await navigator.credentials.create({ publicKey: creationOptions(begun.options.publicKey) }).catch(() => null);
        if (!made) throw new Error(t('signin.webauthnCancelled'));
        const answer = await post<{ recovery_codes: List<string> }>('/me/factors/webauthn/finish', { id: begun.id, name: v.name, credential: credentialJSON(made as PublicKeyCredential) });
        done(v.name, answer.recovery_codes);
      }}
    >
      <p className="dim" style={{ marginBottom: 12 }}>
        {t('signin.webauthn')}
      </p>
      <Form.Item name="name" label={t('me.keyName')} rules={[{ required: true, message: t('word.required', { x: t('me.keyName') }) }]}>
        <Input autoFocus autoComplete="off" placeholder={t('me.keyNameHint')} />
      </Form.Item>
    </FormDialog>
  );
}

/** The recovery codes, this once: to copy, to download, and to say they are kept. */
function RecoveryCodes({ codes, close }: { codes: readonly string[]; close: () => void }) {
  const t = useT();
  const { done, failed } = useFeedback();
  const text = `${codes.join('\n')}\n`;
  return (
    <Modal
      open
      title={t('me.recoverySave')}
      closable={false}
      maskClosable={false}
      keyboard={false}
      width={420}
      footer={[
        <Button key="copy" onClick={() => void copyText(text).then(() => done(t('do.copied')), failed)}>
          {t('do.copy')}
        </Button>,
        <Button key="save" onClick={() => download('icewatch-recovery-codes.txt', 'text/plain', text)}>
          {t('do.download')}
        </Button>,
        <Button key="done" type="primary" onClick={close}>
          {t('tokens.done')}
        </Button>,
      ]}
    >
      <p className="dim" style={{ marginBottom: 10 }}>
        {t('me.recoveryWhy')}
      </p>
      <div className="codes" data-testid="recovery-codes">
        {codes.map((c) => (
          <code key={c}>{c}</code>
        ))}
      </div>
    </Modal>
  );
}
