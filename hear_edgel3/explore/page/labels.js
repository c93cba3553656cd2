"use strict";
// The labels that clips are given. They are kept in the browser until they are taken off, saved as a table that `train`
// takes, and loaded from one.

const labelled = new Map(); // clip: label
const isLabelled = new Uint8Array(count);
const KEPT_AS = `hear-edgel3 labels ${data.dataset}`;
let keptOfOthers = []; // rows of clips that are not on this page, as of other segments of the dataset
let unsaved = false; // whether labels are neither kept in the browser nor saved

// `label` is taken off by an empty one.
function giveLabel(label) {
  for (const clip of selectedClips()) setLabel(clip, label.trim());
  labelGiven = true;
  keepLabels();
  fillSelection();
}

function setLabel(clip, label) {
  if (label) labelled.set(clip, label);
  else labelled.delete(clip);
  isLabelled[clip] = label ? 1 : 0;
}

function knownLabels() {
  return [...new Set(labelled.values())].sort();
}

// --- kept in the browser ---

function keepLabels() {
  const here = [...labelled].map(([clip, label]) => [...placeOfClip(clip), label]);
  try {
    localStorage.setItem(KEPT_AS, JSON.stringify([...here, ...keptOfOthers]));
    unsaved = false;
  } catch {
    unsaved = labelled.size > 0; // where a browser keeps nothing, or no more
  }
}

function restoreLabels() {
  let kept = [];
  try {
    kept = JSON.parse(localStorage.getItem(KEPT_AS) ?? "[]");
  } catch {
    return;
  }
  const clips = clipsByPlace();
  keptOfOthers = kept.filter((row) => !clips.has(keyOf(row)));
  for (const row of kept) if (clips.has(keyOf(row))) setLabel(clips.get(keyOf(row)), row.at(-1));
}

// --- tables ---

// A field of a table (RFC 4180).
function field(value) {
  const text = String(value ?? "");
  return /[",\r\n]/.test(text) || text !== text.trim() ? `"${text.replaceAll('"', '""')}"` : text;
}

function tableOf(columns, clips, rowOf) {
  return [columns, ...clips.map(rowOf)].map((row) => row.map(field).join(",") + "\n").join("");
}

// The rows of a table, each a list of fields.
function rowsOf(table) {
  const found = [];
  let row = [];
  for (const [, quoted, plain, end] of table.matchAll(/(?:"((?:[^"]|"")*)"|([^,\r\n]*))(,|\r?\n|$)/g)) {
    row.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end === ",") continue;
    if (row.length > 1 || row[0]) found.push(row);
    row = [];
  }
  return found;
}

// Where a clip is, as `train`, `extract` and other programs read it: its file, and its seconds if it is a part of it.
function placeOfClip(clip) {
  return data.spans === null ? [data.files[clip]] : [data.files[clip], data.spans[clip]?.[0], data.spans[clip]?.[1]];
}

const PLACE = data.spans === null ? ["file"] : ["file", "start", "end"];

// A row's place, seconds as numbers, as one text; behind the place comes its label.
function keyOf([file, ...others]) {
  const seconds = others.slice(0, -1).map((one) => ((one ?? "") === "" ? null : Number(one)));
  while (seconds.length && seconds.at(-1) === null) seconds.pop();
  return JSON.stringify([file, ...seconds]);
}

function clipsByPlace() {
  return new Map(Array.from({ length: count }, (_, clip) => [keyOf([...placeOfClip(clip), ""]), clip]));
}

function labelsTable() {
  const clips = [...labelled.keys()].sort((a, b) => a - b);
  return tableOf([...PLACE, "label"], clips, (clip) => [...placeOfClip(clip), labelled.get(clip)]);
}

function selectionTable() {
  return tableOf([...PLACE, "label", "tag", "probability"], selectedClips(), (clip) => {
    const heard = tagsOf(clip)[0];
    return [...placeOfClip(clip), labelled.get(clip), heard?.label, heard?.probability.toFixed(4)];
  });
}

// Gives clips the labels of a table with the columns of labelsTable; says what came of it.
function loadLabels(table) {
  const [columns = [], ...rows] = rowsOf(table.replace(/^\ufeff/, ""));
  const at = (name) => columns.indexOf(name);
  if (at("file") < 0 || at("label") < 0) return "This is no table of labels: it needs the columns file and label.";
  const clips = clipsByPlace();
  let found = 0;
  for (const row of rows) {
    const clip = clips.get(keyOf([row[at("file")], row[at("start")], row[at("end")], ""]));
    const label = row[at("label")]?.trim();
    if (clip === undefined || !label) continue;
    setLabel(clip, label);
    found++;
  }
  keepLabels();
  const rest = rows.length - found;
  return `${amount(found, "label")} loaded` + (rest ? `; ${amount(rest, "row")} of no clip on this page, or without a label` : "");
}

// The command that learns from labels.csv, called where that is, of the channel that was embedded.
function trainCommand() {
  const audio = data.audio === null ? "" : ` --audio ${data.audio}`;
  const channel = data.channel === null ? "" : ` --channel ${data.channel}`;
  return `hear-edgel3 train --data labels.csv${audio}${channel} --output detector`;
}

// The words of a command as elements, so that lines break between them, and not behind the hyphens of an option.
function wordsOf(command) {
  return command.split(" ").flatMap((word, i) => [...(i ? [" "] : []), made("span", word)]);
}
