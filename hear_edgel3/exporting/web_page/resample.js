// Samples at another rate as they come, for browsers that give a microphone's at its own rate only: windowed sinc.

const ZEROS = 24; // of the sinc, each way
const CUTOFF = 0.94; // of the lower of the two Nyquist frequencies

export class Resampler {
  constructor(from, to) {
    this.step = from / to; // input samples for each output sample
    this.scale = CUTOFF * Math.min(1, to / from);
    this.reach = Math.ceil(ZEROS / this.scale);
    this.kept = new Float32Array(this.reach); // zeros before the first sample
    this.at = this.reach; // where in `kept` the next output sample is
  }

  // (m,) Float32Array of what can be said after these samples; the rest comes with the next ones.
  push(samples) {
    const x = new Float32Array(this.kept.length + samples.length);
    x.set(this.kept);
    x.set(samples, this.kept.length);
    const out = [];
    while (this.at + this.reach < x.length) {
      const first = Math.ceil(this.at - this.reach), last = Math.floor(this.at + this.reach);
      let sum = 0;
      for (let i = Math.max(0, first); i <= last; i++) sum += x[i] * this.weight(i - this.at);
      out.push(sum);
      this.at += this.step;
    }
    const gone = Math.max(0, Math.floor(this.at) - this.reach);
    this.kept = x.slice(gone);
    this.at -= gone;
    return Float32Array.from(out);
  }

  weight(distance) {
    const t = distance * this.scale;
    if (Math.abs(t) >= ZEROS) return 0;
    const window = 0.5 + 0.5 * Math.cos((Math.PI * t) / ZEROS);
    const sinc = t === 0 ? 1 : Math.sin(Math.PI * t) / (Math.PI * t);
    return this.scale * sinc * window;
  }
}
