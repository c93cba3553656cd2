// What the header of a file says of its length, compared with what was decoded: browsers decode what is there of a file
// that was cut off, and say nothing. The rules, and the words, are those of hear_edgel3.audio.

const LEAST = 0.99; // of what the header says: a count may be off by a frame or so, and else it is off by far more
const NEAR = 1 << 16; // writers that cannot go back put in such lengths: all ones, or about 2 GiB
const MUCH = 1 << 13; // fewer bytes behind the sound are some program's labels
const MOST_CHUNKS = 4096;
const SEARCHED = 1 << 16;
const NO_LENGTH = "its header gives no length, as when a recorder loses its power: all that follows it was read as sound";
const NO_END = "it has no mark of its end, which may be missing";

// {cut, note}: what is wrong with a file of which so many seconds were decoded, at this rate; "" where nothing is.
export function compared(bytes, decoded, rate) {
  const view = new DataView(bytes);
  try {
    const start = behindLabels(view);
    const mark = name(view, start);
    if (mark === "fLaC") return ofFlac(view, start, decoded, rate);
    if (mark === "OggS") return said("", hasEnd(view) ? "" : NO_END);
    const field = dataField(view);
    return field ? ofChunk(view, field, decoded) : ofMpeg(view, start, decoded);
  } catch (error) {
    if (error instanceof RangeError) return said("", ""); // it ends within its header
    throw error;
  }
}

function said(cut, note) {
  return { cut, note };
}

function against(decoded, counted, slack) {
  if (decoded >= counted - slack) return said("", "");
  const text = `its header says ${counted.toFixed(2)} s, ${decoded.toFixed(2)} s could be decoded`;
  if (decoded < LEAST * counted) return said(`is truncated: ${text}`, "");
  return said("", `its end or another part is missing: ${text}`);
}

function name(view, at) {
  return at + 4 <= view.byteLength ? String.fromCharCode(...new Uint8Array(view.buffer, at, 4)) : "";
}

// --- WAV, RF64, AIFF, AU, CAF: samples in one chunk of a given length ---

function ofChunk(view, { start, length, little, wide }, decoded) {
  const there = view.byteLength - start;
  if (there <= 0 || decoded === 0 || length === null) return said("", "");
  if (length > there) return against(decoded, (decoded * length) / there, 0);
  const rest = there - length;
  if (rest < MUCH && length > 0) return said("", "");
  if (wide ? length > 0 : areChunks(view, start + length + (length % 2), little)) return said("", "");
  if (length === 0) return said("", NO_LENGTH);
  const left = ((rest / length) * decoded).toFixed(2);
  return said("", `its header gives ${decoded.toFixed(2)} s, and ${rest} bytes more follow that are no part of it: if they are sound, ${left} s were left out`);
}

// {start, length: null where it was not known, little, wide}; null for what is none of these.
function dataField(view) {
  const [form, kind] = [name(view, 0), name(view, 8)];
  if (["RIFF", "RIFX", "RF64", "BW64"].includes(form) && kind === "WAVE") return riff(view, form !== "RIFX");
  if (form === "FORM" && (kind === "AIFF" || kind === "AIFC")) return aiff(view);
  if (form === ".snd") return { start: Math.max(24, view.getUint32(4)), length: known(view.getUint32(8), 0), little: false, wide: false };
  if (form === "caff") return caf(view);
  return null;
}

function known(value, others) {
  return value >= 2 ** 32 - NEAR || Math.abs(value - 2 ** 31) <= NEAR ? null : Math.max(0, value - others);
}

function knownWide(value, others) {
  return value >= 2n ** 64n - BigInt(NEAR) ? null : Math.max(0, Number(value) - others);
}

function riff(view, little) {
  let wide = null;
  for (let at = 12, i = 0; at < view.byteLength && i < MOST_CHUNKS; i++) {
    const length = view.getUint32(at + 4, little);
    if (name(view, at) === "ds64") wide = view.getBigUint64(at + 16, true);
    if (name(view, at) === "data") {
      return { start: at + 8, length: wide === null ? known(length, 0) : knownWide(wide, 0), little, wide: wide !== null };
    }
    at += 8 + length + (length % 2);
  }
  return null;
}

function aiff(view) {
  for (let at = 12, i = 0; at < view.byteLength && i < MOST_CHUNKS; i++) {
    const length = view.getUint32(at + 4);
    if (name(view, at) === "SSND") {
      const others = 8 + view.getUint32(at + 8);
      return { start: at + 8 + others, length: known(length, others), little: false, wide: false };
    }
    at += 8 + length + (length % 2);
  }
  return null;
}

