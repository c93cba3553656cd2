"use strict";
// Where clips lie: on the map that was made, by time of day and date, or by site and time of day. A layout has `places`,
// `ticks`, [{axis: "x" or "y", at, text, ends: whether the text ends there}], of which the later ones give way where there
// is no room, and a `meaning` for people.

const DAY = 86400;
const HIGH = 0.6; // rows lie from here to -HIGH
const UNKNOWN = -1.16; // x of the clips whose time is unknown
const layouts = {
  map: () => ({
    places: table(Float32Array, data.places),
    ticks: [],
    meaning: "Each dot is a clip; clips that sound alike to the net lie close together.",
  }),
};
if (recorded !== null) layouts.dates = byDates;
if (siteOf !== null) layouts.sites = bySites;

function timeOfDay(clip) {
  return recorded[clip] - DAY * Math.floor(recorded[clip] / DAY);
}

// Spreads the clips of a row, always the same way, from -0.5 to 0.5.
function spread(clip) {
  return ((clip * 0.6180339887) % 1) - 0.5;
}

function rowPlace(row, rows) {
  return rows < 2 ? 0 : HIGH - (2 * HIGH * row) / (rows - 1);
}

function inRows(rowOf, rows, xOf) {
  const thick = Math.min(0.1, (1.2 * HIGH) / rows);
  const found = new Float32Array(2 * count);
  for (let clip = 0; clip < count; clip++) {
    found[2 * clip] = xOf(clip);
    found[2 * clip + 1] = rowPlace(rowOf(clip), rows) + thick * spread(clip);
  }
  return found;
}

function acrossDay(clip) {
  return Number.isNaN(recorded[clip]) ? UNKNOWN + 0.06 * ((clip * 0.7548776662) % 1) - 0.03 : (2 * timeOfDay(clip)) / DAY - 1;
}

function hourTicks() {
  const ticks = [];
  for (let hour = 24; hour >= 0; hour -= 3) {
    ticks.push({ axis: "x", at: hour / 12 - 1, text: `${String(hour).padStart(2, "0")}:00` });
  }
  return ticks;
}

// Where a row has clips whose time is unknown.
function noTime() {
  return recorded.some(Number.isNaN) ? [{ axis: "x", at: UNKNOWN, text: "no time", ends: true }] : [];
}

function byDates() {
  const days = Float64Array.from(recorded, (moment) => Math.floor(moment / DAY));
  const known = days.filter((day) => !Number.isNaN(day));
  const first = known.reduce((a, b) => Math.min(a, b)), dated = known.reduce((a, b) => Math.max(a, b)) - first + 1;
  const rows = known.length < count ? dated + 1 : dated; // the last of those whose date is unknown
  const step = Math.ceil(rows / 10);
  const ticks = hourTicks();
  if (rows > dated) ticks.push({ axis: "y", at: rowPlace(dated, rows), text: "no date" });
  for (let row = 0; row < dated; row += step) {
    const text = new Date(1000 * DAY * (first + row)).toISOString().slice(0, 10);
    ticks.push({ axis: "y", at: rowPlace(row, rows), text });
  }
  const rowOf = (clip) => (Number.isNaN(days[clip]) ? dated : days[clip] - first);
  const meaning = "Each dot is a clip: the higher the earlier its date, and from left to right by its time of day.";
  return { places: inRows(rowOf, rows, acrossDay), ticks, meaning };
}

function bySites() {
  const rows = data.sites.length + (siteOf.includes(-1) ? 1 : 0); // the last of those that are unknown
  const names = [...data.sites, "no site"].slice(0, rows);
  const ticks = names.map((text, row) => ({ axis: "y", at: rowPlace(row, rows), text }));
  const xOf = recorded === null ? (clip) => 2 * ((clip * 0.7548776662) % 1) - 1 : acrossDay;
  return {
    places: inRows((clip) => (siteOf[clip] < 0 ? rows - 1 : siteOf[clip]), rows, xOf),
    ticks: recorded === null ? ticks : [...ticks, ...noTime(), ...hourTicks()],
    meaning: `Each dot is a clip, in the row of its site${recorded === null ? "" : ", from left to right by its time of day"}.`,
  };
}
