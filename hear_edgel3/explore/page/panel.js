"use strict";
// The panel beside the map: one clip, or what there is to say of the whole.

const element = (id) => document.getElementById(id);
let inPanel = -1;

function fillHeader() {
  element("title").textContent = element("title").title = data.title;
  const known = seconds.filter((length) => !Number.isNaN(length));
  const total = known.reduce((sum, length) => sum + length, 0);
  const facts = [data.configuration, clipsText()];
  if (known.length) facts.push(longTime(total));
  facts.push(data.projection.toUpperCase());
  element("facts").textContent = facts.join(" · ");
  const made = data.hop_ms === null ? "one per clip" : `means of one every ${data.hop_ms} ms`;
  describe("about", [
    ["Embeddings", `${data.configuration}, ${data.size} values, ${made}`],
    ["Map", mapText()],
    ...(data.n_all > count ? [["Sample", `${clipsText()}, spread over all recordings`]] : []),
    ...(data.channel === null ? [] : [["Channel", `${data.channel}, counted from 0`]]),
    ["Tags", data.tagged_by ?? "none"],
    ["Folder", data.root || "several"],
    ["Made by", `hear_edgel3 ${data.version}`],
  ]);
}

function clipsText() {
  const all = amount(data.n_all, "clip");
  return data.n_all > count ? `${count.toLocaleString("en")} of ${all}` : all;
}

function mapText() {
  const kind = data.projection === "umap" ? "UMAP by whitened cosine" : "principal components";
  if (data.neighbours_kept === null) return kind;
  return `${kind}; ${Math.round(100 * data.neighbours_kept)} % of a clip's ${Math.min(data.n_neighbours, count - 1)} nearest are so here, too`;
}

function describe(id, pairs) {
  element(id).replaceChildren(...pairs.flatMap(([term, text]) => [made("dt", term), made("dd", text)]));
}

function made(tag, text, className = "") {
  const node = document.createElement(tag);
  node.textContent = text;
  if (className) node.className = className;
  return node;
}

function fillFailed() {
  if (data.n_failed === 0) return;
  element("failed").hidden = false;
  element("failed-summary").textContent = `${amount(data.n_failed, "file")} without an embedding`;
  const items = data.failed.map(([file, reason]) => made("li", reason.includes(file) ? reason : `${file}: ${reason}`));
  if (data.n_failed > data.failed.length) items.push(made("li", `and ${data.n_failed - data.failed.length} more`));
  element("failed-list").replaceChildren(...items);
}

const LEAST_CERTAIN = 100; // are listed

// The clips that come first, where they are not in the order of their names.
function fillOrder(choose) {
  if (order === null) return;
  element("order").hidden = false;
  const items = Array.from(order.slice(0, LEAST_CERTAIN), (clip) => {
    const button = made("button", "");
    const percent = Number.isNaN(uncertainties[clip]) ? "" : `${Math.round(100 * uncertainties[clip])} %`;
    button.append(made("span", data.names[clip], "label"), made("span", percent, "value"));
    button.title = pathOf(clip);
    button.addEventListener("click", () => choose(clip));
    const item = document.createElement("li");
    item.append(button);
    return item;
  });
  element("order-list").replaceChildren(...items);
}

// `choose` is called with a clip when one of its nearest is pressed.
function fillPanel(clip, colourOf, choose) {
  inPanel = clip;
  element("welcome").hidden = clip >= 0;
  element("clip").hidden = clip < 0;
  if (clip < 0) return;
  const folder = data.folders[folderOf[clip]];
  element("clip-name").textContent = data.names[clip];
  element("clip-folder").textContent = folder;
  element("clip-folder").hidden = !folder;
  fillTags(clip);
  fillNeighbours(clip, colourOf, choose);
  element("clip-facts").textContent = factsOf(clip).join(" · ");
  showNote(clip, data.notes[clip] ?? "");
  element("play").disabled = element("seek").disabled = !canPlay(clip);
  showPosition();
  showSpectrogram(clip);
}

function factsOf(clip) {
  const facts = [];
  if (recorded !== null && !Number.isNaN(recorded[clip])) {
    facts.push(new Date(1000 * recorded[clip]).toISOString().slice(0, 19).replace("T", " "));
  }
  if (siteOf !== null && siteOf[clip] >= 0) facts.push(data.sites[siteOf[clip]]);
  if (!Number.isNaN(seconds[clip])) facts.push(longTime(seconds[clip]));
  if (sampleRates[clip]) facts.push(`${sampleRates[clip] / 1000} kHz`);
  if (!Number.isNaN(uncertainties[clip])) facts.push(`uncertain by ${Math.round(100 * uncertainties[clip])} %`);
  if (data.hop_ms !== null) facts.push(`mean of ${amount(rows[clip], "embedding")}`);
  return facts;
}

function fillTags(clip) {
  const heard = tagsOf(clip);
  element("tags-section").hidden = heard.length === 0;
  element("tags").replaceChildren(
    ...heard.map(({ label, probability }) => {
      const item = document.createElement("li");
      const bar = made("span", "", "bar");
      bar.style.width = `${100 * probability}%`;
      item.append(bar, made("span", label, "label"), made("span", `${Math.round(100 * probability)} %`, "value"));
      return item;
    }),
  );
}

