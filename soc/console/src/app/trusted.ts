/**
 * The page's content security policy: what our libraries need to run under it.
 *
 * `nonce` marks the style elements that Ant Design adds while the page runs;
 * the policy allows no others. A browser shows it to scripts of the page only,
 * as a property and never as an attribute.
 */
export const nonce = document.querySelector<HTMLMetaElement>('meta[property=csp-nonce]')?.nonce ?? '';

/**
 * Some of its parts (the lock on scrolling behind a dialog) make their style
 * elements without asking for the nonce. Who can call this runs as a script of
 * the page already, so it opens nothing that was shut.
 */
const create = document.createElement.bind(document);
document.createElement = ((name: string, options?: ElementCreationOptions) => {
  const element = create(name, options);
  if (element instanceof HTMLStyleElement) element.nonce = nonce;
  return element;
}) as typeof document.createElement;

interface TrustedTypes {
  createPolicy(name: string, rules: { createHTML(text: string): string | null }): unknown;
}

/**
 * Libraries write the text of style elements through innerHTML. That passes;
 * markup does not, whoever tries to write it: the console builds its pages from
 * elements, so HTML in a string can only be an attempt to smuggle some in.
 */
const trusted = (window as { trustedTypes?: TrustedTypes }).trustedTypes;
trusted?.createPolicy('default', { createHTML: (text) => (text.includes('<') ? null : text) });
