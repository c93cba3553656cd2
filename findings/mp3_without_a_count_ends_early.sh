#!/usr/bin/env bash
# Of an MP3 file that does not say how long it is, soundfile gives as much as it guesses: a fifth of it, or a part again and again.
#
# Versions: soundfile 0.14.0 with libsndfile 1.2.2 (from its wheel), av (PyAV) 18.1.0 with FFmpeg 8.1, numpy 2.4.6, Python 3.11, Linux
#   x86-64.
# Behaviour: MP3 of variable bit rate that was written into a pipe has no frame that counts the others (Xing), since that would have to
#   be written last and stand first. libsndfile then guesses the number of samples from the bit rate at the beginning and the size of
#   the file. Of a sound that begins loud and goes on quietly the guess is too small: read() and blocks() stop there, and most is
#   missing without an error or a warning. Of one that begins quietly it is too large: read() gives what there is, but blocks() goes
#   on with its last block, repeated up to the guess. FFmpeg decodes the same files to their end (and the encoder's padding, 40 ms).
# Known: libsndfile issue 1001 has the wrong count, but neither what is left out nor what is repeated.
# What helps: counting the frames of MP3 files without a Xing frame, or decoding them by FFmpeg.
# Output seen:
#   loud, then quiet, into a file: 20.00 s by info(), 20.00 s by read(), 20.00 s by blocks(), 20.00 s by FFmpeg
#   loud, then quiet, into a pipe: 4.12 s by info(), 4.12 s by read(), 4.12 s by blocks(), 20.04 s by FFmpeg
#   quiet, then loud, into a pipe: 32.97 s by info(), 20.04 s by read(), 32.97 s by blocks() (138 are the one before), 20.04 s by FFmpeg
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q soundfile==0.14.0 av==18.1.0 numpy==2.4.6
cat >"$work/try.py" <<'PYTHON'
import io

import av
import numpy as np
import soundfile

RATE = 44100


class Pipe:
    """What can be written to, and neither sought in nor read."""

    def __init__(self):
        self.written = b""

    def write(self, more):
        self.written += bytes(more)
        return len(more)


def encoded(samples, into):
    with av.open(into, "w", format="mp3") as container:
        # Variable bit rate, of quality 4 (118 is FFmpeg's unit of quality).
        quality = {"flags": "+qscale", "global_quality": str(4 * 118)}
        stream = container.add_stream("libmp3lame", rate=RATE, layout="mono", options=quality)
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return into.written if isinstance(into, Pipe) else into.getvalue()


def said_of(file):
    blocks = list(soundfile.blocks(io.BytesIO(file), 4096))
    again = sum(one.any() and np.array_equal(one, other) for one, other in zip(blocks, blocks[1:]))
    counts = {
        "info()": soundfile.info(io.BytesIO(file)).frames,
        "read()": len(soundfile.read(io.BytesIO(file))[0]),
        f"blocks() ({again} are the one before)" if again else "blocks()": sum(map(len, blocks)),
        "FFmpeg": sum(frame.samples for frame in av.open(io.BytesIO(file)).decode(audio=0)),
    }
    return ", ".join(f"{count / RATE:.2f} s by {name}" for name, count in counts.items())


noise = np.random.default_rng(0).standard_normal(RATE * 10).astype(np.float32)
sounds = {"loud, then quiet": (0.3, 1e-5), "quiet, then loud": (1e-5, 0.3)}
for name, kind in ("loud, then quiet", io.BytesIO), ("loud, then quiet", Pipe), ("quiet, then loud", Pipe):
    file = encoded(np.concatenate([level * noise for level in sounds[name]]), kind())
    assert (b"Xing" in file[:1000]) == (kind is io.BytesIO)
    print(f"{name}, into a {'pipe' if kind is Pipe else 'file'}: {said_of(file)}")
PYTHON
"$work/venv/bin/python" "$work/try.py" | tee "$work/seen"
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }
