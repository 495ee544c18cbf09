/** Two small methods that Chromium 90 lacks and our libraries call; the compiler lowers syntax, not methods. */
function at<T>(this: ArrayLike<T>, n: number): T | undefined {
  const i = Math.trunc(n) || 0;
  return this[i < 0 ? this.length + i : i];
}
for (const proto of [Array.prototype, String.prototype] as object[]) {
  if (!('at' in proto)) Object.defineProperty(proto, 'at', { value: at, writable: true, configurable: true });
}
if (!('hasOwn' in Object)) {
  Object.defineProperty(Object, 'hasOwn', {
    value: (o: object, k: PropertyKey) => Object.prototype.hasOwnProperty.call(o, k),
    writable: true,
    configurable: true,
  });
}
