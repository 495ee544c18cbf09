/** Which fields each protocol has in its form, in the order a person fills them. */
import type { ProviderKind } from '../api/federation';

export type InputKind = 'text' | 'secret' | 'words' | 'switch' | 'long';
export interface ProviderField {
  key: string;
  kind: InputKind;
  required?: boolean;
  placeholder?: string;
}

export const FIELDS: Record<ProviderKind, readonly ProviderField[]> = {
  oidc: [
    { key: 'issuer', kind: 'text', required: true, placeholder: 'https://sso.example.gov.cn/realms/city' },
    { key: 'client_id', kind: 'text', required: true },
    { key: 'client_secret', kind: 'secret' },
    { key: 'scopes', kind: 'words' },
    { key: 'ca', kind: 'long' },
  ],
  saml: [
    { key: 'metadata_url', kind: 'text', placeholder: 'https://adfs.example.gov.cn/FederationMetadata/2007-06/FederationMetadata.xml' },
    { key: 'metadata_xml', kind: 'long' },
    { key: 'sign_requests', kind: 'switch' },
    { key: 'ca', kind: 'long' },
  ],
  ldap: [
    { key: 'url', kind: 'text', required: true, placeholder: 'ldaps://dc1.example.gov.cn:636' },
    { key: 'base_dn', kind: 'text', required: true, placeholder: 'ou=people,dc=example,dc=gov,dc=cn' },
    { key: 'bind_dn', kind: 'text' },
    { key: 'bind_password', kind: 'secret' },
    { key: 'start_tls', kind: 'switch' },
    { key: 'plaintext', kind: 'switch' },
    { key: 'server_name', kind: 'text' },
    { key: 'ca', kind: 'long' },
    { key: 'user_filter', kind: 'text', placeholder: '(objectClass=inetOrgPerson)' },
    { key: 'login_attributes', kind: 'words', placeholder: 'uid' },
    { key: 'group_base_dn', kind: 'text' },
    { key: 'group_filter', kind: 'text', placeholder: '(objectClass=groupOfNames)' },
    { key: 'member_attribute', kind: 'text', placeholder: 'member' },
    { key: 'nested_groups', kind: 'switch' },
    { key: 'subject_attribute', kind: 'text', placeholder: 'entryUUID' },
  ],
};

/** What the other side has to be told; the server makes these. */
export const TO_REGISTER: Record<ProviderKind, readonly string[]> = {
  oidc: ['redirect_uri', 'back_channel_logout_uri', 'post_logout_redirect_uri'],
  saml: ['entity_id', 'acs_url'],
  ldap: [],
};

export const ATTRIBUTES = ['username', 'display_name', 'email', 'groups', 'unit'] as const;

/** The protocol's part of the form as the API takes it: an untouched secret is left out, so that it stays. */
export function protocolBody(kind: ProviderKind, values: Record<string, unknown>): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const f of FIELDS[kind]) {
    const v = values[f.key];
    if (v === undefined || (f.kind === 'secret' && v === '')) continue;
    out[f.key] = typeof v === 'string' ? v.trim() : v;
  }
  return out;
}
