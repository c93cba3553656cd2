"use strict";
// Groups of clips and their colours. Ten hues that differ in normal, protanopic and deuteranopic sight, and have a
// contrast of 3:1 with the ground, light or dark; smaller groups share a grey.

const GROUPS = 10; // the number of the group of all others, too
const PALETTES = {
  light: ["#2c3fd0", "#8b3f03", "#036946", "#a62390", "#1997c4", "#79792b", "#736cf6", "#f24e73", "#35967b", "#59a008"],
  dark: ["#2e71f6", "#fa960b", "#11da97", "#cb42b2", "#48d3fd", "#956c12", "#9294fc", "#cd7579", "#a2f5d9", "#d0f421"],
};
const OTHERS = { light: "#a9a7a2", dark: "#5d626a" };
const GROUNDS = { light: "#faf9f7", dark: "#15171a" };
const INKS = { light: "#1d1e20", dark: "#e8e6e3" };
const FAINT = { light: "#e9e7e3", dark: "#24272c" };

// matplotlib's magma in 64 steps.
const MAGMA =
  "00000402010903031206051a0a08220e0b2b130d34180f3d1d114722115029115a2f116336106b3d0f71440f764a107952137c59157e5f187f65" +
  "1a806b1d81721f817822817e24828426818b2981912b81982d809e2f7fa5317eab337cb2357bba3878c03a76c73d73cd4071d3436ed9466bdf4a" +
  "68e44f64e95462ed5a5ff1605df4675cf66e5cf8765cfa7d5efb8560fc8e64fd9668fe9d6cfea571feac76feb47bfebb81fec287feca8dfed194" +
  "fed89afde0a1fde7a9fceeb0fcf6b8fcfdbf";
const HEAT = Uint32Array.from({ length: MAGMA.length / 6 }, (_, i) => wordOf(`#${MAGMA.slice(6 * i, 6 * i + 6)}`));

// "#rrggbb" as a pixel.
function wordOf(colour) {
  const value = parseInt(colour.slice(1), 16);
  return (0xff000000 | ((value & 0xff) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}

// {names: of the groups, largest first; groupOf: a group per clip, GROUPS for all others; rest: what these are called,
// which is `unknown` where there are no small groups among them}
function grouped(nameOf, unknown) {
  const names = Array.from({ length: count }, (_, clip) => nameOf(clip));
  const sizes = new Map();
  for (const name of names) sizes.set(name, (sizes.get(name) ?? 0) + 1);
  sizes.delete(null);
  const largest = [...sizes].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, GROUPS);
  const numbers = new Map(largest.map(([name], number) => [name, number]));
  return {
    names: largest.map(([name]) => name),
    rest: sizes.size > GROUPS ? "other" : unknown,
    groupOf: Uint8Array.from(names, (name) => numbers.get(name) ?? GROUPS),
  };
}

// The three hours of the day in which a clip was recorded.
function hoursOf(clip) {
  if (Number.isNaN(recorded[clip])) return null;
  const from = 3 * Math.floor((recorded[clip] % 86400) / 10800);
  return `${from} to ${from + 3} h`;
}

const groupings = {
  tag: grouped((clip) => (distinctive[clip] < 0 ? null : data.labels[distinctive[clip]]), "no tag"),
  folder: grouped((clip) => data.folders[folderOf[clip]].split("/")[0] || "(top folder)"),
  ...(siteOf !== null && { site: grouped((clip) => data.sites[siteOf[clip]] ?? null, "no site") }),
  ...(recorded !== null && { hour: grouped(hoursOf, "no time") }),
};
