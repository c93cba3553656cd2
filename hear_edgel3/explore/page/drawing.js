"use strict";
// Draws the dots. They are set pixel by pixel, from small masks: tens of thousands in a few milliseconds, without a GPU.

const canvas = document.getElementById("map");
const pixels = canvas.getContext("2d", { alpha: false });
const SUB = 4; // a dot's centre is rounded to a quarter of a pixel, each way
const RINGED = 4000; // with up to this many clips, dots that overlap are kept apart by a ring of the ground's colour
let frame = null; // ImageData of the canvas
let words = null; // its pixels, one 32-bit word each
const masks = new Map(); // by radius in eighths of a pixel

function fitCanvas(element) {
  const ratio = window.devicePixelRatio || 1;
  const { width, height } = element.getBoundingClientRect();
  element.width = Math.max(1, Math.round(width * ratio));
  element.height = Math.max(1, Math.round(height * ratio));
  return { width: Math.max(1, width), height: Math.max(1, height), ratio };
}

// The radius of a dot in CSS pixels: small where there are many, larger when one zooms in.
function dotRadius() {
  const base = Math.min(6, Math.max(1.6, 90 / Math.sqrt(count)));
  return Math.min(Math.max(7, base), base * view.zoom ** 0.4);
}

// Draws all clips; `colours` has a 32-bit word per group, `groupOf` a group per clip. Those with a label have a ring of
// the colour of ink.
function drawDots(groupOf, colours, { ground, faint, ink }) {
  const { ratio } = view;
  if (frame === null || frame.width !== canvas.width || frame.height !== canvas.height) {
    frame = pixels.createImageData(canvas.width, canvas.height);
    words = new Uint32Array(frame.data.buffer);
  }
  words.fill(ground);
  const radius = dotRadius() * ratio;
  const disc = maskOf(radius), ring = maskOf(radius + ratio), outer = maskOf(radius + (count <= RINGED ? 2.5 : 1.5) * ratio);
  const scaleX = scales().x * ratio, scaleY = scales().y * ratio;
  const left = onScreenX(0) * ratio, top = onScreenY(0) * ratio;
  const { width, height } = frame;
  // First the clips that are filtered out, then those in no group of their own, then the others.
  for (let pass = 0; pass < 3; pass++) {
    for (let clip = 0; clip < count; clip++) {
      const kind = shown[clip] ? (groupOf[clip] === GROUPS ? 1 : 2) : 0;
      if (kind !== pass) continue;
      const x = places[2 * clip] * scaleX + left, y = top - places[2 * clip + 1] * scaleY;
      if (x < -20 || y < -20 || x > width + 20 || y > height + 20) continue;
      if (pass > 0 && isLabelled[clip]) stamp(outer, x, y, ink, width, height);
      if (pass > 0 && count <= RINGED) stamp(ring, x, y, ground, width, height);
      stamp(disc, x, y, pass ? colours[groupOf[clip]] : faint, width, height);
    }
  }
  pixels.putImageData(frame, 0, 0);
}

// How much of each pixel a disc covers, 0 to 255, for each of SUB * SUB places of its centre within a pixel.
function maskOf(radius) {
  const key = Math.round(radius * 8);
  if (masks.has(key)) return masks.get(key);
  const reach = Math.ceil(radius) + 1, size = 2 * reach + 1;
  const cover = new Uint8Array(SUB * SUB * size * size);
  let i = 0;
  for (let sub = 0; sub < SUB * SUB; sub++) {
    const centreX = reach + (sub % SUB) / SUB, centreY = reach + Math.floor(sub / SUB) / SUB;
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        cover[i++] = 255 * Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(x - centreX, y - centreY)));
      }
    }
  }
  const mask = { cover, size, reach };
  masks.set(key, mask);
  return mask;
}

function stamp(mask, x, y, colour, width, height) {
  const { cover, size, reach } = mask;
  const quarterX = Math.round(x * SUB), quarterY = Math.round(y * SUB);
  const left = (quarterX >> 2) - reach, top = (quarterY >> 2) - reach;
  let from = ((quarterY & 3) * SUB + (quarterX & 3)) * size * size;
  for (let row = top; row < top + size; row++) {
    if (row < 0 || row >= height) {
      from += size;
      continue;
    }
    const start = row * width;
    for (let column = left; column < left + size; column++, from++) {
      const alpha = cover[from];
      if (alpha === 0 || column < 0 || column >= width) continue;
      words[start + column] = alpha === 255 ? colour : mixed(words[start + column], colour, alpha);
    }
  }
}

// `over` on `under`; red and blue are mixed in one multiplication, green in another.
function mixed(under, over, alpha) {
  const rest = 256 - alpha;
  const redBlue = (Math.imul(under & 0xff00ff, rest) + Math.imul(over & 0xff00ff, alpha)) >>> 8;
  const green = (Math.imul(under & 0x00ff00, rest) + Math.imul(over & 0x00ff00, alpha)) >>> 8;
  return (0xff000000 | (redBlue & 0xff00ff) | (green & 0x00ff00)) >>> 0;
}

