// Everything that takes time, beside the page: the net and the spectrogram.
//
// Gets {kind: "open", wasm, model, card}, {kind: "file", id, samples}, {kind: "listen", id, rate, port} and {kind: "stop"};
// what is sent back carries the id of what it is about, and what comes with another id than the last is out of date.

import { Net } from "./net.js";
import { Resampler } from "./resample.js";
import { PER_SECOND, Spectrogram } from "./spectrogram.js";

const LOOKS = 4; // into each moment, one after the other: the hop is a quarter of a window
const BUSY = 0.7; // of the time at most is spent on looking while a microphone is heard
const COLUMNS_AT_ONCE = 500;

let net = null;
let current = 0;
let port = null;

self.onmessage = ({ data }) => {
  if (data.kind === "open") return said(0, () => open(data));
  hangUp();
  current = data.id;
  if (data.kind === "file") said(data.id, () => file(data));
  if (data.kind === "listen") listen(data);
};

async function said(id, work) {
  try {
    await work();
  } catch (error) {
    self.postMessage({ kind: "failed", id, text: String(error?.message ?? error) });
  }
}

async function open({ wasm, model, card }) {
  net = await Net.open(wasm, model, card);
  await net.look(new Float32Array(net.window)); // the first is slower than all others
  self.postMessage({ kind: "opened", id: 0, window: net.window / card.sample_rate });
}

// Whether something is still wanted, once messages that wait have been read.
function isWanted(id) {
  return new Promise((done) => setTimeout(() => done(id === current)));
}

async function file({ id, samples }) {
  const rate = net.card.sample_rate, seconds = samples.length / rate;
  const spectrogram = new Spectrogram(rate);
  const step = Math.round((COLUMNS_AT_ONCE / PER_SECOND) * rate);
  const end = new Float32Array(spectrogram.size / 2); // so that the last column is of the end
  for (let at = 0; at < samples.length + end.length; at += step) {
    const part = at + step < samples.length ? samples.subarray(at, at + step) : joined(samples.subarray(at), end);
    send({ kind: "columns", id, columns: spectrogram.push(part) }, "columns");
    if (!(await isWanted(id))) return;
    if (at + step >= samples.length) break;
  }
  const whole = await net.whole(samples, () => isWanted(id));
  if (!(await isWanted(id))) return;
  self.postMessage({ kind: "whole", id, values: whole && Float32Array.from(whole) });
  // A window for each moment, fewer where there are many.
  const hop = (net.window / rate / LOOKS) * (seconds <= 120 ? 1 : seconds <= 300 ? 2 : 4);
  for await (const [first, outputs] of net.centred(samples, net.window, 1000 * hop)) {
    net.shown(outputs).forEach((values, i) => looked(id, first + i * hop, hop, values));
    if (!(await isWanted(id))) return;
  }
  self.postMessage({ kind: "done", id });
}

function joined(a, b) {
  const both = new Float32Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

function looked(id, time, hop, values, ms = null) {
  send({ kind: "window", id, time, hop, ms, values: Float32Array.from(values) }, "values");
}

function send(message, array) {
  self.postMessage(message, [message[array].buffer]);
}

function hangUp() {
  if (port) port.onmessage = null;
  port?.close();
  port = null;
}

function listen({ id, rate, port: from }) {
  const own = net.card.sample_rate;
  const resampler = rate === own ? null : new Resampler(rate, own);
  const spectrogram = new Spectrogram(own);
  const ring = new Float32Array(net.window);
  const shortest = net.window / LOOKS;
  let heard = 0, looked_at = 0, hop = shortest, running = false;
  port = from;
  port.onmessage = ({ data }) => {
    const samples = resampler ? resampler.push(data) : data;
    for (const sample of samples) ring[heard++ % ring.length] = sample;
    const loudest = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
    send({ kind: "columns", id, columns: spectrogram.push(samples), heard: heard / own, loudest }, "columns");
    if (running || heard < ring.length || heard - looked_at < hop) return;
    running = true;
    looked_at = heard;
    said(id, async () => {
      const begun = performance.now();
      const at = heard % ring.length;
      const values = await net.look(joined(ring.subarray(at), ring.subarray(0, at)));
      const ms = performance.now() - begun;
      if (id === current) looked(id, (looked_at - ring.length / 2) / own, hop / own, values, ms);
      hop = Math.max(shortest, ((ms / 1000) * own) / BUSY);
    }).finally(() => (running = false));
  };
}
