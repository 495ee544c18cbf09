import { useEffect } from 'react';
import { serverNow } from '../api/client';
import { useUI } from '../api/ui';
import { list } from '../api/types';
import { ANGLE, minute, tiles } from '../logic/watermark';
import { useNow } from './hooks';
import { useSettings } from './settings';
import { FONT } from './theme';

const LINE = 19;
const TILE_HEIGHT = 170;

/** The styles that make the overlay what it is; each is put back when it is changed. */
const STYLE: Record<string, string> = {
  position: 'fixed',
  inset: '0',
  width: '100vw',
  height: '100vh',
  'pointer-events': 'none',
  'z-index': '2147483647',
  display: 'block',
  visibility: 'visible',
  opacity: '1',
  transform: 'none',
  filter: 'none',
  'clip-path': 'none',
};

function draw(canvas: HTMLCanvasElement, lines: readonly string[], opacity: number, dark: boolean): void {
  const scale = window.devicePixelRatio || 1;
  const { innerWidth: w, innerHeight: h } = window;
  canvas.width = Math.round(w * scale);
  canvas.height = Math.round(h * scale);
  const g = canvas.getContext('2d');
  if (!g) return;
  g.scale(scale, scale);
  g.font = `14px ${FONT}`;
  g.fillStyle = dark ? '#ffffff' : '#000000';
  g.globalAlpha = opacity;
  g.textBaseline = 'middle';
  const width = Math.max(...lines.map((l) => g.measureText(l).width)) + 110;
  for (const t of tiles(w, h, width, TILE_HEIGHT)) {
    g.save();
    g.translate(t.x, t.y);
    g.rotate(ANGLE);
    lines.forEach((l, i) => g.fillText(l, 0, i * LINE));
    g.restore();
  }
}

/**
 * Lays the user's name and the time over every page and dialog. It deters and
 * traces; it is no lock: who removes it by hand sees it come back, and the
 * server knows what was read in any case.
 */
export function Watermark() {
  const { dark } = useSettings();
  const ui = useUI().data;
  const now = useNow(60);
  const mark = ui?.watermark;
  const lines = mark?.enabled ? [...list(mark.lines), ...(mark.show_time ? [minute(now || serverNow())] : [])].filter(Boolean) : [];
  const text = lines.join('\n');
  const opacity = mark?.opacity ?? 0.12;
  useEffect(() => {
    if (!text) return undefined;
    let canvas: HTMLCanvasElement;
    let stopped = false;
    const watcher = new MutationObserver(() => restore());
    const style = () => {
      for (const [k, v] of Object.entries(STYLE)) canvas.style.setProperty(k, v, 'important');
    };
    const put = () => {
      canvas = document.createElement('canvas');
      canvas.setAttribute('aria-hidden', 'true');
      canvas.dataset.testid = 'watermark';
      style();
      draw(canvas, text.split('\n'), opacity, dark);
      document.body.appendChild(canvas);
      watch();
    };
    const watch = () => {
      watcher.disconnect();
      watcher.observe(document.body, { childList: true });
      watcher.observe(document.documentElement, { childList: true });
      watcher.observe(canvas, { attributes: true });
    };
    const restore = () => {
      if (stopped) return;
      const whole = canvas.isConnected && canvas.parentElement === document.body && canvas.width > 0 && !canvas.hidden && Object.entries(STYLE).every(([k, v]) => canvas.style.getPropertyPriority(k) === 'important' && same(canvas.style.getPropertyValue(k), v));
      if (whole) return;
      watcher.disconnect();
      canvas.remove();
      put();
    };
    put();
    // What no observer tells: a style sheet that hides it, or a clock that was stopped.
    const timer = setInterval(() => {
      const shown = canvas.isConnected && getComputedStyle(canvas);
      if (!shown || shown.display === 'none' || shown.visibility === 'hidden' || Number(shown.opacity) < 1) {
        watcher.disconnect();
        canvas.remove();
        put();
      }
    }, 2000);
    const resize = () => {
      watcher.disconnect();
      draw(canvas, text.split('\n'), opacity, dark);
      watch();
    };
    window.addEventListener('resize', resize);
    return () => {
      stopped = true;
      window.removeEventListener('resize', resize);
      clearInterval(timer);
      watcher.disconnect();
      canvas.remove();
    };
  }, [text, opacity, dark]);
  return null;
}

/** Browsers write a style back in their own spelling (0 as 0px). */
function same(now: string, wanted: string): boolean {
  return now === wanted || now === `${wanted}px`;
}
