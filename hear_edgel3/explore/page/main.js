"use strict";
// What the page is showing, and what changes it.

const state = {
  chosen: -1, // the clip in the panel
  anchor: -1, // the clip whose nearest "n" and "p" go through
  step: -1, // which of them is chosen; -1 for the anchor itself
  hovered: -1,
  by: data.tagged_by === null ? "folder" : "tag",
  layout: "map",
  group: null, // the only group shown, or null
  theme: null, // "light" or "dark"; null as the system has it
  found: count,
  names: [], // of groups, with their places
};
const COLOURINGS = Object.keys(groupings); // "tag" is the first
const LAYOUTS = Object.keys(layouts);
const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");

function theme() {
  return state.theme ?? (prefersDark.matches ? "dark" : "light");
}

function colourOf(clip) {
  return colourOfGroup(groupings[state.by].groupOf[clip]);
}

function colourOfGroup(group) {
  return group === GROUPS ? OTHERS[theme()] : PALETTES[theme()][group];
}

// --- drawing, at most once per frame ---

let wanted = 0;

function draw() {
  wanted ||= requestAnimationFrame(drawNow);
}

function drawNow() {
  wanted = 0;
  followTheme(); // Chromium does not always say that the system's has changed
  const colours = [...PALETTES[theme()], OTHERS[theme()]].map(wordOf);
  const [ground, faint, ink] = [GROUNDS, FAINT, INKS].map((of) => wordOf(of[theme()]));
  drawDots(groupings[state.by].groupOf, colours, { ground, faint, ink });
  drawMarksNow();
}

function drawMarksNow() {
  const style = getComputedStyle(document.documentElement);
  drawMarks(state.chosen, state.hovered, {
    line: style.getPropertyValue("--muted"),
    text: style.getPropertyValue("--text"),
    names: state.names,
    accent: style.getPropertyValue("--accent"),
    ground: GROUNDS[theme()],
    dotOf: colourOf,
  });
}

function resize() {
  Object.assign(view, fitCanvas(canvas));
  fitCanvas(marks);
  drawNow(); // at once: a canvas that is resized is empty
}

// --- choosing clips ---

function choose(clip, { anchor = clip, step = -1, sound = false } = {}) {
  const wasPlaying = isPlaying();
  Object.assign(state, { chosen: clip, anchor, step });
  fillPanel(clip, colourOf, chooseAndPlay);
  if (clip < 0) {
    stopSound();
  } else {
    bringIntoView(clip);
    say(clip);
    if (sound || wasPlaying) playChosen();
  }
  draw();
}

function chooseAndPlay(clip) {
  choose(clip, { sound: clip >= 0 });
}

function say(clip) {
  const heard = tagsOf(clip)[0];
  element("said").textContent = heard ? `${pathOf(clip)}, ${heard.label}` : pathOf(clip);
}

function playChosen() {
  if (canPlay(state.chosen)) play(state.chosen);
  else stopSound();
}

function playOrPause() {
  if (state.chosen < 0) return;
  if (loaded === state.chosen && isPlaying()) stopSound();
  else playChosen();
}

function go(direction) {
  const next = state.chosen < 0 ? clipInTheMiddle() : clipTowards(state.chosen, direction);
  if (next >= 0) choose(next);
}

function goInOrder(step) {
  const next = alongOrder(state.chosen, step);
  if (next >= 0) choose(next);
}

function goThroughNearest(direction) {
  if (state.anchor < 0) return;
  const near = neighboursOf(state.anchor);
  const step = Math.min(near.length - 1, Math.max(-1, state.step + direction));
  if (step === state.step) return;
  choose(step < 0 ? state.anchor : near[step].clip, { anchor: state.anchor, step });
}

// --- filter and groups ---

function filter() {
  const words = element("filter").value;
  const { found, perGroup } = applyFilter(words, state.group, groupings[state.by].groupOf);
  state.found = found;
  const all = found === count;
  element("count").textContent = all ? "" : `${found.toLocaleString("en")} of ${count.toLocaleString("en")}`;
  element("clear").hidden = !words;
  element("nothing").hidden = found > 0;
  fillLegend(perGroup);
  state.names = placesOfNames(groupings[state.by].names, groupings[state.by].groupOf);
  hover(-1);
  draw();
}