function caf(view) {
  for (let at = 8, i = 0; at < view.byteLength && i < MOST_CHUNKS; i++) {
    const length = view.getBigUint64(at + 4);
    if (name(view, at) === "data") return { start: at + 16, length: knownWide(length, 4), little: false, wide: true };
    at += 12 + Number(length);
  }
  return null;
}

// Whether what is there from a place on, up to the end of the file, are other chunks than that of the samples.
function areChunks(view, at, little) {
  const size = view.byteLength;
  for (let i = 0; i < MOST_CHUNKS; i++) {
    if (at >= size - 1) return true;
    if (at + 8 > size || !/^[\x20-\x7e]{4}$/.test(name(view, at))) return false;
    const length = view.getUint32(at + 4, little);
    at += 8 + length + (length % 2);
    if (at > size + 1) return false;
  }
  return false;
}

// --- FLAC: the header counts samples, and what is decoded ends with a frame ---

function ofFlac(view, start, decoded, rate) {
  const at = start + 8;
  const [least, block] = [view.getUint16(at), view.getUint16(at + 2)];
  const own = view.getUint32(at + 10) >>> 12;
  const count = (view.getUint8(at + 13) & 15) * 2 ** 32 + view.getUint32(at + 14);
  if (count === 0 || own === 0 || decoded === 0) return said("", "");
  const there = decoded * own;
  const off = 1 + (2 * own) / rate; // what is decoded is at another rate, and rounded
  if (Math.abs(there - count) <= off) return said("", "");
  // Of a file that was cut, the last frame is as long as the others; an encoder that came to its end makes a shorter
  // one. A header that says twice as much counts the samples of both channels.
  const times = Math.round(count / there);
  const isShort = least === block && Math.min(there % block, block - (there % block)) > off;
  if (there > count || (times > 1 && Math.abs(count - times * there) <= times * off) || isShort) {
    return said("", `its header says ${(count / own).toFixed(2)} s, but it has ${decoded.toFixed(2)} s: all that there is was read`);
  }
  return against(decoded, count / own, 0);
}

// --- Ogg: the last page says that it is the last ---

function hasEnd(view) {
  for (let at = view.byteLength - 27; at >= Math.max(0, view.byteLength - 65307); at--) {
    if (name(view, at) !== "OggS" || view.getUint8(at + 4) !== 0) continue;
    const n = view.getUint8(at + 26);
    if (at + 27 + n > view.byteLength) return false;
    const sizes = new Uint8Array(view.buffer, at + 27, n);
    const end = at + 27 + n + sizes.reduce((sum, size) => sum + size, 0);
    return end <= view.byteLength && (view.getUint8(at + 5) & 4) !== 0;
  }
  return false;
}

// --- MP3: a first frame without sound, of Xing's or LAME's, counts the others ---

function behindLabels(view) {
  let at = 0;
  while (at + 10 <= view.byteLength && name(view, at).startsWith("ID3")) {
    at += 10 + [6, 7, 8, 9].reduce((sum, i) => sum * 128 + (view.getUint8(at + i) & 127), 0);
  }
  return at;
}

function ofMpeg(view, start, decoded) {
  const end = Math.min(view.byteLength - 164, start + SEARCHED);
  for (let at = start; at < end; at++) {
    if (view.getUint8(at) !== 255 || (view.getUint8(at + 1) & 0xe6) !== 0xe2) continue; // layer 3
    const [version, third] = [(view.getUint8(at + 1) >> 3) & 3, view.getUint8(at + 2)];
    const own = [44100, 48000, 32000][(third >> 2) & 3] >> { 3: 0, 2: 1, 0: 2 }[version];
    const head = [36, 21, 13].map((k) => at + k).find((k) => ["Xing", "Info"].includes(name(view, k)));
    if (!own || head === undefined || !(view.getUint32(head + 4) & 1)) continue;
    const frame = version === 3 ? 1152 : 576;
    // The encoder's own silence, before and behind, which decoders leave out where it is stated.
    const trimmed = /^L(AME|av[cf])/.test(name(view, head + 120)) ? view.getUint32(head + 140) & 0xffffff : 0;
    const samples = view.getUint32(head + 8) * frame - (trimmed >> 12) - (trimmed & 0xfff);
    return against(decoded, samples / own, (2 * frame) / own);
  }
  return said("", "");
}
