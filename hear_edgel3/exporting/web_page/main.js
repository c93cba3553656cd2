// What the page is doing, and what changes it.

import { followTheme, switchTheme, watchTheme } from "./colours.js";
import { clock, drawEmbedding, drawLanes, drawSpectrogram, drawTimes, labelHertz, placeCursor } from "./draw.js";
import { LONGEST_S, Player, decoded, microphone } from "./sound.js";
import { LIVE_S, Timeline, largest } from "./timeline.js";

const TOP = 8; // classes in a list
const LANE_PX = 34; // the least height of a lane
const LEAST = 0.05; // of a class that has a lane, beside the first three
const SAID_S = 3; // between two announcements to those who do not see the page
const QUIET_S = 2; // of nothing but zeros, until it is said

const element = (id) => document.getElementById(id);
const still = window.matchMedia("(prefers-reduced-motion: reduce)");

const state = {
  card: null,
  window: 1, // seconds of a window
  id: 0, // of what is being listened to
  timeline: null,
  file: null, // what was decoded
  whole: null, // of a file: its classes
  live: null, // the microphone
  lanes: [],
  latest: null, // the last window of a microphone
  silent_since: null,
  said: { text: "", at: 0 },
};
const player = new Player(playerChanged);
let worker = null;

// --- starting ---

async function start() {
  watchTheme(draw);
  listen();
  try {
    element("starting-text").textContent = "Loading";
    const { card, facts } = await fetched("hear_edgel3.json", () => {}).then((bytes) => JSON.parse(new TextDecoder().decode(bytes)));
    state.card = card;
    describe(card, facts);
    const [wasm, model] = await loaded(["ort-wasm-simd-threaded.wasm", "model.onnx"]);
    if (model.byteLength !== facts.model_bytes) throw new Error("its model and what is said of it do not belong together: export it anew.");
    element("starting-text").textContent = "Preparing the net";
    element("progress").removeAttribute("value");
    worker = startWorker();
    worker.postMessage({ kind: "open", wasm, model, card }, [wasm, model]);
  } catch (error) {
    stop(`This page cannot start: ${error.message}`);
  }
}

// The files' bytes; how much has come is shown.
async function loaded(names) {
  const got = names.map(() => [0, 0]);
  const show = () => {
    const known = got.every(([, all]) => all > 0);
    const share = got.reduce((sum, [n]) => sum + n, 0) / got.reduce((sum, [, all]) => sum + all, 1);
    if (known) element("progress").value = Math.min(1, share);
  };
  return Promise.all(names.map((name, i) => fetched(name, (n, all) => ((got[i] = [n, all]), show()))));
}

async function fetched(name, progress) {
  let answer;
  try {
    // Asked for anew: what a browser has kept may be of an earlier page in this place.
    answer = await fetch(name, { cache: "no-cache" });
  } catch {
    throw new Error(`${name} could not be loaded; is the server still running?`);
  }
  if (!answer.ok) throw new Error(`${name} could not be loaded: the server answered ${answer.status}. The folder must be complete.`);
  const all = Number(answer.headers.get("Content-Length"));
  const parts = [];
  let length = 0;
  const reader = answer.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    progress((length += value.length), all);
  }
  return new Blob(parts).arrayBuffer();
}

// A worker of an address of its own would not be under this page's policy; one of a blob is.
function startWorker() {
  if (typeof WebAssembly !== "object") throw new Error("this browser has no WebAssembly, which runs the net.");
  const text = `import ${JSON.stringify(new URL("worker.js", document.baseURI).href)};`;
  const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  const started = new Worker(address, { type: "module" });
  started.onmessage = ({ data }) => heardFrom(data);
  started.onerror = (event) => stop(`This page cannot start: ${event.message || "this browser runs no modules in workers; a newer one does"}.`);
  return started;
}

function stop(text) {
  showCard(true);
  element("starting").hidden = false;
  element("welcome").hidden = true;
  element("starting-text").textContent = text;
  element("progress").hidden = true;
  element("stuck").hidden = location.protocol !== "file:";
}