function clearFilter() {
  element("filter").value = "";
  state.group = null;
  filter();
}

function fillLegend(perGroup) {
  const { names, rest } = groupings[state.by];
  const focused = document.activeElement?.dataset?.group;
  const groups = [...names.keys()];
  if (groupings[state.by].groupOf.includes(GROUPS)) groups.push(GROUPS);
  element("legend").replaceChildren(
    ...groups.map((group) => {
      const button = document.createElement("button");
      const dot = made("span", "", "dot");
      dot.style.background = colourOfGroup(group);
      const size = perGroup[group].toLocaleString("en");
      button.append(dot, made("span", names[group] ?? rest, "label"), made("span", size, "value"));
      button.title = names[group] ?? rest; // in full
      button.dataset.group = group;
      button.setAttribute("aria-pressed", state.group === group);
      button.addEventListener("click", () => showGroup(group));
      return button;
    }),
  );
  if (focused !== undefined) element("legend").querySelector(`[data-group="${focused}"]`)?.focus();
}

function showGroup(group) {
  state.group = state.group === group ? null : group;
  filter();
}

function colourBy(by) {
  state.by = by;
  state.group = null;
  for (const name of COLOURINGS) element(`by-${name}`).setAttribute("aria-pressed", by === name);
  refresh();
}

function layOut(name) {
  state.layout = name;
  for (const one of LAYOUTS) element(`as-${one}`).setAttribute("aria-pressed", one === name);
  setLayout(name);
  element("meaning").textContent = meaning;
  filter();
}

// The one that comes after `one` of those that can be chosen, from the first again.
function following(names, one) {
  return names[(names.indexOf(one) + 1) % names.length];
}

// Which colours and layouts there are, as far as the dataset has what they need.
function offerChoices() {
  for (const name of ["tag", "folder", "site", "hour"]) {
    element(`by-${name}`).hidden = groupings[name] === undefined;
    element(`by-${name}`).addEventListener("click", () => colourBy(name));
  }
  for (const name of ["map", "dates", "sites"]) {
    element(`as-${name}`).hidden = layouts[name] === undefined;
    element(`as-${name}`).addEventListener("click", () => layOut(name));
  }
  element("layouts").hidden = LAYOUTS.length < 2;
}

// After a change of colours.
function refresh() {
  filter();
  fillPanel(state.chosen, colourOf, chooseAndPlay);
}

function setTheme(name) {
  state.theme = name;
  followTheme();
}

// The style and all colours as the theme now is.
function followTheme() {
  if (document.documentElement.dataset.theme === theme()) return;
  document.documentElement.dataset.theme = theme();
  refresh();
}

// --- hovering ---

function hover(clip, x, y) {
  const tooltip = element("tooltip");
  tooltip.hidden = clip < 0;
  canvas.style.cursor = clip >= 0 ? "pointer" : lassoing ? "crosshair" : "grab";
  if (clip >= 0) {
    const heard = tagsOf(clip)[0];
    const under = heard?.label ?? data.folders[folderOf[clip]];
    tooltip.replaceChildren(made("strong", data.names[clip]), made("span", under));
    const right = x > view.width - 260;
    tooltip.style.left = right ? "" : `${x + 14}px`;
    tooltip.style.right = right ? `${view.width - x + 14}px` : "";
    tooltip.style.top = `${Math.min(y + 12, view.height - 56)}px`;
  }
  if (clip !== state.hovered) {
    state.hovered = clip;
    drawMarksNow();
  }
}

// --- keys ---

