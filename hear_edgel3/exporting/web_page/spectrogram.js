// What is drawn of a sound: the power in mel bands, in decibels, fifty times a second. The net has a front end of its
// own, inside the model.

export const BANDS = 64;
export const PER_SECOND = 50;
const WINDOW_S = 0.032;
const SILENCE = -120;

export class Spectrogram {
  constructor(rate) {
    this.size = 2 ** Math.round(Math.log2(WINDOW_S * rate));
    this.hop = rate / PER_SECOND;
    this.window = Float64Array.from({ length: this.size }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / this.size));
    this.cosines = Float64Array.from({ length: this.size / 2 }, (_, i) => Math.cos((2 * Math.PI * i) / this.size));
    this.sines = Float64Array.from({ length: this.size / 2 }, (_, i) => -Math.sin((2 * Math.PI * i) / this.size));
    this.bands = bandsOf(rate, this.size);
    this.kept = new Float32Array(this.size / 2); // so that the first column is of the beginning
    this.next = 0; // where in `kept` the next column begins
  }

  // (n * BANDS,) Float32Array: the columns that these samples complete, the lowest band of each first.
  push(samples) {
    const x = new Float32Array(this.kept.length + samples.length);
    x.set(this.kept);
    x.set(samples, this.kept.length);
    const columns = [];
    while (Math.round(this.next) + this.size <= x.length) {
      columns.push(this.column(x, Math.round(this.next)));
      this.next += this.hop;
    }
    const gone = Math.min(x.length, Math.floor(this.next));
    this.kept = x.slice(gone);
    this.next -= gone;
    const all = new Float32Array(columns.length * BANDS);
    columns.forEach((column, i) => all.set(column, i * BANDS));
    return all;
  }

  column(x, start) {
    const { size } = this;
    const re = new Float64Array(size), im = new Float64Array(size);
    for (let i = 0; i < size; i++) re[i] = x[start + i] * this.window[i];
    this.transform(re, im);
    return this.bands.map(([first, weights]) => {
      let power = 0;
      for (let i = 0; i < weights.length; i++) {
        const bin = first + i;
        power += weights[i] * (re[bin] ** 2 + im[bin] ** 2);
      }
      return Math.max(SILENCE, 10 * Math.log10((16 * power) / size ** 2 + 1e-13));
    });
  }

  // In place: radix 2, decimation in time.
  transform(re, im) {
    const { size } = this;
    for (let i = 1, j = 0; i < size; i++) {
      let bit = size >> 1;
      for (; j & bit; bit >>= 1) j ^= bit;
      j ^= bit;
      if (i < j) {
        [re[i], re[j]] = [re[j], re[i]];
        [im[i], im[j]] = [im[j], im[i]];
      }
    }
    for (let half = 1; half < size; half *= 2) {
      const stride = size / (2 * half);
      for (let start = 0; start < size; start += 2 * half) {
        for (let k = 0; k < half; k++) {
          const a = start + k, b = a + half;
          const c = this.cosines[k * stride], s = this.sines[k * stride];
          const r = re[b] * c - im[b] * s, i = re[b] * s + im[b] * c;
          re[b] = re[a] - r;
          im[b] = im[a] - i;
          re[a] += r;
          im[a] += i;
        }
      }
    }
  }
}

export const melOf = (hertz) => 2595 * Math.log10(1 + hertz / 700);
const hertzOf = (mel) => 700 * (10 ** (mel / 2595) - 1);

// For each band the first bin and the weights from there on: triangles, none narrower than a bin each way.
function bandsOf(rate, size) {
  const top = melOf(rate / 2);
  return Array.from({ length: BANDS }, (_, band) => {
    const [low, middle, high] = [0, 1, 2].map((i) => (hertzOf(((band + i) * top) / (BANDS + 1)) * size) / rate);
    const rise = Math.max(1, middle - low), fall = Math.max(1, high - middle);
    const first = Math.max(0, Math.ceil(middle - rise)), last = Math.min(size / 2, Math.floor(middle + fall));
    const weights = [];
    for (let bin = first; bin <= last; bin++) {
      weights.push(Math.max(0, 1 - (bin < middle ? (middle - bin) / rise : (bin - middle) / fall)));
    }
    return [first, weights];
  });
}
