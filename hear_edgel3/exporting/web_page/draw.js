// The canvases. Each is drawn anew when something has changed, at most once a frame.

import { HEAT, palette } from "./colours.js";
import { BANDS, PER_SECOND, melOf } from "./spectrogram.js";

const RANGE_DB = 70;
const SOFTEST_DB = -60; // what is softer never looks loud
const element = (id) => document.getElementById(id);

function fit(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const { width, height } = canvas.getBoundingClientRect();
  const w = Math.max(1, Math.round(width * ratio)), h = Math.max(1, Math.round(height * ratio));
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  return ratio;
}

const small = new OffscreenCanvas(1, 1);

export function drawSpectrogram(timeline) {
  const canvas = element("spectrogram");
  fit(canvas);
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#000004";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  if (!timeline || timeline.columns.length === 0) return;
  const [from, to] = timeline.span, { columns, first } = timeline;
  const width = canvas.width, perPixel = ((to - from) * PER_SECOND) / width;
  const begin = Math.max(0, Math.floor(from * PER_SECOND) - first);
  const end = Math.min(columns.length, Math.ceil(to * PER_SECOND) - first);
  let peak = SOFTEST_DB;
  for (let i = begin; i < end; i++) for (const value of columns[i]) if (value > peak) peak = value;
  const lowest = peak - RANGE_DB, scale = (HEAT.length - 1) / RANGE_DB;
  const image = new ImageData(width, BANDS), pixels = new Uint32Array(image.data.buffer);
  for (let x = 0; x < width; x++) {
    // The loudest of the columns in a pixel, so that short sounds are seen in long files too.
    const a = Math.max(0, Math.floor(from * PER_SECOND + x * perPixel) - first);
    const b = Math.min(columns.length, Math.max(a + 1, Math.floor(from * PER_SECOND + (x + 1) * perPixel) - first));
    if (from * PER_SECOND + x * perPixel < first || a >= b) continue;
    for (let band = 0; band < BANDS; band++) {
      let value = -Infinity;
      for (let i = a; i < b; i++) if (columns[i][band] > value) value = columns[i][band];
      const level = Math.min(HEAT.length - 1, Math.max(0, Math.round((value - lowest) * scale)));
      pixels[(BANDS - 1 - band) * width + x] = HEAT[level];
    }
  }
  [small.width, small.height] = [width, BANDS];
  small.getContext("2d").putImageData(image, 0, 0);
  pen.imageSmoothingEnabled = true;
  pen.drawImage(small, 0, 0, canvas.width, canvas.height);
}

// The frequencies beside the spectrogram.
export function labelHertz(rate) {
  const top = melOf(rate / 2);
  const shown = [250, 1000, 4000, 16000].filter((hertz) => melOf(hertz) < 0.97 * top);
  element("hertz").replaceChildren(
    ...shown.map((hertz) => {
      const node = document.createElement("span");
      node.textContent = hertz < 1000 ? `${hertz} Hz` : `${hertz / 1000} kHz`;
      node.style.bottom = `${(100 * melOf(hertz)) / top}%`;
      node.style.transform = "translateY(50%)";
      return node;
    }),
  );
}

// `count` lanes have room.
export function drawLanes(timeline, lanes, count, { thresholds, areNumbers }) {
  const canvas = element("lanes");
  const ratio = fit(canvas);
  const pen = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  if (!timeline) return;
  const [from, to] = timeline.span, perSecond = canvas.width / (to - from);
  const height = canvas.height / count, gap = 4 * ratio;
  const windows = timeline.shownWindows(), colours = palette();
  lanes.forEach((c, lane) => {
    const bottom = Math.round((lane + 1) * height) - 1, full = height - gap;
    pen.fillStyle = style.getPropertyValue("--wash");
    pen.fillRect(0, bottom - full, canvas.width, full);
    pen.fillStyle = style.getPropertyValue("--border");
    pen.fillRect(0, bottom, canvas.width, 1);
    pen.fillStyle = colours[lane % colours.length];
    // Numbers have no scale of their own.
    const most = areNumbers ? windows.reduce((top, { values }) => Math.max(top, Math.abs(values[c])), 1e-9) : 1;
    for (const { time, hop, values } of windows) {
      const left = Math.round((time - hop / 2 - from) * perSecond);
      const right = Math.max(left + 1, Math.round((time + hop / 2 - from) * perSecond) - (hop * perSecond > 6 * ratio ? 1 : 0));
      const tall = (full * Math.abs(values[c])) / most;
      pen.fillRect(left, bottom - tall, right - left, tall);
    }
    const least = thresholds?.[c];
    if (least != null && !areNumbers) {
      pen.strokeStyle = style.getPropertyValue("--muted");
      pen.setLineDash([4 * ratio, 4 * ratio]);
      pen.beginPath();
      pen.moveTo(0, bottom - full * least);
      pen.lineTo(canvas.width, bottom - full * least);
      pen.stroke();
    }
  });
}

