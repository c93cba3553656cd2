"use strict";
// Clips that are selected, with a lasso or one by one, to be labelled and saved.

const selected = new Uint8Array(count);
const LISTED = 200;
let lasso = null; // [x, y, x, y, ...] on the canvas while it is drawn
let labelGiven = false; // to what is selected: what is selected next is another selection
let lassoing = false; // whether dragging draws one without the shift key

function selectedClips() {
  return Array.from(selected.keys()).filter((clip) => selected[clip]);
}

function select(clips, on = true) {
  if (on && labelGiven) selected.fill(0);
  if (on) labelGiven = false;
  for (const clip of clips) selected[clip] = on ? 1 : 0;
  fillSelection();
}

// What `l` is for: the label of what is selected, or of a clip by itself where nothing is that has no label yet.
function typeLabel(clip) {
  const begins = selectedClips().length === 0 || (labelGiven && !selected[clip]);
  if (clip >= 0 && begins) select([clip]);
  if (!element("label").disabled) element("label").select();
}

function selectNothing() {
  labelGiven = false;
  selected.fill(0);
  fillSelection();
}

// What is shown inside the lasso, by the even-odd rule, is selected as well.
function closeLasso() {
  const corners = lasso;
  lasso = null;
  if (corners.length < 6) return;
  const inside = [];
  for (let clip = 0; clip < count; clip++) {
    if (shown[clip] && isInside(corners, screenX(clip), screenY(clip))) inside.push(clip);
  }
  select(inside);
  element("said").textContent = `${amount(inside.length, "clip")} in the lasso`;
}

function isInside(corners, x, y) {
  let inside = false;
  for (let i = 0, j = corners.length - 2; i < corners.length; j = i, i += 2) {
    const [x1, y1, x2, y2] = [corners[i], corners[i + 1], corners[j], corners[j + 1]];
    if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) inside = !inside;
  }
  return inside;
}

function setLassoing(on) {
  lassoing = on;
  element("lasso").setAttribute("aria-pressed", on);
  canvas.style.cursor = on ? "crosshair" : "grab";
}

function fillSelection() {
  const clips = selectedClips();
  element("selection").hidden = clips.length === 0 && labelled.size === 0;
  element("selection-heading").textContent = `${amount(clips.length, "clip")} selected`;
  element("selected").replaceChildren(...clips.slice(0, LISTED).map(itemOf));
  if (clips.length > LISTED) {
    element("selected").append(made("li", `and ${(clips.length - LISTED).toLocaleString("en")} more`, "more"));
  }
  for (const id of ["label", "give-label", "save-selection", "select-nothing"]) element(id).disabled = clips.length === 0;
  element("save-labels").disabled = labelled.size === 0;
  element("labels-given").textContent = labelled.size ? `${amount(labelled.size, "clip")} with a label` : "";
  element("training").hidden = labelled.size === 0;
  element("known-labels").replaceChildren(
    ...knownLabels().map((label) => Object.assign(document.createElement("option"), { value: label })),
  );
  draw();
}

function itemOf(clip) {
  const item = document.createElement("li");
  const name = document.createElement("button");
  name.append(made("span", data.names[clip], "label"), made("span", labelled.get(clip) ?? "", "value"));
  name.title = pathOf(clip);
  name.addEventListener("click", () => chooseAndPlay(clip));
  const off = made("button", "×", "bare");
  off.setAttribute("aria-label", `Take ${data.names[clip]} out of the selection`);
  off.addEventListener("click", () => select([clip], false));
  item.append(name, off);
  return item;
}

function save(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function listenToSelection() {
  element("lasso").addEventListener("click", () => setLassoing(!lassoing));
  element("select-nothing").addEventListener("click", selectNothing);
  element("labelling").addEventListener("submit", (event) => {
    event.preventDefault();
    giveLabel(element("label").value);
  });
  element("save-selection").addEventListener("click", () => save("selection.csv", selectionTable()));
  element("save-labels").addEventListener("click", () => {
    save("labels.csv", labelsTable());
    unsaved = false;
  });
  element("load-labels").addEventListener("click", () => element("labels-file").click());
  element("labels-file").addEventListener("change", async () => {
    const [file] = element("labels-file").files;
    if (file) element("loaded").textContent = loadLabels(await file.text());
    element("labels-file").value = ""; // so that the same file can be loaded again
    fillSelection();
  });
  element("train-command").replaceChildren(...wordsOf(trainCommand()));
  restoreLabels();
  fillSelection();
  window.addEventListener("beforeunload", (event) => {
    if (unsaved) event.preventDefault();
  });
}
