/** How an attempt to sign in ended, from the server's refusal. */
import { ApiError } from '../api/client';
import { list } from '../api/types';

export type Factor = 'totp' | 'webauthn' | 'recovery';
export type Outcome =
  | { kind: 'wrong'; captcha: boolean }
  | { kind: 'captcha'; wrong: boolean }
  | { kind: 'factor'; challenge: string; factors: Factor[] }
  | { kind: 'code' }
  | { kind: 'over' }
  | { kind: 'locked'; seconds: number }
  | { kind: 'busy' }
  | { kind: 'other'; error: unknown };

const FACTORS: readonly string[] = ['totp', 'webauthn', 'recovery'];

const factorsOf = (names: string[]) => names.filter((f): f is Factor => FACTORS.includes(f));

/** The second factor that a single sign-on asks for on coming back; null where it asks for none. */
export function factorAsked(params: URLSearchParams): { challenge: string; factors: Factor[] } | null {
  const challenge = params.get('sso') === 'mfa' ? params.get('challenge') : null;
  return challenge ? { challenge, factors: factorsOf((params.get('factors') ?? '').split(',')) } : null;
}

export function outcomeOf(error: unknown): Outcome {
  if (!(error instanceof ApiError)) return { kind: 'other', error };
  const p = error.problem;
  switch (error.code) {
    case 'captcha_required':
      return { kind: 'captcha', wrong: false };
    case 'captcha_wrong':
      return { kind: 'captcha', wrong: true };
    case 'factor_required':
      return { kind: 'factor', challenge: p.challenge ?? '', factors: factorsOf(list(p.factors)) };
    case 'wrong_code':
      return { kind: 'code' };
    case 'challenge_over':
      return { kind: 'over' };
    case 'locked':
      return { kind: 'locked', seconds: p.retry_after ?? 30 };
    case 'busy':
      return { kind: 'busy' };
  }
  if (error.status === 429) return { kind: 'locked', seconds: p.retry_after ?? error.retryAfter ?? 30 };
  if (error.status === 401) return { kind: 'wrong', captcha: p.captcha_required === true };
  return { kind: 'other', error };
}
