"use strict";
// Where on the canvas a place of the map is, and which clip is where. Lengths are CSS pixels; the canvas has `ratio`
// pixels for each.

const EDGE = 28; // free at each side when the whole map is shown
const BUTTONS = 46; // the width of the column with the buttons
const BESIDE_BUTTONS = 64; // free at the right of a layout with ticks, whose last one they would hide
const BELOW = 40; // free at its lower edge, for the hours
const MOST_ZOOM = 400;
const view = { width: 1, height: 1, ratio: 1, zoom: 1, x: 0, y: 0 }; // x, y: the place in the middle
let extent = { x: farthest(0), y: farthest(1) };
let ticks = []; // of the layout that is shown
let meaning = ""; // what it says, for people
let rowNames = 0; // how wide the names of its rows are

function farthest(axis) {
  let most = 0.05; // of a map without extent, too
  for (let i = axis; i < places.length; i += 2) most = Math.max(most, Math.abs(places[i]));
  return most;
}

// What is left free around the whole map. Of a layout with ticks that is where these are written, as far as there is room.
function margins() {
  if (!ticks.length) return { left: EDGE, right: EDGE, top: EDGE, bottom: EDGE };
  return { left: Math.min(rowNames + 28, 0.3 * view.width), right: BESIDE_BUTTONS, top: EDGE, bottom: BELOW };
}

// Pixels for each unit of places, along and up. They are the same on the map; a layout with ticks fills the canvas.
function scales() {
  const { left, right, top, bottom } = margins();
  const x = Math.max((view.width - left - right) / 2 / extent.x, 10), y = Math.max((view.height - top - bottom) / 2 / extent.y, 10);
  const both = Math.min(x, y);
  return ticks.length ? { x: x * view.zoom, y: y * view.zoom } : { x: both * view.zoom, y: both * view.zoom };
}

// Where the place in the middle is.
function middle() {
  const { left, right, top, bottom } = margins();
  return { x: (left + view.width - right) / 2, y: (top + view.height - bottom) / 2 };
}

function onScreenX(place) {
  return (place - view.x) * scales().x + middle().x;
}

function onScreenY(place) {
  return (view.y - place) * scales().y + middle().y;
}

function screenX(clip) {
  return onScreenX(places[2 * clip]);
}

function screenY(clip) {
  return onScreenY(places[2 * clip + 1]);
}

function panBy(dx, dy) {
  const scale = scales();
  view.x = within(view.x - dx / scale.x);
  view.y = within(view.y + dy / scale.y);
}

// What is at (x, y) stays there.
function zoomBy(factor, x = middle().x, y = middle().y) {
  const before = scales(), { x: midX, y: midY } = middle();
  view.zoom = Math.min(MOST_ZOOM, Math.max(0.5, view.zoom * factor));
  const after = scales();
  view.x = within(view.x + (x - midX) * (1 / before.x - 1 / after.x));
  view.y = within(view.y - (y - midY) * (1 / before.y - 1 / after.y));
}

function within(place) {
  return Math.min(1.2, Math.max(-1.2, place));
}

function showWholeMap() {
  Object.assign(view, { zoom: 1, x: 0, y: 0 });
}

// Moves as little as needed for the clip to be well inside.
function bringIntoView(clip) {
  const margin = Math.min(60, view.width / 4, view.height / 4);
  const left = Math.max(margin, margins().left);
  const x = screenX(clip), y = screenY(clip);
  panBy(Math.min(Math.max(x, left), view.width - margin) - x, Math.min(Math.max(y, margin), view.height - margin) - y);
}

// --- which clip is near a point: a grid of cells, with the clips of each one behind the other ---

const CELLS = Math.max(1, Math.min(256, Math.ceil(Math.sqrt(count / 2)))); // along each axis
let grid = makeGrid();

function setLayout(name) {
  ({ places, ticks, meaning } = layouts[name]());
  const [across, up] = ticks.length ? [1, HIGH] : [0, 0]; // of a layout by time and place the whole day, and all rows
  extent = { x: Math.max(across, farthest(0)), y: Math.max(up, farthest(1)) };
  rowNames = Math.max(0, ...ticks.filter((tick) => tick.axis === "y").map((tick) => widthOf(tick.text)));
  grid = makeGrid();
  showWholeMap();
}

