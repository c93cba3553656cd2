// Hands what a microphone hears on, in blocks: the mean of its channels.

const BLOCK = 2048; // of samples; a quantum of 128 alone would be too many messages

class Listener extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(BLOCK);
    this.filled = 0;
    this.to = null;
    this.port.onmessage = ({ data }) => (this.to = data);
  }

  process([channels]) {
    if (this.to === null || channels.length === 0) return true;
    for (let i = 0; i < channels[0].length; i++) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      this.block[this.filled++] = sum / channels.length;
      if (this.filled === BLOCK) {
        this.to.postMessage(this.block, [this.block.buffer]);
        this.block = new Float32Array(BLOCK);
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("listener", Listener);