function describe(card, facts) {
  const classes = card.labels ? `${card.labels.length} ${card.targets === "numbers" ? "numbers" : "classes"}` : "no classes";
  element("title").textContent = document.title = `${card.name} listens`;
  element("facts").textContent = [classes, `${card.sample_rate / 1000} kHz`, "in this browser: no sound leaves this page"].join(" · ");
  const only = card.length === null ? "any length" : `${card.length / card.sample_rate} s each`;
  const pairs = [
    ["Net", `${card.name} (${card.family})`],
    ["Hears", `${card.sample_rate} Hz, windows of ${only}`],
    ["Runs in", `onnxruntime-web ${facts.onnxruntime_web}`],
    ["Licence", card.licence],
    ["Made by", `hear_edgel3 ${card.version}`],
  ];
  element("about").replaceChildren(...pairs.flatMap(([term, text]) => [made("dt", term), made("dd", text)]));
  const rate = `Files of other rates than ${card.sample_rate} Hz, and microphones, are resampled by the browser, and not by hear_edgel3: probabilities can differ a little from those of its command line.`;
  element("about-text").textContent = rate;
  element("now-none").textContent = `This net has no classes. Below the spectrogram is its embedding: a line for each of its ${card.outputs.embedding[0]} values, a column for each window, black where a value is lowest.`;
  for (const id of ["now-heading", "now"]) element(id).hidden = !card.labels;
  element("now-none").hidden = Boolean(card.labels);
  element("about-section").hidden = false;
  labelHertz(card.sample_rate);
}

function ready() {
  element("starting").hidden = true;
  element("welcome").hidden = false;
  for (const id of ["microphone", "open"]) element(id).disabled = false;
  draw();
}

// --- what the worker says ---

function heardFrom(data) {
  if (data.kind === "opened") {
    state.window = data.window;
    return ready();
  }
  if (data.kind === "failed" && data.id === 0) return stop(`The net cannot be run here: ${data.text}`);
  if (data.id !== state.id || !state.timeline) return;
  if (data.kind === "failed") note(`The net failed: ${data.text}`);
  if (data.kind === "columns") addColumns(data);
  if (data.kind === "whole") state.whole = data.values;
  if (data.kind === "window") addWindow(data);
  if (data.kind === "done") element("spectrogram").dataset.done = "true";
  if (data.kind === "whole" || data.kind === "done") {
    showFile();
    sayTop(state.whole, `${state.file.name}: `);
  }
  draw();
}

function addColumns({ columns, heard, loudest }) {
  state.timeline.addColumns(columns);
  if (heard === undefined) return;
  state.timeline.heard = heard;
  if (loudest > 0) {
    if (state.silent_since !== null && heard - state.silent_since > QUIET_S) note("");
    state.silent_since = null;
  } else {
    state.silent_since ??= heard;
    if (heard - state.silent_since > QUIET_S) note("The microphone gives nothing but silence: is it muted, or another one chosen in the browser?");
  }
  element("source-facts").textContent = `${clock(heard)} heard · the last ${LIVE_S} s are shown`;
}

function addWindow({ time, hop, values, ms }) {
  state.timeline.addWindow({ time, hop, values });
  if (!state.timeline.isLive) return showProgress();
  state.latest = values;
  sayTop(values, "");
  fill("now", values);
  const often = hop > state.window / 4 + 0.01 ? `: this device is too slow for more` : "";
  element("now-heading").textContent = `The last ${seconds(state.window)}, every ${seconds(hop)}${often}`;
  element("now").dataset.ms = ms.toFixed(1);
}

const seconds = (value) => `${Number(value.toFixed(2))} s`;

function showProgress() {
  const { file, timeline } = state;
  const share = Math.min(1, (timeline.windows.at(-1)?.time ?? 0) / file.seconds);
  const facts = [clock(file.seconds, true), file.channels === 1 ? "mono" : `${file.channels} channels, their mean`];
  if (share < 1 && !element("spectrogram").dataset.done) facts.push(`${Math.round(100 * share)} % listened to`);
  element("source-facts").textContent = facts.join(" · ");
}

