/** Heights of the parts of a long list: those that were drawn as they were, others as high as the drawn ones are for their rows. */
const ROW = 29;

export class Heights {
  private readonly taken = new Map<number, number>();
  private height = 0;
  private counted = 0;
  constructor(
    readonly parts: number,
    private readonly rows: number,
    private readonly size: number,
  ) {}

  private rowsOf(i: number): number {
    return Math.max(0, Math.min(this.size, this.rows - i * this.size));
  }

  take(i: number, height: number): void {
    if (height <= 0 || i >= this.parts || this.taken.get(i) === height) return;
    const had = this.taken.get(i);
    this.height += height - (had ?? 0);
    if (had === undefined) this.counted += this.rowsOf(i);
    this.taken.set(i, height);
  }

  /** What a row that was not drawn yet is taken to need. */
  get row(): number {
    return this.counted > 0 ? this.height / this.counted : ROW;
  }

  /** The height of all parts before this one. */
  upTo(part: number): number {
    const n = Math.max(0, Math.min(part, this.parts));
    let sum = 0;
    let rows = Math.min(n * this.size, this.rows);
    for (const [i, h] of this.taken)
      if (i < n) {
        sum += h;
        rows -= this.rowsOf(i);
      }
    return sum + rows * this.row;
  }

  /** The parts that lie between two places, at least one. */
  between(from: number, to: number): [number, number] {
    const { row } = this;
    let first = -1;
    let y = 0;
    for (let i = 0; i < this.parts; i++) {
      const end = y + (this.taken.get(i) ?? this.rowsOf(i) * row);
      if (first < 0 && end > from) first = i;
      if (end >= to) return [Math.max(0, first), i];
      y = end;
    }
    const last = Math.max(0, this.parts - 1);
    return [first < 0 ? last : first, last];
  }
}
