"use strict";
// Where on the canvas a place of the map is, and which clip is where. Lengths are CSS pixels; the canvas has `ratio`
// pixels for each.

const EDGE = 28; // free at each side when the whole map is shown
const MOST_ZOOM = 400;
const view = { width: 1, height: 1, ratio: 1, zoom: 1, x: 0, y: 0 }; // x, y: the place in the middle
let extent = { x: farthest(0), y: farthest(1) };
let ticks = []; // of the layout that is shown

function farthest(axis) {
  let most = 0.05; // of a map without extent, too
  for (let i = axis; i < places.length; i += 2) most = Math.max(most, Math.abs(places[i]));
  return most;
}

function pixelsPerUnit() {
  const fit = Math.min((view.width / 2 - EDGE) / extent.x, (view.height / 2 - EDGE) / extent.y);
  return Math.max(fit, 10) * view.zoom;
}

function screenX(clip) {
  return (places[2 * clip] - view.x) * pixelsPerUnit() + view.width / 2;
}

function screenY(clip) {
  return (view.y - places[2 * clip + 1]) * pixelsPerUnit() + view.height / 2;
}

function panBy(dx, dy) {
  const scale = pixelsPerUnit();
  view.x = within(view.x - dx / scale);
  view.y = within(view.y + dy / scale);
}

// What is at (x, y) stays there.
function zoomBy(factor, x = view.width / 2, y = view.height / 2) {
  const before = pixelsPerUnit();
  view.zoom = Math.min(MOST_ZOOM, Math.max(0.5, view.zoom * factor));
  const after = pixelsPerUnit();
  view.x = within(view.x + (x - view.width / 2) * (1 / before - 1 / after));
  view.y = within(view.y - (y - view.height / 2) * (1 / before - 1 / after));
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
  const x = screenX(clip), y = screenY(clip);
  panBy(Math.min(Math.max(x, margin), view.width - margin) - x, Math.min(Math.max(y, margin), view.height - margin) - y);
}

// --- which clip is near a point: a grid of cells, with the clips of each one behind the other ---

const CELLS = Math.max(1, Math.min(256, Math.ceil(Math.sqrt(count / 2)))); // along each axis
let grid = makeGrid();

function setLayout(name) {
  ({ places, ticks } = layouts[name]());
  extent = { x: farthest(0), y: farthest(1) };
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
  const scale = pixelsPerUnit();
  const placeX = (x - view.width / 2) / scale + view.x;
  const placeY = view.y - (y - view.height / 2) / scale;
  const radius = reach / scale;
  let best = -1, least = radius * radius;
  for (let row = cellAlong(placeY - radius); row <= cellAlong(placeY + radius); row++) {
    const first = grid.starts[row * CELLS + cellAlong(placeX - radius)];
    const last = grid.starts[row * CELLS + cellAlong(placeX + radius) + 1];
    for (let i = first; i < last; i++) {
      const clip = grid.clips[i];
      const distance = (places[2 * clip] - placeX) ** 2 + (places[2 * clip + 1] - placeY) ** 2;
      if (distance <= least && shown[clip]) [best, least] = [clip, distance];
    }
  }
  return best;
}

// [{name, x, y}]: where most of the shown clips of each group are; groups of fewer than three have no place.
function placesOfNames(names, groupOf) {
  const across = 16, found = [];
  const cells = Array.from(names, () => new Uint32Array(across * across));
  const cellOf = (place) => Math.min(across - 1, Math.max(0, Math.floor(((place + 1) / 2) * across)));
  const at = (clip) => cellOf(places[2 * clip + 1]) * across + cellOf(places[2 * clip]);
  for (let clip = 0; clip < count; clip++) if (shown[clip] && groupOf[clip] < names.length) cells[groupOf[clip]][at(clip)]++;
  for (const [group, name] of names.entries()) {
    const most = Math.max(...cells[group]);
    if (most < 3) continue;
    const cell = cells[group].indexOf(most);
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
  for (let other = 0; other < count; other++) {
    if (!shown[other] || other === clip) continue;
    const dx = places[2 * other] - places[2 * clip], dy = places[2 * other + 1] - places[2 * clip + 1];
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
  for (let clip = 0; clip < count; clip++) {
    const distance = (places[2 * clip] - view.x) ** 2 + (places[2 * clip + 1] - view.y) ** 2;
    if (shown[clip] && distance < least) [best, least] = [clip, distance];
  }
  return best;
}