// --- what is marked, on a canvas above: the chosen clip, lines to its nearest, and what the pointer is at ---

const marks = document.getElementById("marks");
const pen = marks.getContext("2d");

function drawMarks(chosen, hovered, style) {
  const { ratio } = view;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, view.width, view.height);
  const radius = dotRadius();
  if (chosen >= 0) {
    pen.strokeStyle = style.line;
    pen.lineWidth = 1.25;
    for (const { clip } of neighboursOf(chosen)) {
      pen.globalAlpha = shown[clip] ? 0.75 : 0.3;
      pen.beginPath();
      pen.moveTo(screenX(chosen), screenY(chosen));
      pen.lineTo(screenX(clip), screenY(clip));
      pen.stroke();
    }
    pen.globalAlpha = 1;
    circle(chosen, radius + 1, style.dotOf(chosen), style.ground, 2);
    circle(chosen, radius + 4, null, style.accent, 2.5);
  }
  for (let clip = 0; clip < count; clip++) {
    if (selected[clip] && shown[clip]) circle(clip, radius + 3, null, style.accent, 2);
  }
  if (lasso !== null) outline(lasso, style.accent);
  if (ticks.length) writeTicks(style);
  else writeNames(style);
  if (hovered >= 0 && hovered !== chosen) circle(hovered, radius + 2.5, null, style.accent, 1.5);
}

function outline(corners, colour) {
  pen.beginPath();
  for (let i = 0; i < corners.length; i += 2) pen.lineTo(corners[i], corners[i + 1]);
  pen.closePath();
  pen.strokeStyle = colour;
  pen.lineWidth = 1.5;
  pen.setLineDash([5, 4]);
  pen.stroke();
  pen.setLineDash([]);
}

// The names of the groups, each where most of its shown clips are; those that would lie on others are left out.
function writeNames(style) {
  pen.font = "600 12px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.lineWidth = 3.5;
  pen.lineJoin = "round";
  const taken = [];
  for (const { name, x, y } of style.names) {
    const at = [onScreenX(x), onScreenY(y) - 12];
    const half = pen.measureText(name).width / 2 + 4;
    const box = [at[0] - half, at[1] - 14, at[0] + half, at[1] + 5];
    if (box[0] < 0 || box[1] < 0 || box[2] > view.width || box[3] > view.height) continue;
    if (taken.some((one) => one[0] < box[2] && box[0] < one[2] && one[1] < box[3] && box[1] < one[3])) continue;
    taken.push(box);
    pen.strokeStyle = style.ground;
    pen.strokeText(name, ...at);
    pen.fillStyle = style.text;
    pen.fillText(name, ...at);
  }
}

const TICK_FONT = "12px system-ui, sans-serif";

function widthOf(text) {
  pen.font = TICK_FONT;
  return pen.measureText(text).width;
}

// A text as far as it has room.
function fitted(text, room) {
  if (widthOf(text) <= room) return text;
  let kept = [...text];
  while (kept.length > 1 && widthOf(`${kept.join("").trimEnd()}…`) > room) kept = kept.slice(0, -1);
  return `${kept.join("").trimEnd()}…`;
}

// What the places mean, at the left and lower edges.
function writeTicks(style) {
  const room = margins().left - 20;
  pen.font = TICK_FONT;
  pen.textAlign = "left";
  pen.lineWidth = 3.5;
  pen.lineJoin = "round";
  pen.strokeStyle = style.ground;
  pen.fillStyle = style.text;
  for (const axis of ["x", "y"]) {
    const taken = [];
    for (const { at, text, ends } of ticks.filter((tick) => tick.axis === axis)) {
      const words = axis === "x" ? text : fitted(text, room), width = widthOf(words);
      const x = axis === "x" ? Math.max(onScreenX(at) - (ends ? width - 12 : width / 2), 4) : 8;
      const y = axis === "y" ? onScreenY(at) + 4 : view.height - 10;
      const [from, to] = axis === "x" ? [x, x + width + 8] : [y, y + 15];
      if (axis === "x" && (onScreenX(at) < 0 || x + width > view.width - BUTTONS)) continue;
      if (to < 0 || taken.some((one) => one[0] < to && from < one[1])) continue; // they would lie on each other
      taken.push([from, to]);
      pen.strokeText(words, x, y);
      pen.fillText(words, x, y);
    }
  }
}

function circle(clip, radius, fill, stroke, width) {
  pen.beginPath();
  pen.arc(screenX(clip), screenY(clip), radius, 0, 2 * Math.PI);
  if (fill) {
    pen.fillStyle = fill;
    pen.fill();
  }
  pen.strokeStyle = stroke;
  pen.lineWidth = width;
  pen.stroke();
}
