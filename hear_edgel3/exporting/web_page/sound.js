// Sounds in, and out: files that are decoded, a microphone, and the player.

import { compared } from "./lengths.js";

const LARGEST_MB = 300;
export const LONGEST_S = 600;

// {samples: (n,) Float32Array at `rate`, mean of the channels; buffer: to be played; seconds; length: of all of the file;
// said: what is to be known of it}
export async function decoded(file, rate) {
  if (file.size === 0) throw new Error(`${file.name} is empty.`);
  if (file.size > LARGEST_MB * 1e6) {
    throw new Error(`${file.name} has ${Math.round(file.size / 1e6)} MB, and this page takes up to ${LARGEST_MB}.`);
  }
  const bytes = await file.arrayBuffer().catch((error) => {
    throw new Error(`${file.name} cannot be read: ${error.message}`);
  });
  const copy = bytes.slice(0); // decoding takes the bytes away
  let buffer;
  try {
    // A context of the net's rate: the browser resamples what has another one.
    buffer = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes);
  } catch {
    throw new Error(`This browser cannot decode ${file.name}: it is no sound, damaged, or in a format that it does not know. WAV of 8 to 32 bits, FLAC and MP3 are known to all.`);
  }
  const { cut, note } = compared(copy, buffer.length / rate, rate);
  if (cut) throw new Error(`${file.name} ${cut}.`);
  const n = Math.min(buffer.length, LONGEST_S * rate);
  if (n === 0) throw new Error(`${file.name} has no samples.`);
  const samples = new Float32Array(n);
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, c) => buffer.getChannelData(c));
  for (let i = 0; i < n; i++) {
    let sum = 0;
    for (const channel of channels) sum += channel[i];
    samples[i] = sum / channels.length;
    if (!Number.isFinite(samples[i])) {
      throw new Error(`${file.name} has samples that are no numbers, or infinite, at ${(i / rate).toFixed(3)} s: replace them first.`);
    }
  }
  return { samples, buffer, seconds: n / rate, length: buffer.length / rate, channels: channels.length, said: note };
}

// {rate: of the blocks; stop(); ended: a promise}. `to` is the port that gets them.
export async function microphone(rate, to) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Error("Browsers give pages a microphone at https:// or http://localhost and http://127.0.0.1 addresses only: open this page there.");
  }
  let stream;
  try {
    // What makes speech pleasant on the telephone takes away what is to be heard here.
    const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    stream = await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    throw new Error(whyNot(error));
  }
  let context, source;
  try {
    try {
      context = new AudioContext({ sampleRate: rate });
      source = context.createMediaStreamSource(stream);
    } catch {
      // Some browsers give a microphone at its own rate only.
      context?.close();
      context = new AudioContext();
      source = context.createMediaStreamSource(stream);
    }
    await context.audioWorklet.addModule("worklet.js");
    const node = new AudioWorkletNode(context, "listener", { numberOfOutputs: 1 });
    node.port.postMessage(to, [to]);
    source.connect(node).connect(context.destination); // it puts out silence; unconnected, some browsers do not run it
    await context.resume();
  } catch (error) {
    stream.getTracks().forEach((track) => track.stop());
    context?.close();
    throw new Error(`The microphone cannot be listened to: ${error.message}`);
  }
  const [track] = stream.getAudioTracks();
  const stop = () => {
    track.stop();
    if (context.state !== "closed") context.close();
  };
  return { rate: context.sampleRate, label: track.label, stop, track };
}

function whyNot(error) {
  if (error.name === "NotAllowedError") {
    return "This page may not use the microphone: allow it in the browser (beside the address) or in the system's settings, and try again.";
  }
  if (error.name === "NotFoundError") return "No microphone was found: connect one, and try again.";
  if (error.name === "NotReadableError") return "The microphone cannot be opened: another program may be using it.";
  return `There is no microphone to listen to: ${error.message}`;
}

// Plays what a file was decoded to, which is what the net hears.
export class Player {
  constructor(changed) {
    this.changed = changed;
    this.buffer = null;
    this.length = 0;
    this.at = 0;
    this.node = null;
  }

  load(buffer, length) {
    this.pause();
    [this.buffer, this.length, this.at] = [buffer, length, 0];
  }

  get isPlaying() {
    return this.node !== null;
  }

  get position() {
    return this.isPlaying ? Math.min(this.length, this.at + this.context.currentTime - this.begun) : this.at;
  }

  play() {
    if (!this.buffer || this.isPlaying) return;
    this.context ??= new AudioContext();
    this.context.resume();
    if (this.at >= this.length - 0.01) this.at = 0;
    const node = this.context.createBufferSource();
    node.buffer = this.buffer;
    node.connect(this.context.destination);
    node.onended = () => {
      if (this.node !== node) return;
      this.node = null;
      this.at = this.length;
      this.changed();
    };
    node.start(0, this.at, this.length - this.at);
    this.begun = this.context.currentTime;
    this.node = node;
    this.changed();
  }

  pause() {
    if (!this.isPlaying) return;
    const node = this.node;
    this.at = this.position;
    this.node = null;
    node.stop();
    this.changed();
  }

  seek(time) {
    const was = this.isPlaying;
    this.pause();
    this.at = Math.min(this.length, Math.max(0, time));
    if (was) this.play();
    this.changed();
  }
}