// Of a net without classes: its values over time, each on a scale of its own.
export function drawEmbedding(timeline) {
  const canvas = element("lanes");
  fit(canvas);
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#000004";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  const windows = timeline?.shownWindows() ?? [];
  if (windows.length === 0) return;
  const [from, to] = timeline.span, perSecond = canvas.width / (to - from), size = windows[0].values.length;
  const lows = new Float32Array(size).fill(Infinity), highs = new Float32Array(size).fill(-Infinity);
  for (const { values } of windows) {
    for (let i = 0; i < size; i++) {
      if (values[i] < lows[i]) lows[i] = values[i];
      if (values[i] > highs[i]) highs[i] = values[i];
    }
  }
  const image = new ImageData(windows.length, size), pixels = new Uint32Array(image.data.buffer);
  windows.forEach(({ values }, x) => {
    for (let i = 0; i < size; i++) {
      const share = highs[i] > lows[i] ? (values[i] - lows[i]) / (highs[i] - lows[i]) : 0;
      pixels[i * windows.length + x] = HEAT[Math.round(share * (HEAT.length - 1))];
    }
  });
  [small.width, small.height] = [windows.length, size];
  small.getContext("2d").putImageData(image, 0, 0);
  pen.imageSmoothingEnabled = false;
  windows.forEach(({ time, hop }, x) => {
    const left = Math.round((time - hop / 2 - from) * perSecond), right = Math.round((time + hop / 2 - from) * perSecond);
    pen.drawImage(small, x, 0, 1, size, left, 0, Math.max(1, right - left), canvas.height);
  });
}

export function drawTimes(timeline) {
  const canvas = element("times");
  const ratio = fit(canvas);
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, canvas.width, canvas.height);
  if (!timeline) return;
  const [from, to] = timeline.span, perSecond = canvas.width / (to - from);
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120].find((s) => s * perSecond > 64 * ratio) ?? 300;
  pen.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--muted");
  pen.font = `${12 * ratio}px ${getComputedStyle(document.body).fontFamily}`;
  pen.textBaseline = "top";
  for (let k = Math.ceil(from / step - 1e-9); k * step <= to + 1e-9; k++) {
    const x = (k * step - from) * perSecond, text = clock(k * step, step < 1);
    const width = pen.measureText(text).width;
    pen.fillRect(Math.min(x, canvas.width - 1), 0, 1, 4 * ratio);
    pen.fillText(text, Math.min(Math.max(0, x - width / 2), canvas.width - width), 6 * ratio);
  }
}

export function clock(seconds, fine = false) {
  const whole = Math.floor(seconds + 1e-9), rest = Math.floor((seconds - whole) * 10 + 1e-6);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}${fine ? `.${Math.max(0, rest)}` : ""}`;
}

// The line at a moment, across spectrogram and lanes.
export function placeCursor(timeline, time) {
  const cursor = element("cursor");
  cursor.hidden = !timeline || timeline.isLive;
  if (cursor.hidden) return;
  const stage = element("spectrogram").parentElement.getBoundingClientRect();
  const above = element("spectrogram").getBoundingClientRect(), below = element("lanes").getBoundingClientRect();
  const [from, to] = timeline.span;
  cursor.style.left = `${above.left - stage.left + (above.width * (time - from)) / (to - from)}px`;
  cursor.style.top = `${above.top - stage.top}px`;
  cursor.style.height = `${below.bottom - above.top}px`;
}
