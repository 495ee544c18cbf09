import { theme, type ThemeConfig } from 'antd';

export const FONT =
  '"PingFang SC", "Microsoft YaHei", "Noto Sans SC", "Noto Sans CJK SC", -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';

/** Ant Design's tokens for both themes; styles.css holds the same values for our own parts. */
export function themeConfig(dark: boolean): ThemeConfig {
  return {
    algorithm: dark ? theme.darkAlgorithm : theme.defaultAlgorithm,
    token: {
      fontFamily: FONT,
      fontFamilyCode: '"SF Mono", "Cascadia Mono", Consolas, "Noto Sans Mono", "DejaVu Sans Mono", monospace',
      fontSize: 13,
      borderRadius: 6,
      controlHeight: 30,
      // Off rather than short: a dialog whose animation ends before it is listened for stays, unseen, over the page.
      motion: !window.matchMedia('(prefers-reduced-motion: reduce)').matches,
      motionDurationMid: '0.12s',
      motionDurationSlow: '0.16s',
      wireframe: false,
      ...(dark
        ? {
            // The dark algorithm dims it: what comes out must be read on the page and under dark text.
            colorPrimary: '#4899f6',
            colorInfo: '#4899f6',
            colorError: '#ff7875',
            colorBgBase: '#0e1116',
            colorBgContainer: '#161b22',
            colorBgElevated: '#1c222b',
            colorBgLayout: '#0e1116',
            colorTextBase: '#e6e9ee',
            colorBorder: '#343c48',
            colorBorderSecondary: '#262d37',
            colorLink: '#6cb0f7',
            colorTextPlaceholder: '#8a95a6',
            colorTextDescription: '#a3adbb',
          }
        : {
            colorPrimary: '#0f66e6',
            colorInfo: '#0f66e6',
            // Darker under the pointer: a lighter blue is too faint to read on white.
            colorPrimaryHover: '#0b58c8',
            colorError: '#cf1322',
            colorBgLayout: '#f4f6f9',
            colorTextBase: '#1b2330',
            colorBorder: '#d5dbe3',
            colorBorderSecondary: '#e8ecf1',
            colorLink: '#0f62d6',
            colorTextPlaceholder: '#626d7c',
            colorTextDescription: '#5a6473',
          }),
    },
    components: {
      // White on the dark theme's blue and red is too faint to read.
      Button: { primaryShadow: 'none', defaultShadow: 'none', dangerShadow: 'none', ...(dark ? { primaryColor: '#0b1220', dangerColor: '#0b1220' } : {}) },
      // The track is darker than the page it lies on, or the chosen part is not told from the rest.
      Segmented: dark ? { trackBg: '#1c222b', itemSelectedBg: '#343c48' } : { trackBg: '#e6eaf0', itemSelectedBg: '#ffffff' },
      Modal: { titleFontSize: 16 },
      Form: { itemMarginBottom: 14, verticalLabelPadding: '0 0 4px' },
    },
  };
}