function fillNeighbours(clip, colourOf, choose) {
  const near = neighboursOf(clip);
  element("neighbours-section").hidden = near.length === 0;
  element("neighbours").replaceChildren(
    ...near.map(({ clip: other, similarity }) => {
      const button = document.createElement("button");
      const dot = made("span", "", "dot");
      dot.style.background = colourOf(other);
      const label = made("span", data.names[other], "label");
      label.append(made("small", data.folders[folderOf[other]]));
      button.append(dot, label, made("span", similarity.toFixed(3), "value"));
      button.title = pathOf(other);
      button.addEventListener("click", () => choose(other));
      const item = document.createElement("li");
      item.append(button);
      return item;
    }),
  );
}

function showNote(clip, text) {
  if (clip !== inPanel) return;
  element("note").textContent = text;
  element("note").hidden = !text;
}

async function showSpectrogram(clip) {
  const picture = element("spectrogram");
  const { bands, frames, seconds: longest, highest_hz: highest } = data.spectrograms;
  let levels = null;
  try {
    levels = await spectrogramOf(clip);
  } catch (error) {
    showNote(clip, `This browser cannot unpack spectrograms (${error.message}).`);
  }
  if (clip !== inPanel) return; // another one has been chosen meanwhile
  picture.hidden = levels === null;
  element("no-spectrogram").hidden = levels !== null;
  element("spectrogram-scale").hidden = levels === null;
  fillScales(clip, levels !== null);
  if (levels === null) return;
  picture.width = frames;
  picture.height = bands;
  picture.getContext("2d").putImageData(painted(levels, bands, frames), 0, 0);
  const cut = seconds[clip] > longest ? `first ${longest} s of ${longTime(seconds[clip])}` : longTime(seconds[clip]);
  element("spectrogram-scale").textContent = `log-mel to ${highest / 1000} kHz, up to 70 dB; ${cut}`;
  picture.setAttribute("aria-label", `Spectrogram of ${data.names[clip]}: ${cut}`);
}

// Marks of Hz and seconds on the spectrogram.
function fillScales(clip, visible) {
  const marksOf = (texts, side) =>
    texts.map(([text, share]) => {
      const mark = made("li", text);
      mark.style[side] = `${100 * share}%`;
      return mark;
    });
  element("frequencies").hidden = element("times").hidden = !visible;
  if (!visible) return;
  element("frequencies").replaceChildren(...marksOf(data.spectrograms.marks_hz, "bottom"));
  const length = spectrogramLength(clip);
  const free = 64 / element("spectrogram").clientWidth; // beside the frequencies
  const times = Number.isNaN(length) ? [] : ticksOf(length).filter((at) => at / length > free);
  const ticks = times.map((at) => [`${at} s`, at / length]);
  element("times").replaceChildren(...marksOf(ticks, "left"));
}

// Round seconds inside a length, at most five.
function ticksOf(length) {
  const step = [0.05, 0.1, 0.2, 0.5, 1, 2, 5].find((one) => length / one <= 6) ?? length;
  const ticks = [];
  for (let i = 1; i * step < 0.93 * length; i++) ticks.push(Number((i * step).toFixed(2)));
  return ticks;
}

function painted(levels, bands, frames) {
  const image = new ImageData(frames, bands);
  const out = new Uint32Array(image.data.buffer);
  for (let band = 0; band < bands; band++) {
    for (let i = 0; i < frames; i++) out[(bands - 1 - band) * frames + i] = HEAT[levels[band * frames + i]];
  }
  return image;
}

// The seconds that the spectrogram's width stands for.
function spectrogramLength(clip) {
  const length = Number.isNaN(seconds[clip]) ? soundLength(clip) : seconds[clip];
  return Math.min(length, data.spectrograms.seconds);
}

function showPosition() {
  if (inPanel < 0) return;
  const length = soundLength(inPanel), position = soundPosition(inPanel);
  const playing = loaded === inPanel && isPlaying();
  element("play").textContent = playing ? "❚❚" : "▶\ufe0e";
  element("play").setAttribute("aria-label", playing ? "Pause" : "Play");
  element("seek").max = Number.isNaN(length) ? 1 : length;
  element("seek").value = position;
  element("seek").setAttribute("aria-valuetext", `${position.toFixed(1)} seconds`);
  element("time").textContent = Number.isNaN(length) ? "" : `${position.toFixed(1)} / ${length.toFixed(1)} s`;
  const along = position / spectrogramLength(inPanel);
  element("cursor").hidden = !(along > 0 && along <= 1);
  element("cursor").style.left = `${100 * along}%`;
}

function amount(n, noun) {
  return `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
}

function longTime(length) {
  if (Number.isNaN(length)) return "length unknown";
  if (length < 60) return `${length.toFixed(1)} s`;
  if (length < 5400) return `${Math.floor(Math.round(length) / 60)} min ${Math.round(length) % 60} s`;
  return `${(length / 3600).toFixed(1)} h`;
}
