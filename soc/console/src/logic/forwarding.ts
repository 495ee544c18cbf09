/** A forwarding target as its form holds it, and as the API reads it. */
import type { Target, TargetContent, TargetKind } from '../api/forwarding';
import { list } from '../api/types';

/** The block of a kind in the API's body. */
export const BLOCK = { elasticsearch: 'elasticsearch', kafka: 'kafka', syslog: 'syslog', loki: 'loki', 'remote-write': 'remote_write' } as const satisfies Record<TargetKind, keyof TargetContent>;

export interface TargetForm {
  name: string;
  description: string;
  filter: string;
  tenants: string[];
  from: 'now' | 'beginning';
  original: boolean;
  /** The fields of the kind's block; a map of labels is lines of name=field. */
  block: Record<string, unknown>;
  tls: { ca: string; server_name: string; client_certificate: string };
  password: string;
  client_key: string;
}

const BLOCKS: Record<TargetKind, Record<string, unknown>> = {
  elasticsearch: { urls: [], index: 'logs-icewatch-default', auth: 'none', username: '', api_key_id: '', template: true, gzip: true },
  kafka: { brokers: [], topic: 'icewatch.{tenant}', tls: false, mechanism: '', username: '', compression: 'zstd' },
  syslog: { address: '', transport: 'tls', format: 'rfc5424', facility: 16 },
  loki: { url: '', tenant: '', auth: 'none', username: '', labels: 'service_name=event.dataset\nhost=host.name' },
  'remote-write': { url: '', auth: 'none', username: '' },
};

export function blank(kind: TargetKind): TargetForm {
  return { name: '', description: '', filter: '', tenants: [], from: 'now', original: true, block: { ...BLOCKS[kind] }, tls: { ca: '', server_name: '', client_certificate: '' }, password: '', client_key: '' };
}

/** A map of labels as lines, and back; what is no name=field is left out. */
export const linesOf = (labels: Record<string, string> | null | undefined): string =>
  Object.entries(labels ?? {})
    .map(([k, v]) => `${k}=${v}`)
    .join('\n');
export function labelsOf(lines: string): Record<string, string> {
  return Object.fromEntries(
    lines
      .split('\n')
      .map((l) => /^\s*([A-Za-z_]\w*)\s*=\s*(\S+)\s*$/.exec(l))
      .filter((m): m is RegExpExecArray => m !== null)
      .map((m) => [m[1] as string, m[2] as string]),
  );
}

export function formOf(x: Target): TargetForm {
  const block = { ...BLOCKS[x.kind], ...(x[BLOCK[x.kind]] as object | null) } as Record<string, unknown>;
  if (x.kind === 'loki') block.labels = linesOf(x.loki?.labels);
  return {
    name: x.name,
    description: x.description ?? '',
    filter: x.filter,
    tenants: x.tenant ? x.tenant.split(',') : [],
    from: x.from ?? 'now',
    original: x.original,
    block,
    tls: { ca: x.tls?.ca ?? '', server_name: x.tls?.server_name ?? '', client_certificate: x.tls?.client_certificate ?? '' },
    password: '',
    client_key: '',
  };
}

/** Whether the kind signs in with a secret, as it is set up. */
export function needsPassword(kind: TargetKind, block: Record<string, unknown>): boolean {
  if (kind === 'kafka') return !!block.mechanism;
  return kind !== 'syslog' && block.auth !== 'none';
}

/** Whether it speaks TLS, as it is set up. */
export function speaksTLS(kind: TargetKind, block: Record<string, unknown>): boolean {
  const secure = (url: unknown) => /^https:/i.test(String(url ?? ''));
  if (kind === 'kafka') return block.tls === true;
  if (kind === 'syslog') return block.transport === 'tls';
  if (kind === 'elasticsearch') return list(block.urls as string[]).some(secure);
  return secure(block.url);
}

/** What is sent: the content and the secrets that were typed. A secret that no longer serves is taken away. */
export function bodyOf(kind: TargetKind, f: TargetForm, enabled: boolean, stored: readonly string[]): TargetContent & { secrets: Record<string, string> } {
  const block: Record<string, unknown> = { ...f.block };
  if (kind === 'loki') block.labels = labelsOf(String(block.labels ?? ''));
  const tls = Object.fromEntries(Object.entries(f.tls).filter(([, v]) => v.trim() !== ''));
  const secrets: Record<string, string> = {};
  if (needsPassword(kind, f.block)) {
    if (f.password) secrets.password = f.password;
  } else if (stored.includes('password')) secrets.password = '';
  if (speaksTLS(kind, f.block) && f.tls.client_certificate.trim()) {
    if (f.client_key) secrets.client_key = f.client_key;
  } else if (stored.includes('client_key')) secrets.client_key = '';
  return {
    name: f.name.trim(),
    description: f.description.trim(),
    kind,
    enabled,
    filter: f.filter.trim(),
    tenant: f.tenants.join(','),
    from: f.from,
    original: f.original,
    [BLOCK[kind]]: block,
    ...(speaksTLS(kind, f.block) && Object.keys(tls).length > 0 ? { tls } : {}),
    secrets,
  };
}
