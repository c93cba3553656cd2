"use strict";
// The one sound that is playing. Files are linked, so they are played by an audio element: from file:// nothing else
// may read them.

const audio = new Audio();
audio.preload = "none";
let loaded = -1; // the clip whose sound it is

function canPlay(clip) {
  return soundOf(clip) !== null;
}

function isPlaying() {
  return !audio.paused && !audio.ended;
}

function play(clip, from = null) {
  if (!canPlay(clip)) return;
  if (loaded !== clip) {
    audio.src = soundOf(clip);
    loaded = clip;
  }
  if (from !== null || audio.ended) audio.currentTime = from ?? 0;
  // Refused or interrupted by the next clip: the error event says what is wrong with a sound, if anything is.
  audio.play().catch(() => {});
}

function stopSound() {
  audio.pause();
}

// So that it is loaded anew, and what is wrong with it is said anew, when it is to be played again.
function forgetSound() {
  loaded = -1;
}

// What a page holds of a clip's sound, in seconds; NaN where the file has not said so yet.
function soundLength(clip) {
  if (loaded === clip && Number.isFinite(audio.duration)) return audio.duration;
  const length = seconds[clip];
  return data.embedded_seconds === null ? length : Math.min(length, data.embedded_seconds);
}

function soundPosition(clip) {
  return loaded === clip ? audio.currentTime : 0;
}

// What a WAV file that is linked lacks, by what its embeddings are of; "" where nothing is known to be missing. Of other
// files a browser tells what their headers say, or an estimate.
function missingOf(clip) {
  const address = /\.wave?(?:#t=([^,]*).*)?$/i.exec(audio.src);
  if (loaded !== clip || address === null || !Number.isFinite(audio.duration)) return "";
  const start = Number(address[1] ?? 0);
  if (!(audio.duration - start < 0.99 * seconds[clip])) return "";
  const known = (start + seconds[clip]).toFixed(2);
  return `The file is truncated: its embeddings are of sound up to ${known} s, it ends at ${audio.duration.toFixed(2)} s.`;
}
