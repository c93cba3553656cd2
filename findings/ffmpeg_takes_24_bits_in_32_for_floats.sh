#!/usr/bin/env bash
# FFmpeg takes WAV files of 24 valid bits in 32 for floats, and those of 20 for samples of three bytes.
#
# Versions: av (PyAV) 18.1.0 with FFmpeg 8.1 (libavformat 62.12) from its wheel, soundfile 0.14.0 with libsndfile 1.2.2,
#   numpy 2.4.6, Python 3.11, Linux x86-64.
# Behaviour: WAVE_FORMAT_EXTENSIBLE says how wide samples are stored (wBitsPerSample, nBlockAlign), and beside it how many of their
#   bits a converter has filled (wValidBitsPerSample), the highest ones. FFmpeg chooses the codec by the second number: with 24 in
#   32 it reads the integers as floats of a codec for Cool Edit's old files (pcm_f24le), with 20 in 32 it takes three bytes for a
#   sample, so that there are a third more. Neither is an error, and no warning is raised in Python. libsndfile reads the same
#   files exactly. Who computes features of such files through FFmpeg gets NaN, or noise of another length.
# What helps: reading WAV files by libsndfile; or wValidBitsPerSample set to wBitsPerSample, which changes no sample.
# Output seen:
#   32 valid bits of 32: libsndfile 16000 samples, all right; FFmpeg pcm_s32le, 16000 samples, all right
#   24 valid bits of 32: libsndfile 16000 samples, all right; FFmpeg pcm_f24le, 16000 samples, 71 NaN, the largest 4e+31
#   20 valid bits of 32: libsndfile 16000 samples, all right; FFmpeg pcm_s24le, 21328 samples, none right
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q av==18.1.0 soundfile==0.14.0 numpy==2.4.6
cat >"$work/try.py" <<'PYTHON'
import io
import struct

import av
import numpy as np
import soundfile

RATE, WIDTH = 16000, 32
PCM = bytes.fromhex("0100000000001000800000aa00389b71")
noise = 0.3 * np.random.default_rng(0).standard_normal(RATE).clip(-3, 3)


def wav(samples, valid):
    layout = (0xFFFE, 1, RATE, RATE * WIDTH // 8, WIDTH // 8, WIDTH, 22, valid, 4)
    described = struct.pack("<HHIIHHHHI", *layout) + PCM
    chunks = (b"fmt ", described), (b"data", samples.astype("<i4").tobytes())
    body = b"WAVE" + b"".join(name + struct.pack("<I", len(what)) + what for name, what in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def through_ffmpeg(file):
    container = av.open(io.BytesIO(file))
    codec = container.streams.audio[0].codec_context.name
    found = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)[0]
    return codec, found.astype(np.float64) / (2.0**31 if found.dtype == np.int32 else 1)


for valid in 32, 24, 20:
    # The lowest bits are none of the converter's, and 0.
    samples = (noise * 2.0 ** (valid - 1)).astype(np.int64) << (WIDTH - valid)
    file, expected = wav(samples, valid), samples / 2.0**31
    direct = soundfile.read(io.BytesIO(file))[0]
    codec, found = through_ffmpeg(file)
    right = int((found[: len(expected)] == expected).sum())
    if right == len(found):
        said = "all right"
    elif np.isnan(found).any():
        said = f"{np.isnan(found).sum()} NaN, the largest {np.nanmax(np.abs(found)):.0e}"
    else:
        said = f"{right or 'none'} right"
    print(
        f"{valid} valid bits of {WIDTH}: libsndfile {len(direct)} samples, "
        f"{'all right' if np.array_equal(direct, expected) else 'others'}; FFmpeg {codec}, {len(found)} samples, {said}"
    )
PYTHON
"$work/venv/bin/python" "$work/try.py" | tee "$work/seen"
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }
