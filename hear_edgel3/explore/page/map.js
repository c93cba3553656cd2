"use strict";
// Pointers on the map: hovering, clicking, dragging, the lasso, the wheel, and two fingers.

const CLICK = 5; // pixels that a pointer may move in a click
const pointers = new Map(); // those that are down, by id: {x, y}
let moved = 0;

// `on` has hover(clip, x, y), choose(clip), and moved() for when the view has changed.
function listenToPointers(on) {
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    if (pointers.size === 0) {
      moved = 0;
      const { x, y } = placeOf(event);
      lasso = event.shiftKey || lassoing ? [x, y] : null;
    } else {
      lasso = null; // of two fingers
    }
    pointers.set(event.pointerId, placeOf(event));
    on.hover(-1);
  });
  canvas.addEventListener("pointermove", (event) => {
    const place = placeOf(event);
    if (!pointers.has(event.pointerId)) {
      on.hover(clipAt(place.x, place.y, reachOf(event)), place.x, place.y);
      return;
    }
    drag(event.pointerId, place);
    on.moved();
  });
  canvas.addEventListener("pointerup", (event) => {
    const place = placeOf(event);
    if (lasso !== null && moved > CLICK) {
      closeLasso();
      on.moved();
    } else if (pointers.size === 1 && moved <= CLICK) on.choose(clipAt(place.x, place.y, reachOf(event)));
    lasso = null;
    pointers.delete(event.pointerId);
  });
  canvas.addEventListener("pointercancel", (event) => {
    lasso = null;
    pointers.delete(event.pointerId);
  });
  canvas.addEventListener("pointerleave", () => on.hover(-1));
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 24 : 1;
      zoomBy(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0016)), event.offsetX, event.offsetY);
      on.hover(-1);
      on.moved();
    },
    { passive: false },
  );
}

function placeOf(event) {
  const { left, top } = canvas.getBoundingClientRect();
  return { x: event.clientX - left, y: event.clientY - top };
}

function reachOf(event) {
  return dotRadius() + (event.pointerType === "mouse" ? 4 : 14);
}

// One pointer moves the map; of two, the distance zooms and the middle moves.
function drag(id, place) {
  const before = [...pointers.values()];
  const old = pointers.get(id);
  pointers.set(id, place);
  moved += Math.hypot(place.x - old.x, place.y - old.y);
  if (lasso !== null) {
    lasso.push(place.x, place.y);
    return;
  }
  if (before.length === 1) {
    if (moved > CLICK) panBy(place.x - old.x, place.y - old.y);
    return;
  }
  const [a, b] = [...pointers.values()];
  const [oldA, oldB] = before;
  panBy((a.x + b.x - oldA.x - oldB.x) / 2, (a.y + b.y - oldA.y - oldB.y) / 2);
  const factor = Math.hypot(a.x - b.x, a.y - b.y) / Math.max(1, Math.hypot(oldA.x - oldB.x, oldA.y - oldB.y));
  zoomBy(factor, (a.x + b.x) / 2, (a.y + b.y) / 2);
}
