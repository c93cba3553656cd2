// The colours of explore's page: hues that differ in normal, protanopic and deuteranopic sight, and have a contrast of
// 3:1 with the ground, light or dark; and matplotlib's magma.

const PALETTES = {
  light: ["#2c3fd0", "#8b3f03", "#036946", "#a62390", "#1997c4", "#79792b", "#736cf6", "#f24e73", "#35967b", "#59a008"],
  dark: ["#2e71f6", "#fa960b", "#11da97", "#cb42b2", "#48d3fd", "#956c12", "#9294fc", "#cd7579", "#a2f5d9", "#d0f421"],
};
const MAGMA =
  "00000402010903031206051a0a08220e0b2b130d34180f3d1d114722115029115a2f116336106b3d0f71440f764a107952137c59157e5f187f65" +
  "1a806b1d81721f817822817e24828426818b2981912b81982d809e2f7fa5317eab337cb2357bba3878c03a76c73d73cd4071d3436ed9466bdf4a" +
  "68e44f64e95462ed5a5ff1605df4675cf66e5cf8765cfa7d5efb8560fc8e64fd9668fe9d6cfea571feac76feb47bfebb81fec287feca8dfed194" +
  "fed89afde0a1fde7a9fceeb0fcf6b8fcfdbf";
export const HEAT = Uint32Array.from({ length: MAGMA.length / 6 }, (_, i) => wordOf(MAGMA.slice(6 * i, 6 * i + 6)));

const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
let chosen = null; // "light" or "dark"; null as the system has it

export function theme() {
  return chosen ?? (prefersDark.matches ? "dark" : "light");
}

export const palette = () => PALETTES[theme()];

export function followTheme() {
  document.documentElement.dataset.theme = theme();
}

export function switchTheme() {
  chosen = theme() === "dark" ? "light" : "dark";
  followTheme();
}

// `changed` is called when the system's preference changes.
export function watchTheme(changed) {
  followTheme();
  prefersDark.addEventListener("change", () => {
    followTheme();
    changed();
  });
}

// "rrggbb" as a pixel.
function wordOf(colour) {
  const value = parseInt(colour, 16);
  return (0xff000000 | ((value & 0xff) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}
