import { Button, Input } from 'antd';
import { useEffect, useState } from 'react';
import { post } from '../api/client';
import { useSettings } from '../app/settings';

export interface CaptchaAnswer {
  id: string;
  text: string;
}
interface Asked {
  id: string;
  image_url: string;
  audio_url?: string;
  digits?: number;
}

/** A picture whose digits are to be typed; it can be heard instead. Mounted anew for each try. */
export function Captcha({ onAnswer }: { onAnswer: (a: CaptchaAnswer | null) => void }) {
  const { t, locale } = useSettings();
  const [asked, setAsked] = useState<Asked | null>(null);
  const [round, setRound] = useState(0);
  const [text, setText] = useState('');
  useEffect(() => {
    let gone = false;
    setText('');
    onAnswer(null);
    post<Asked>('/auth/captcha').then(
      (a) => !gone && setAsked(a),
      () => undefined,
    );
    return () => {
      gone = true;
    };
  }, [round, onAnswer]);
  return (
    <div data-testid="captcha">
      <label htmlFor="captcha">{t('signin.captcha')}</label>
      <div className="captcha">
        {asked ? <img src={asked.image_url} width={160} height={54} alt={t('signin.captcha')} /> : <span className="skel" style={{ width: 160, height: 54 }} />}
        <span className="stack" style={{ gap: 2 }}>
          <Button type="link" size="small" onClick={() => setRound((n) => n + 1)}>
            {t('signin.captchaNew')}
          </Button>
          {asked?.audio_url && (
            <Button type="link" size="small" onClick={() => void new Audio(`${asked.audio_url}${asked.audio_url?.includes('?') ? '&' : '?'}lang=${locale === 'zh-CN' ? 'zh' : 'en'}`).play()}>
              {t('signin.captchaListen')}
            </Button>
          )}
        </span>
      </div>
      <Input
        id="captcha"
        size="large"
        inputMode="numeric"
        autoComplete="off"
        placeholder={t('signin.captchaHint', { n: asked?.digits ?? 6 })}
        value={text}
        onChange={(e) => {
          setText(e.target.value);
          onAnswer(asked ? { id: asked.id, text: e.target.value.trim() } : null);
        }}
      />
    </div>
  );
}
