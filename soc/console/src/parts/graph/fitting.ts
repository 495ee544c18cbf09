import type { Graph } from '@antv/g6';

/** Shows all of a picture in the middle of its frame, no larger than `most`. */
export async function fitWhole(g: Graph, most: number): Promise<void> {
  await g.fitView();
  if (g.getZoom() > most) {
    await g.zoomTo(most);
    await g.fitCenter();
  }
  // The camera of G6 keeps its old place along an axis on which it is to stand at 0: half a pixel beside it does.
  const { center } = g.getCanvas().getBounds();
  const at = g.getViewportByCanvas([center[0], center[1]]);
  const middle = g.getCanvasCenter();
  const by: [number, number] = [middle[0] - at[0], middle[1] - at[1]];
  if (Math.hypot(...by) > 2) await g.translateBy([by[0] + 0.5, by[1] + 0.5]);
}

/**
 * Follows the size of a picture's frame, which is not known when the page opens and
 * changes with what stands beside it. resized is told whether the hand left the
 * picture as it was fitted: then it is fitted anew. Answers what ends it.
 */
export function followFrame(box: HTMLElement, resized: (width: number, height: number, untouched: boolean) => void): () => void {
  let untouched = true;
  const touched = () => {
    untouched = false;
  };
  let last = `${box.clientWidth} ${box.clientHeight}`;
  const watch = new ResizeObserver(() => {
    const { clientWidth: w, clientHeight: h } = box;
    if (w === 0 || h === 0 || last === `${w} ${h}`) return;
    last = `${w} ${h}`;
    resized(w, h, untouched);
  });
  watch.observe(box);
  box.addEventListener('wheel', touched, { passive: true });
  box.addEventListener('pointerdown', touched);
  return () => {
    watch.disconnect();
    box.removeEventListener('wheel', touched);
    box.removeEventListener('pointerdown', touched);
  };
}