// --- lists ---

function made(tag, text, className = "") {
  const node = document.createElement(tag);
  node.textContent = text;
  if (className) node.className = className;
  return node;
}

function fill(id, values, count = TOP) {
  const { labels, thresholds, targets } = state.card;
  if (!labels || !values) return element(id).replaceChildren();
  const numbers = targets === "numbers";
  const shown = numbers ? [...values.keys()].slice(0, 24) : largest(values, count);
  const said = new Set(thresholds && !numbers ? saidOf(values) : []);
  element(id).replaceChildren(
    ...shown.map((c) => {
      const item = document.createElement("li"), least = thresholds?.[c] ?? null;
      if (!numbers) {
        const bar = made("span", "", "bar");
        bar.style.width = `${100 * values[c]}%`;
        item.append(bar);
      }
      if (least !== null && !numbers) {
        const mark = made("span", "", "least");
        mark.style.width = `${100 * least}%`;
        mark.title = `said from ${percent(least)} on`;
        item.append(mark);
      }
      if (said.has(c)) item.className = "over";
      item.append(made("span", labels[c], "label"), made("span", numbers ? values[c].toPrecision(4) : percent(values[c]), "value"));
      item.title = `${labels[c]}: ${numbers ? values[c] : values[c].toFixed(4)}`;
      return item;
    }),
  );
}

// The classes that are said, as `hear-edgel3 predict` does: those that reach their thresholds, or have none and are usual;
// where one is right, only the likeliest of them.
function saidOf(values) {
  const { thresholds, targets } = state.card, single = targets === "single";
  const ordered = largest(values, values.length);
  const isUsual = (c) => (single ? c === ordered[0] : values[c] >= 0.5);
  const above = ordered.filter((c) => (thresholds[c] === null ? isUsual(c) : values[c] >= Math.fround(thresholds[c])));
  return single ? above.slice(0, 1) : above;
}

const percent = (value) => `${Math.round(100 * value)} %`;

// To those who do not see the page: the class on top, when it changes, and not too often.
function sayTop(values, before) {
  if (!values || !state.card.labels || state.card.targets === "numbers") return;
  const [c] = largest(values, 1), now = performance.now() / 1000;
  if (before === "" && (values[c] < 0.2 || now - state.said.at < SAID_S || state.card.labels[c] === state.said.text)) return;
  state.said = { text: state.card.labels[c], at: now };
  element("said").textContent = `${before}${state.card.labels[c]}, ${percent(values[c])}`;
}

function note(text) {
  element("note").textContent = text;
  element("note").hidden = !text;
}

// --- drawing, at most once a frame ---

let wanted = 0;

function draw() {
  wanted ||= requestAnimationFrame(drawNow);
}

let drawn_second = null, drawn_lanes = 0;

function drawNow() {
  wanted = 0;
  const { timeline, card } = state;
  if (!card) return;
  // Those who asked for less motion get a picture for each second.
  if (timeline?.isLive && still.matches) {
    const second = Math.floor(timeline.heard);
    if (second === drawn_second && timeline.heard > 1) return;
    drawn_second = second;
  }
  drawSpectrogram(timeline);
  drawTimes(timeline);
  if (card.labels) {
    const count = Math.max(3, Math.min(10, Math.floor(element("lanes").clientHeight / LANE_PX)));
    const least = card.targets === "numbers" ? -Infinity : LEAST;
    const lanes = timeline && (timeline.windows.length || state.whole) ? timeline.top(count, state.whole, state.lanes, least) : [];
    if (lanes.join() !== state.lanes.join() || count !== drawn_lanes) nameLanes(lanes, count);
    [state.lanes, drawn_lanes] = [lanes, count];
    drawLanes(timeline, lanes, count, { thresholds: card.thresholds, areNumbers: card.targets === "numbers" });
    element("lanes").setAttribute("aria-label", lanes.length ? `Over time: ${lanes.map((c) => card.labels[c]).join(", ")}` : "Classes over time: nothing heard yet");
  } else {
    drawEmbedding(timeline);
    element("lanes").setAttribute("aria-label", "The embedding over time");
  }
  if (timeline) element("spectrogram").setAttribute("aria-label", `Spectrogram of ${element("source").textContent}`);
  moveCursor();
}

