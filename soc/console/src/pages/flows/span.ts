/** The range flows are looked at over, unless another is chosen. */
export const SPAN = '1h';
