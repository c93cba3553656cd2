// The net: windows of samples in, classes out, by the rules that the card has of it.

import * as ort from "./ort.wasm.bundle.min.js";

const AT_ONCE = 8;

export class Net {
  // `wasm` and `model` are the files' bytes.
  static async open(wasm, model, card) {
    ort.env.wasm.numThreads = 1; // more would need headers that plain servers do not send
    ort.env.wasm.wasmBinary = wasm;
    ort.env.logLevel = "error";
    const net = new Net();
    net.card = card;
    net.session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"], logSeverityLevel: 3 });
    return net;
  }

  // The samples of the windows that are looked into one by one: a second, unless the net takes others only.
  get window() {
    return this.card.length ?? this.card.sample_rate;
  }

  get minimum() {
    return this.card.minimum_samples;
  }

  // What is put out for `count` windows of `length` samples each that lie one behind the other in `x`: by name, an
  // array for each window.
  async run(x, count, length) {
    const tensor = new ort.Tensor("float32", x, [count, length]);
    const found = await this.session.run({ samples: tensor });
    const outputs = {};
    for (const [name, { data }] of Object.entries(found)) {
      const size = data.length / count;
      outputs[name] = Array.from({ length: count }, (_, i) => Float64Array.from(data.subarray(i * size, (i + 1) * size)));
    }
    return outputs;
  }

  // What a window has, as it is drawn: probabilities, numbers, or the embedding of a net without classes.
  async look(x) {
    const filled = new Float32Array(Math.max(x.length, this.minimum));
    filled.set(x);
    return this.shown(await this.run(filled, 1, filled.length))[0];
  }

  shown(outputs) {
    return outputs.probabilities ?? outputs.numbers ?? outputs.embedding;
  }

  // The outputs of windows centred at 0, hop, 2 hops, ... up to the end, some at a time: yields [first time in seconds,
  // outputs].
  async *centred(x, window, hopMs) {
    const rate = this.card.sample_rate, half = window >> 1, hop = (hopMs * rate) / 1000;
    const count = Math.floor(x.length / hop + 1e-9) + 1;
    const reflect = this.card.padding === "reflection";
    const sample = (i) => {
      if (i >= 0 && i < x.length) return x[i];
      const n = Math.max(x.length, half + 1); // of what is reflected, filled up with zeros
      if (!reflect || i >= n + half) return 0;
      const at = i < 0 ? -i : i < n ? i : 2 * (n - 1) - i;
      return at < x.length ? x[at] : 0;
    };
    for (let first = 0; first < count; first += AT_ONCE) {
      const n = Math.min(AT_ONCE, count - first);
      const windows = new Float32Array(n * window);
      for (let k = 0; k < n; k++) {
        const start = roundToEven((first + k) * hop) - half;
        if (start >= 0 && start + window <= x.length) windows.set(x.subarray(start, start + window), k * window);
        else for (let i = 0; i < window; i++) windows[k * window + i] = sample(start + i);
      }
      yield [(first * hopMs) / 1000, await this.run(windows, n, window)];
    }
  }

  // The classes of a whole file, as `hear-edgel3 tag` tells them; null for a net without classes.
  async whole(x, isWanted) {
    const { clip, length, targets, temperature } = this.card;
    if (!clip) return null;
    const name = targets === "numbers" ? "numbers" : "logits";
    let mean = null;
    if (x.length <= clip.whole_up_to && length === null) {
      const filled = new Float32Array(Math.max(x.length, this.minimum));
      filled.set(x);
      mean = (await this.run(filled, 1, filled.length))[name][0];
    } else {
      let count = 0;
      for await (const [, outputs] of this.centred(x, length ?? clip.window, clip.hop_ms)) {
        for (const row of outputs[name]) {
          mean ??= new Float64Array(row.length);
          for (let i = 0; i < row.length; i++) mean[i] += row[i];
          count++;
        }
        if (!(await isWanted())) return null;
      }
      mean = mean.map((sum) => sum / count);
    }
    return targets === "numbers" ? mean : probabilities(mean, targets, temperature);
  }
}

function probabilities(logits, targets, temperature) {
  const scaled = logits.map((value) => value / temperature);
  if (targets !== "single") return scaled.map((value) => 1 / (1 + Math.exp(-value)));
  const most = scaled.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = scaled.map((value) => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((value) => value / sum);
}

function roundToEven(value) {
  const below = Math.floor(value), rest = value - below;
  if (rest !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}