function nameLanes(lanes, count) {
  element("lane-names").style.gridTemplateRows = `repeat(${count}, minmax(0, 1fr))`;
  element("lane-names").replaceChildren(
    ...lanes.map((c) => {
      const item = document.createElement("li");
      item.append(made("span", state.card.labels[c]));
      item.title = state.card.labels[c];
      return item;
    }),
  );
}

function moveCursor() {
  placeCursor(state.timeline, player.position);
  if (!state.file) return;
  const { position } = player, { seconds: all } = state.file;
  element("seek").value = all ? position / all : 0;
  element("seek").setAttribute("aria-valuetext", `${clock(position)} of ${clock(all)}`);
  element("time").textContent = `${clock(position, all < 60)} / ${clock(all, all < 60)}`;
  const at = state.timeline.windowAt(position);
  element("now-heading").textContent = `Around ${clock(position, true)}, ${seconds(state.window)} of it`;
  fill("now", at?.values ?? null, 5);
}

// --- files ---

async function openFile(file) {
  if (!worker || !state.card) return;
  await hangUp();
  const id = ++state.id;
  note("");
  worker.postMessage({ kind: "stop", id });
  showSource(file.name);
  element("source-facts").textContent = "Decoding";
  try {
    const found = await decoded(file, state.card.sample_rate);
    if (id !== state.id) return;
    Object.assign(state, { file: { ...found, name: file.name }, whole: null, lanes: [], timeline: new Timeline(found.seconds) });
    const told = found.said ? [`${file.name}: ${found.said}.`] : [];
    if (found.length > found.seconds) told.push(`${file.name} has ${clock(found.length)}; the first ${LONGEST_S / 60} minutes of it are listened to.`);
    note(told.join(" "));
    player.load(found.buffer, found.seconds);
    const samples = found.samples;
    worker.postMessage({ kind: "file", id, samples }, [samples.buffer]);
    showFile();
  } catch (error) {
    if (id !== state.id) return;
    reset();
    note(error.message);
  }
  draw();
}

function showFile() {
  element("player").hidden = false;
  document.body.classList.add("has-file");
  element("whole-section").hidden = !state.card.labels;
  const some = Boolean(state.whole);
  fill("whole", state.whole);
  element("whole-heading").textContent = some ? "In the whole file" : "In the whole file: listening";
  showProgress();
}

function showSource(name) {
  player.load(null, 0);
  Object.assign(state, { file: null, whole: null, lanes: [], timeline: null, latest: null, silent_since: null });
  document.body.classList.remove("has-file");
  delete element("spectrogram").dataset.done;
  showCard(false);
  element("source").textContent = name;
  element("source-facts").textContent = "";
  element("player").hidden = true;
  element("about-section").open = false;
  for (const list of ["whole", "now", "lane-names"]) element(list).replaceChildren();
  element("now-heading").textContent = "";
  element("whole-section").hidden = true;
}

function showCard(on) {
  element("card").hidden = !on;
  element("heard").hidden = on;
  document.body.classList.toggle("is-empty", on);
}

// Nothing is listened to: as at the start.
function reset() {
  showSource("");
  showCard(true);
  element("about-section").open = true;
  draw();
}

// --- microphone ---

async function toggleMicrophone() {
  if (!worker || element("microphone").disabled) return;
  if (state.live) {
    await hangUp();
    return;
  }
  const id = ++state.id;
  note("");
  showSource("Microphone");
  element("source-facts").textContent = "Waiting for permission";
  const { port1, port2 } = new MessageChannel();
  try {
    const live = await microphone(state.card.sample_rate, port1);
    if (id !== state.id) return live.stop();
    state.live = live;
    state.timeline = new Timeline(null);
    worker.postMessage({ kind: "listen", id, rate: live.rate, port: port2 }, [port2]);
    live.track.onended = () => hangUp("The microphone is gone.");
    pressed(true);
    element("source-facts").textContent = live.label;
  } catch (error) {
    if (id !== state.id) return;
    reset();
    note(error.message);
  }
  draw();
}