function cellAlong(place) {
  return Math.min(CELLS - 1, Math.max(0, Math.floor(((place + 1) / 2) * CELLS)));
}

function makeGrid() {
  const starts = new Uint32Array(CELLS * CELLS + 1);
  const cells = new Uint32Array(count);
  for (let clip = 0; clip < count; clip++) {
    cells[clip] = cellAlong(places[2 * clip + 1]) * CELLS + cellAlong(places[2 * clip]);
    starts[cells[clip] + 1]++;
  }
  for (let cell = 0; cell < CELLS * CELLS; cell++) starts[cell + 1] += starts[cell];
  const next = starts.slice();
  const clips = new Uint32Array(count);
  for (let clip = 0; clip < count; clip++) clips[next[cells[clip]]++] = clip;
  return { starts, clips };
}

// The shown clip nearest to (x, y) and at most `reach` away, or -1.
function clipAt(x, y, reach) {
  const scale = scales(), { x: midX, y: midY } = middle();
  const placeX = (x - midX) / scale.x + view.x;
  const placeY = view.y - (y - midY) / scale.y;
  let best = -1, least = reach * reach;
  for (let row = cellAlong(placeY - reach / scale.y); row <= cellAlong(placeY + reach / scale.y); row++) {
    const first = grid.starts[row * CELLS + cellAlong(placeX - reach / scale.x)];
    const last = grid.starts[row * CELLS + cellAlong(placeX + reach / scale.x) + 1];
    for (let i = first; i < last; i++) {
      const clip = grid.clips[i];
      const distance = ((places[2 * clip] - placeX) * scale.x) ** 2 + ((places[2 * clip + 1] - placeY) * scale.y) ** 2;
      if (distance <= least && shown[clip]) [best, least] = [clip, distance];
    }
  }
  return best;
}

// [{name, x, y}]: where most of the shown clips of each group are. Groups of fewer than three there have no place, and
// neither have those that are fewer than half of what is there, as the name would say something wrong of the others.
function placesOfNames(names, groupOf) {
  const across = 16, found = [];
  const cells = Array.from(names, () => new Uint32Array(across * across)), all = new Uint32Array(across * across);
  const cellOf = (place) => Math.min(across - 1, Math.max(0, Math.floor(((place + 1) / 2) * across)));
  const at = (clip) => cellOf(places[2 * clip + 1]) * across + cellOf(places[2 * clip]);
  for (let clip = 0; clip < count; clip++) {
    if (!shown[clip]) continue;
    all[at(clip)]++;
    if (groupOf[clip] < names.length) cells[groupOf[clip]][at(clip)]++;
  }
  for (const [group, name] of names.entries()) {
    const most = Math.max(...cells[group]);
    const cell = cells[group].indexOf(most);
    if (most < 3 || 2 * most < all[cell]) continue;
    let x = 0, y = 0;
    for (let clip = 0; clip < count; clip++) {
      if (shown[clip] && groupOf[clip] === group && at(clip) === cell) {
        x += places[2 * clip] / most;
        y += places[2 * clip + 1] / most;
      }
    }
    found.push({ name, x, y });
  }
  return found;
}

// The shown clip that comes next from `clip` in a direction ([1, 0] is right, [0, 1] up), within 45 degrees of it and
// rather straight on than aside; -1 where there is none.
function clipTowards(clip, [right, up]) {
  let best = -1, least = Infinity;
  const scale = scales();
  for (let other = 0; other < count; other++) {
    if (!shown[other] || other === clip) continue;
    const dx = (places[2 * other] - places[2 * clip]) * scale.x;
    const dy = (places[2 * other + 1] - places[2 * clip + 1]) * scale.y;
    const along = dx * right + dy * up, aside = Math.abs(dx * up) + Math.abs(dy * right);
    if (along <= 0 || aside > along) continue;
    const cost = along + 2 * aside;
    if (cost < least) [best, least] = [other, cost];
  }
  return best;
}

// The shown clip nearest to the middle of the canvas, or -1.
function clipInTheMiddle() {
  let best = -1, least = Infinity;
  const scale = scales();
  for (let clip = 0; clip < count; clip++) {
    const distance = ((places[2 * clip] - view.x) * scale.x) ** 2 + ((places[2 * clip + 1] - view.y) * scale.y) ** 2;
    if (shown[clip] && distance < least) [best, least] = [clip, distance];
  }
  return best;
}
