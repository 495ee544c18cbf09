/** The first steps can be put off for this visit; the next one asks again. */
const KEY = 'icewatch.setup.later';

export function setupPutOff(): boolean {
  try {
    return sessionStorage.getItem(KEY) === '1';
  } catch {
    return false;
  }
}
export function putSetupOff(): void {
  try {
    sessionStorage.setItem(KEY, '1');
  } catch {
    // Without storage it is asked again at the next page load.
  }
}
