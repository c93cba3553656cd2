// What has been heard: columns of the spectrogram, and what the net said of each window.

import { BANDS, PER_SECOND } from "./spectrogram.js";

export const LIVE_S = 30; // that are shown of a microphone

export class Timeline {
  // `seconds` of a file; null for a microphone, of which the last ones are kept.
  constructor(seconds) {
    this.seconds = seconds;
    this.heard = 0;
    this.first = 0; // the number of the first column that is kept
    this.columns = []; // (BANDS,) Float32Array each, in decibels
    this.windows = []; // {time, hop, values}, time of the middle
  }

  get isLive() {
    return this.seconds === null;
  }

  // [from, to] in seconds, what is shown.
  get span() {
    if (!this.isLive) return [0, Math.max(this.seconds, 0.2)];
    const to = Math.max(LIVE_S, this.heard);
    return [to - LIVE_S, to];
  }

  addColumns(all) {
    for (let i = 0; i < all.length; i += BANDS) this.columns.push(all.subarray(i, i + BANDS));
    const most = (LIVE_S + 5) * PER_SECOND;
    if (this.isLive && this.columns.length > 2 * most) {
      this.first += this.columns.length - most;
      this.columns.splice(0, this.columns.length - most);
    }
  }

  addWindow(found) {
    this.windows.push(found);
    if (this.isLive) {
      const [from] = this.span;
      while (this.windows.length && this.windows[0].time < from - 5) this.windows.shift();
    }
  }

  shownWindows() {
    const [from, to] = this.span;
    return this.windows.filter(({ time, hop }) => time + hop > from && time - hop < to);
  }

  // The window whose middle is nearest.
  windowAt(time) {
    let best = null;
    for (const one of this.windows) if (!best || Math.abs(one.time - time) < Math.abs(best.time - time)) best = one;
    return best;
  }

  // The classes with the largest values in what is shown, or in the whole file; those in `kept` stay in their places as
  // long as they are among them. Behind the first three, those below `least` are left out.
  top(count, whole, kept, least) {
    const size = this.windows[0]?.values.length ?? whole?.length ?? 0;
    const peaks = whole ? Float32Array.from(whole) : new Float32Array(size).fill(-Infinity);
    for (const { values } of this.shownWindows()) for (let c = 0; c < size; c++) if (values[c] > peaks[c]) peaks[c] = values[c];
    const best = largest(peaks, count).filter((c, i) => i < 3 || peaks[c] >= least);
    if (!this.isLive) return best;
    const places = kept.slice(0, count).map((c) => (best.includes(c) ? c : null)); // of which null is free
    for (const c of best) {
      if (places.includes(c)) continue;
      const free = places.indexOf(null);
      if (free >= 0) places[free] = c;
      else if (places.length < count) places.push(c);
    }
    return places.filter((c) => c !== null);
  }
}

// The places of the `count` largest values, the largest first.
export function largest(values, count) {
  return [...values.keys()].sort((a, b) => values[b] - values[a] || a - b).slice(0, count);
}
