"use strict";
// What the page was given: lists of text and tables of numbers (explore/contents.py), and blocks that are unpacked when
// they are needed.

const data = JSON.parse(document.getElementById("data").textContent);

const count = data.names.length;
const folderOf = table(Uint32Array, data.folder_of);
const rows = table(Uint32Array, data.rows);
const seconds = table(Float32Array, data.seconds);
const sampleRates = table(Uint32Array, data.sample_rates);
const recorded = data.recorded === null ? null : table(Float64Array, data.recorded); // seconds of the local clock
const siteOf = data.site_of === null ? null : table(Int32Array, data.site_of); // -1 where unknown
let places = table(Float32Array, data.places); // of the layout that is shown
const neighbours = table(Int32Array, data.neighbours);
const similarities = table(Float32Array, data.similarities);
const tags = table(Int32Array, data.tags);
const probabilities = table(Float32Array, data.probabilities);
const distinctive = table(Int32Array, data.distinctive); // the class that sets a clip apart; it has its colour
const uncertainties = table(Float32Array, data.uncertainties); // from 0 to 1, NaN where unknown
const order = data.order === null ? null : table(Uint32Array, data.order); // the least certain first
const unseen = new Set(data.unseen);

function table(Type, text) {
  return new Type(bytesOf(text).buffer);
}

function bytesOf(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

// The clip's file name and folder as one text, as the dataset has it below the common folder.
function pathOf(clip) {
  const folder = data.folders[folderOf[clip]];
  return folder ? `${folder}/${data.names[clip]}` : data.names[clip];
}

// [{label, probability}], the most probable first.
function tagsOf(clip) {
  const found = [];
  for (let i = clip * data.n_tags; i < (clip + 1) * data.n_tags; i++) {
    if (tags[i] >= 0) found.push({ label: data.labels[tags[i]], probability: probabilities[i] });
  }
  return found;
}

// [{clip, similarity}], the nearest first.
function neighboursOf(clip) {
  const found = [];
  for (let i = clip * data.n_neighbours; i < (clip + 1) * data.n_neighbours; i++) {
    if (neighbours[i] >= 0) found.push({ clip: neighbours[i], similarity: similarities[i] });
  }
  return found;
}

// The address of the clip's sound, or null.
function soundOf(clip) {
  const inside = document.getElementById(`sound-${clip}`);
  return inside ? inside.textContent : data.links[clip];
}

const unpacked = new Map(); // promises of the blocks used last, the latest at the end
const BLOCKS_KEPT = 16;

// A promise of (bands * frames) levels, lowest band first; null where there are none.
async function spectrogramOf(clip) {
  if (unseen.has(clip)) return null;
  const { bands, frames, per_block: perBlock } = data.spectrograms;
  const number = Math.floor(clip / perBlock);
  const block = unpacked.get(number) ?? unpack(number);
  unpacked.delete(number);
  unpacked.set(number, block);
  if (unpacked.size > BLOCKS_KEPT) unpacked.delete(unpacked.keys().next().value);
  const size = bands * frames;
  const levels = (await block).slice((clip % perBlock) * size, (clip % perBlock + 1) * size);
  for (let i = frames; i < size; i++) levels[i] += levels[i - frames]; // each band is stored as a difference
  return levels;
}

async function unpack(number) {
  const packed = new Blob([bytesOf(document.getElementById(`spectrograms-${number}`).textContent)]);
  const stream = packed.stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
