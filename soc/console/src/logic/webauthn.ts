/**
 * WebAuthn between the server's JSON and the browser's buffers. Newer browsers
 * do this themselves (parseCreationOptionsFromJSON, toJSON); those on Chromium
 * 90 do not.
 */

export function toBytes(base64url: string): ArrayBuffer {
  const text = atob(base64url.replace(/-/g, '+').replace(/_/g, '/'));
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes.buffer;
}

export function fromBytes(buffer: ArrayBuffer | null | undefined): string {
  if (!buffer) return '';
  let text = '';
  for (const b of new Uint8Array(buffer)) text += String.fromCharCode(b);
  return btoa(text).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}

type JSONObject = Record<string, unknown>;
interface Descriptor {
  id: string;
  type: PublicKeyCredentialType;
  transports?: AuthenticatorTransport[];
}
const descriptors = (list: unknown) => ((list as Descriptor[] | undefined) ?? []).map((d) => ({ ...d, id: toBytes(d.id) }));

/** The server's creation options as navigator.credentials.create wants them. */
export function creationOptions(publicKey: JSONObject): PublicKeyCredentialCreationOptions {
  const user = publicKey.user as { id: string };
  return {
    ...(publicKey as unknown as PublicKeyCredentialCreationOptions),
    challenge: toBytes(publicKey.challenge as string),
    user: { ...(publicKey.user as object), id: toBytes(user.id) } as PublicKeyCredentialUserEntity,
    excludeCredentials: descriptors(publicKey.excludeCredentials),
  };
}

/** And its request options for navigator.credentials.get. */
export function requestOptions(publicKey: JSONObject): PublicKeyCredentialRequestOptions {
  return {
    ...(publicKey as unknown as PublicKeyCredentialRequestOptions),
    challenge: toBytes(publicKey.challenge as string),
    allowCredentials: descriptors(publicKey.allowCredentials),
  };
}

/** What the browser answered, as the server reads it. */
export function credentialJSON(c: PublicKeyCredential): JSONObject {
  const r = c.response as AuthenticatorAttestationResponse & AuthenticatorAssertionResponse;
  const response: JSONObject = { clientDataJSON: fromBytes(r.clientDataJSON) };
  if (r.attestationObject) {
    response.attestationObject = fromBytes(r.attestationObject);
    if (typeof r.getTransports === 'function') response.transports = r.getTransports();
  } else {
    response.authenticatorData = fromBytes(r.authenticatorData);
    response.signature = fromBytes(r.signature);
    if (r.userHandle) response.userHandle = fromBytes(r.userHandle);
  }
  return {
    id: c.id,
    rawId: fromBytes(c.rawId),
    type: c.type,
    response,
    clientExtensionResults: c.getClientExtensionResults() as JSONObject,
    ...(c.authenticatorAttachment ? { authenticatorAttachment: c.authenticatorAttachment } : {}),
  };
}

/** Browsers offer security keys to secure contexts alone. */
export function webauthnOffered(): boolean {
  return typeof window !== 'undefined' && window.isSecureContext && 'PublicKeyCredential' in window && !!navigator.credentials;
}
