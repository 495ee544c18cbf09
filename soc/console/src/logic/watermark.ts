import { absolute } from './format';

/** Where the tiles of a watermark stand. */
export interface Tile {
  x: number;
  y: number;
}

export const ANGLE = (-22 * Math.PI) / 180;

/**
 * The tiles that cover a page of this size: rows are shifted by half a tile,
 * so that no crop of a screenshot falls between them.
 */
export function tiles(width: number, height: number, tileWidth: number, tileHeight: number): Tile[] {
  const out: Tile[] = [];
  for (let row = 0, y = tileHeight / 3; y < height + tileHeight; row++, y += tileHeight) {
    for (let x = row % 2 === 0 ? tileWidth / 6 : -tileWidth / 3; x < width + tileWidth; x += tileWidth) out.push({ x, y });
  }
  return out;
}

/** A minute as the watermark states it: 2026-11-25 21:10. */
export function minute(now: number): string {
  return absolute(now).slice(0, 16);
}