const KEYS = {
  ArrowRight: () => go([1, 0]),
  ArrowLeft: () => go([-1, 0]),
  ArrowUp: () => go([0, 1]),
  ArrowDown: () => go([0, -1]),
  Enter: playOrPause,
  " ": playOrPause,
  n: () => goThroughNearest(1),
  p: () => goThroughNearest(-1),
  ".": () => goInOrder(1),
  ",": () => goInOrder(-1),
  "+": () => zoomed(1.4),
  "=": () => zoomed(1.4),
  "-": () => zoomed(1 / 1.4),
  0: wholeMap,
  "/": () => element("filter").select(),
  "?": () => element("help").showModal(),
  s: () => state.chosen >= 0 && select([state.chosen], !selected[state.chosen]),
  a: () => select(Array.from({ length: count }, (_, clip) => clip).filter((clip) => shown[clip])),
  l: () => typeLabel(state.chosen),
  c: () => colourBy(following(data.tagged_by === null ? COLOURINGS.slice(1) : COLOURINGS, state.by)),
  m: () => layOut(following(LAYOUTS, state.layout)),
  Escape: escape,
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || element("help").open) return;
  const at = event.target;
  if (at === element("label")) {
    if (event.key === "Escape") canvas.focus();
    return;
  }
  if (at === element("filter")) {
    if (event.key === "Escape") clearFilter();
    if (event.key === "Enter") goToFirstMatch();
    return;
  }
  if (isForControl(at, event.key) || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
}

// Whether a button or slider has a use of its own for a key.
function isForControl(node, key) {
  if (node.closest("button, summary")) return key === "Enter" || key === " ";
  return node.matches("input") && key.startsWith("Arrow");
}

function escape() {
  if (lassoing) setLassoing(false);
  else if (element("filter").value || state.group !== null) clearFilter();
  else choose(-1);
}

function goToFirstMatch() {
  if (state.found === 0) return;
  const first = alongOrder(-1, 1);
  canvas.focus();
  choose(first);
}

function zoomed(factor) {
  zoomBy(factor);
  draw();
}

function wholeMap() {
  showWholeMap();
  draw();
}

// --- start ---

function start() {
  fillHeader();
  fillFailed();
  fillOrder(chooseAndPlay);
  canvas.setAttribute("aria-label", `Map of ${amount(count, "clip")}`);
  if (data.tagged_by === null) element("by-tag").disabled = true;
  listenToPointers({ hover, moved: draw, choose: chooseAndPlay });
  element("filter").addEventListener("input", filter);
  element("clear").addEventListener("click", () => {
    clearFilter();
    element("filter").focus();
  });
  element("nothing-clear").addEventListener("click", clearFilter);
  offerChoices();
  element("theme").addEventListener("click", () => setTheme(theme() === "dark" ? "light" : "dark"));
  element("help-open").addEventListener("click", () => element("help").showModal());
  element("zoom-in").addEventListener("click", () => zoomed(1.4));
  element("zoom-out").addEventListener("click", () => zoomed(1 / 1.4));
  element("zoom-fit").addEventListener("click", wholeMap);
  element("play").addEventListener("click", playOrPause);
  element("seek").addEventListener("input", () => seek(Number(element("seek").value)));
  element("spectrogram").addEventListener("click", (event) => {
    seek((event.offsetX / element("spectrogram").clientWidth) * spectrogramLength(state.chosen));
  });
  listenToSound();
  listenToSelection();
  document.addEventListener("keydown", onKey);
  prefersDark.addEventListener("change", followTheme);
  setTheme(null);
  colourBy(state.by);
  layOut(state.layout);
  resize(); // before the first frame, to which the observer is late
  new ResizeObserver(resize).observe(canvas);
}

function seek(position) {
  if (canPlay(state.chosen)) play(state.chosen, position);
}

function listenToSound() {
  const follow = () => {
    showPosition();
    if (isPlaying()) requestAnimationFrame(follow);
  };
  for (const name of ["play", "pause", "ended", "loadedmetadata", "seeked"]) audio.addEventListener(name, follow);
  audio.addEventListener("loadedmetadata", () => {
    const missing = missingOf(loaded);
    const noted = data.notes[loaded] ?? "";
    if (missing && !noted.includes("is truncated: ")) showNote(loaded, `${noted} ${missing}`.trim());
  });
  audio.addEventListener("error", () => {
    showNote(loaded, "The browser cannot play this file: it is gone, or in a format that the browser does not know.");
    forgetSound();
  });
}

start();
