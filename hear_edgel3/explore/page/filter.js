"use strict";
// Which clips are shown: those that have all words of the filter in their name, folder or tags, and are of the group.

const shown = new Uint8Array(count).fill(1);
const haystacks = Array.from({ length: count }, (_, clip) =>
  [pathOf(clip), ...tagsOf(clip).map((tag) => tag.label)].join("\n").normalize("NFC").toLowerCase(),
);
let inOrder = order; // clips in their order; by name they are sorted when first asked for

// Returns [clips that have the words, those of them that are of the group]; group is null for all.
function applyFilter(words, group, groupOf) {
  const needles = words.normalize("NFC").toLowerCase().split(/\s+/).filter(Boolean);
  const perGroup = new Uint32Array(GROUPS + 1);
  let found = 0;
  for (let clip = 0; clip < count; clip++) {
    const has = needles.every((needle) => haystacks[clip].includes(needle));
    if (has) perGroup[groupOf[clip]]++;
    shown[clip] = has && (group === null || groupOf[clip] === group) ? 1 : 0;
    found += shown[clip];
  }
  return { found, perGroup };
}

// The shown clip that comes `step` (1 or -1) after `clip` in order, from the other end again; -1 where none is shown.
function alongOrder(clip, step) {
  inOrder ??= clipsByName();
  let at = inOrder.indexOf(clip);
  if (at < 0 && step < 0) at = count;
  for (let i = 1; i <= count; i++) {
    const next = inOrder[(at + step * i + count * 2) % count];
    if (shown[next]) return next;
  }
  return -1;
}

function clipsByName() {
  const collator = new Intl.Collator(undefined, { numeric: true });
  const paths = Array.from({ length: count }, (_, clip) => pathOf(clip));
  return Array.from(paths.keys()).sort((a, b) => collator.compare(paths[a], paths[b]));
}
