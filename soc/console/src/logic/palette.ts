/** Colours that tell series apart, also to colour-blind eyes; none of them is red, which is severity's. */
export const SERIES = {
  light: ['#1677ff', '#d48806', '#13a8a8', '#7a4fcf', '#5b8c00', '#c25590', '#5a6473', '#0f4c9c'],
  dark: ['#4a97f5', '#e5b53a', '#3ec7c2', '#a98bf0', '#98c65a', '#e58ebb', '#a3adbb', '#8fc1ff'],
};

/** The same without amber, where amber tells what failed. */
export const CALM = { light: SERIES.light.filter((c) => c !== '#d48806'), dark: SERIES.dark.filter((c) => c !== '#e5b53a') };