// What was heard stays to be seen.
async function hangUp(why = "") {
  if (!state.live) return;
  state.live.track.onended = null;
  state.live.stop();
  state.live = null;
  worker.postMessage({ kind: "stop", id: ++state.id });
  pressed(false);
  if (why) note(why);
  if (state.timeline) element("source-facts").textContent = `${clock(state.timeline.heard)} heard, stopped`;
}

function pressed(on) {
  element("microphone").setAttribute("aria-pressed", on);
  element("microphone-text").textContent = on ? "Stop" : "Microphone";
}

// --- playing ---

function playerChanged() {
  const { isPlaying } = player;
  element("play").textContent = isPlaying ? "❚❚" : "▶";
  element("play").setAttribute("aria-label", isPlaying ? "Pause" : "Play");
  if (isPlaying) follow();
  else if (state.timeline) moveCursor();
}

function follow() {
  if (!player.isPlaying) return;
  moveCursor();
  requestAnimationFrame(follow);
}

function playOrPause() {
  if (!state.file) return;
  if (player.isPlaying) player.pause();
  else player.play();
}

function seekTo(event) {
  if (!state.file) return;
  const { left, width } = event.currentTarget.getBoundingClientRect();
  const [from, to] = state.timeline.span;
  player.seek(from + ((event.clientX - left) / width) * (to - from));
}

// --- keys, pointers, drops ---

const KEYS = {
  m: toggleMicrophone,
  o: () => element("open").disabled || element("file").click(),
  " ": playOrPause,
  ArrowLeft: () => state.file && player.seek(player.position - 1),
  ArrowRight: () => state.file && player.seek(player.position + 1),
  Home: () => state.file && player.seek(0),
  End: () => state.file && player.seek(state.file.seconds),
  t: () => (switchTheme(), draw()),
  "?": () => element("help").showModal(),
  Escape: () => (state.live ? hangUp() : player.pause()),
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || element("help").open || !KEYS[event.key]) return;
  const control = event.target.closest?.("button, summary, input");
  if (control && (event.key === " " || (control.matches("input") && !/^[a-z?]$|Escape/.test(event.key)))) return;
  event.preventDefault();
  KEYS[event.key]();
}

function listen() {
  for (const id of ["microphone", "welcome-microphone"]) element(id).addEventListener("click", toggleMicrophone);
  for (const id of ["open", "welcome-open"]) element(id).addEventListener("click", () => element("file").click());
  element("file").addEventListener("change", () => {
    const [file] = element("file").files;
    if (file) openFile(file);
    element("file").value = ""; // so that the same one can be chosen again
  });
  element("theme").addEventListener("click", KEYS.t);
  element("help-open").addEventListener("click", KEYS["?"]);
  element("play").addEventListener("click", playOrPause);
  element("seek").addEventListener("input", () => state.file && player.seek(Number(element("seek").value) * state.file.seconds));
  for (const id of ["spectrogram", "lanes"]) element(id).addEventListener("click", seekTo);
  document.addEventListener("keydown", onKey);
  let inside = 0; // dragging over a child leaves its parent
  document.addEventListener("dragenter", (event) => dragged(event, ++inside));
  document.addEventListener("dragleave", (event) => dragged(event, --inside));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    dragged(event, (inside = 0));
    const files = [...(event.dataTransfer?.files ?? [])];
    if (files.length === 0 || !worker) return;
    openFile(files[0]).then(() => files.length > 1 && note(`One file at a time: this is ${files[0].name}.`));
  });
  new ResizeObserver(draw).observe(element("lanes"));
  followTheme();
}

function dragged(event, inside) {
  event.preventDefault();
  element("drop").hidden = inside <= 0 || element("open").disabled;
}

start();
