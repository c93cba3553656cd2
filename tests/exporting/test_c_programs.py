"""The programs of a C library: built strictly, with sanitizers and for other processors, and fed with hostile files."""

from __future__ import annotations

import shutil
import struct
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import hear_edgel3
from hear_edgel3.exporting import c as target
from hear_edgel3.exporting.folders import read_folder_facts
from hear_edgel3.exporting.run import Exported
from support import signals
from support.compiling import SANITIZED, STRICT, compiled, needed, run, sanitizers_needed

pytestmark = pytest.mark.skipif(target.compiler() is None, reason="there is no C compiler")
Example = Callable[..., str]


@pytest.fixture(scope="module")
def example(c_tiny: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example of the built-in net, with sanitizers."""
    needed("gcc")
    return compiled(c_tiny.path, "example", tmp_path_factory.mktemp("example"), *SANITIZED)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("net", ["c_tiny", "c_dymn", "c_dymn_int8", "c_ssondo"])
def test_strict_and_sanitized(net: str, compiler: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Clips, streams and refusals, as the test that is exported with it has them. Compilers find different faults."""
    sanitizers_needed(compiler, tmp_path)
    done: Exported = request.getfixturevalue(net)
    said = run([str(compiled(done.path, "test", tmp_path, *SANITIZED, compiler=compiler))]).stdout
    assert said.count("embedding differs by") == 3
    assert "0 checks failed" in said


@pytest.mark.parametrize("net", ["c_tiny", "c_dymn", "c_dymn_int8", "c_ssondo"])
def test_the_memory_is_enough_for_any_length(net: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Of exactly as many bytes as are said to be needed, for clips and streams whose maps end in odd rows and frames.

    It lies at any address, and what is in it before is no number.
    """
    needed("gcc")
    done: Exported = request.getfixturevalue(net)
    prefix = read_folder_facts(done.path)["prefix"]
    text = f"""
#include <stdlib.h>
#include <string.h>
#include "{prefix}.h"
static float samples[40000];
static {prefix}_result result, again;
static unsigned char *room(size_t bytes, size_t past) {{
    unsigned char *memory = malloc(bytes + past);
    if (memory == NULL) exit(1);
    memset(memory, 255, bytes + past);
    return memory;
}}
int main(void) {{
    size_t n, past = 0, used;
    for (n = 0; n < 40000; n++) samples[n] = (float)rand() / (float)RAND_MAX - .5f;
    for (n = 1; n < 40000; n += n < 11000 ? 319 : 3001, past = (past + 1) % 8) {{
        {prefix}_stream stream;
        unsigned char *memory = room({prefix}_memory(n), past);
        if ({prefix}_clip(memory + past, {prefix}_memory(n), samples, n, &result)) return 2;
        free(memory);
        if (past) continue;
        past = 3;
        memory = room({prefix}_stream_memory(n), past);
        if ({prefix}_start(&stream, memory + past, {prefix}_stream_memory(n), n, n)) return 3;
        if ({prefix}_feed(&stream, samples, n, &used, &again) != 1) return 4;
        if (memcmp(&result, &again, sizeof result)) return 5;
        free(memory);
    }}
    return 0;
}}
"""
    (tmp_path / "lengths.c").write_text(text)
    words = [*STRICT, *SANITIZED, f"-I{done.path}", "-o", str(tmp_path / "lengths"), str(tmp_path / "lengths.c")]
    run(["gcc", *words, str(done.path / f"{prefix}.c"), "-lm"])
    run([str(tmp_path / "lengths")])


def test_make(c_tiny: Exported, tmp_path: Path) -> None:
    needed("make", "gcc")
    shutil.copytree(c_tiny.path, tmp_path / "c")
    assert "0 checks failed" in run(["make", "-C", str(tmp_path / "c"), "CC=gcc", "CFLAGS=-O1 -Werror", "test"]).stdout
    assert (tmp_path / "c" / "tiny.o").exists()
    run(["make", "-C", str(tmp_path / "c"), "clean"])
    assert not (tmp_path / "c" / "tiny.o").exists()


def test_the_example_tags(example: Path, tmp_path: Path) -> None:
    """A file as a whole, of each kind that is read, and in windows: the classes that PyTorch finds."""
    samples = signals.clip(1.3, 32000, channels=2).T.reshape(-1, 2)
    kept = np.round(samples * 32767).clip(-32768, 32767).astype(np.int16)
    soundfile.write(tmp_path / "16.wav", kept, 32000)
    soundfile.write(tmp_path / "float.wav", kept.astype(np.float32) / 32768, 32000, subtype="FLOAT")
    soundfile.write(tmp_path / "extensible.wav", kept, 32000, format="WAVEX")
    x = torch.from_numpy((kept.astype(np.float64) / 32768).mean(axis=1).astype(np.float32))[None]
    extractor = hear_edgel3.load("tiny", features=["logits"])
    for name in ("16", "float", "extensible"):
        said = run([str(example), str(tmp_path / f"{name}.wav")]).stdout
        assert said == _likeliest(extractor, x), name
    for window in (0.5, 0.2):  # the next one begins in the first, and behind it
        windows = run([str(example), str(tmp_path / "16.wav"), str(window), "0.4"]).stdout
        starts = [0, 12800, 25600]
        parts = [x[:, start : start + int(window * 32000)] for start in starts]
        expected = [
            f"{start / 32000:.3f} s\n" + _likeliest(extractor, part) for start, part in zip(starts, parts, strict=True)
        ]
        assert windows == "".join(expected)


def _likeliest(extractor: hear_edgel3.Extractor, x: torch.Tensor) -> str:
    probabilities = torch.sigmoid(extractor.embed_windows(x))[0]
    labels = hear_edgel3.load("tiny").labels
    assert labels is not None
    best = torch.argsort(-probabilities, stable=True)[:5].tolist()
    return "".join(f"{float(probabilities[i]):7.3f}  {labels[i].name}\n" for i in best)


def wav(
    samples: bytes = bytes(64000),
    kind: int = 1,
    channels: int = 1,
    rate: int = 32000,
    bits: int = 16,
    size: int | None = None,
    block: int | None = None,
    before: bytes = b"",
    fmt_size: int = 16,
) -> bytes:
    block = channels * bits // 8 if block is None else block
    fmt = struct.pack("<HHIIHH", kind, channels, rate, rate * block & 0xFFFFFFFF, block, bits)[:fmt_size]
    fmt += bytes(min(fmt_size, 64) - len(fmt))
    data = b"data" + struct.pack("<I", len(samples) if size is None else size) + samples
    body = b"WAVE" + before + b"fmt " + struct.pack("<I", fmt_size) + fmt + data
    return b"RIFF" + struct.pack("<I", len(body) & 0xFFFFFFFF) + body


_HOSTILE = {
    "is no WAV file": [b"", b"RIFF", b"RIFX" + wav()[4:], b"no sound at all" * 9, wav()[:11]],
    "does not say what its samples are": [wav()[:12], b"RIFF\0\0\0\0WAVEdata\xff\xff\xff\xff", wav()[:19]],
    "is damaged": [
        wav()[:30],
        wav(fmt_size=8),
        wav(fmt_size=0xFFFFFFFF),
        wav(before=b"LIST\xff\xff\xff\xff"),
        wav(channels=0, block=2),
        wav(channels=2, block=2),
        wav(channels=65535, block=2),
    ],
    "has no samples": [wav(b""), wav()[:36], wav(b"\0"), wav(size=0)],
    "is neither 16-bit": [wav(bits=8), wav(kind=3, bits=64), wav(kind=85), wav(bits=0), wav(kind=1, bits=32)],
    "is at 44100 Hz; the net needs 32000": [wav(rate=44100)],
    "is at 4294967295 Hz": [wav(rate=0xFFFFFFFF)],
    "not a finite number": [wav(struct.pack("<ff", 0.5, float("nan")), kind=3, bits=32)],
    "a sample is not a finite": [wav(struct.pack("<f", float("inf")) * 9, kind=3, bits=32)],
}


@pytest.mark.parametrize("text", _HOSTILE)
def test_hostile_files(text: str, example: Path, tmp_path: Path) -> None:
    for i, contents in enumerate(_HOSTILE[text]):
        file = tmp_path / f"{i}.wav"
        file.write_bytes(contents)
        done = run([str(example), str(file)], code=1)
        assert text in done.stderr, (i, done.stderr)
        assert done.stdout == ""


def test_files_that_are_cut_off_are_refused(example: Path, tmp_path: Path) -> None:
    """As the package does: the tags of a half would pass for those of the whole."""
    cut, nearly = tmp_path / "cut.wav", tmp_path / "nearly.wav"
    cut.write_bytes(wav()[:-20000])
    for words in ([], ["0.2"]):
        assert "is cut off" in run([str(example), str(cut), *words], code=1).stderr
    nearly.write_bytes(wav()[:-500])
    assert run([str(example), str(nearly)]).stdout
    nearly.write_bytes(wav(bytes(5)))
    assert run([str(example), str(nearly)]).stdout


def test_odd_files_are_read(example: Path, tmp_path: Path) -> None:
    """What is there counts where a header says that it does not know the length."""
    noise = signals.clip(0.5, 32000, seed=3)[:16000]
    with wave.open(str(tmp_path / "plain.wav"), "wb") as file:
        file.setparams((1, 2, 32000, 0, "NONE", ""))
        file.writeframes((noise * 32767).astype("<i2").tobytes())
    contents = (tmp_path / "plain.wav").read_bytes()
    samples = contents[44:]
    expected = run([str(example), str(tmp_path / "plain.wav")]).stdout
    for i, odd in enumerate(
        (
            wav(samples, size=0xFFFFFFFF),
            wav(samples, size=0x7FFFF000),
            wav(samples, size=0x80000000),
            wav(samples + b"\1"),
            wav(samples, before=b"LIST\x03\0\0\0abc\0"),
            wav(samples, fmt_size=18),
        )
    ):
        (tmp_path / f"{i}.wav").write_bytes(odd)
        assert run([str(example), str(tmp_path / f"{i}.wav")]).stdout == expected, i
    for words in (["nowhere.wav"], [str(tmp_path / "plain.wav"), "0.6"]):
        assert run([str(example), *words], code=1).stderr
    for words in ([], ["a", "b"], ["a", "0"], ["a", "1", "-1"], ["a", "nan"], ["a", "1e99"], ["a", "1", "1", "1"]):
        assert run([str(example), *words], code=2).stderr


@pytest.mark.parametrize("net", ["c_tiny", "c_dymn", "c_ssondo"])
def test_for_aarch64(net: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Statically, in an emulator: the same numbers on another processor."""
    needed("aarch64-linux-gnu-gcc", "qemu-aarch64")
    done: Exported = request.getfixturevalue(net)
    made = compiled(done.path, "test", tmp_path, "-O2", "-static", compiler="aarch64-linux-gnu-gcc")
    assert "0 checks failed" in run(["qemu-aarch64", str(made)]).stdout


@pytest.mark.parametrize("net", ["c_tiny", "c_sea", "c_dymn", "c_ssondo"])
def test_for_cortex_m7(net: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """An object, whose code is small, and which has no memory of its own that is written."""
    needed("arm-none-eabi-gcc", "arm-none-eabi-size")
    done: Exported = request.getfixturevalue(net)
    source = next(one for one in done.path.glob("*.c") if not one.stem.endswith(("_test", "_example")))
    words = ["-mcpu=cortex-m7", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv5-d16", "-O2", "-c"]
    run(["arm-none-eabi-gcc", *STRICT, *words, "-o", str(tmp_path / "o.o"), str(source)])
    sizes = run(["arm-none-eabi-size", "-A", str(tmp_path / "o.o")]).stdout
    found = {line.split()[0]: int(line.split()[1]) for line in sizes.splitlines() if line.startswith(".")}
    code = sum(size for name, size in found.items() if name.startswith(".text"))
    constants = sum(size for name, size in found.items() if name.startswith(".rodata"))
    print(f"Cortex-M7: code {code}, constants {constants} bytes")
    assert 2000 < code < 20_000
    assert 0 <= constants - done.proof.size < 40_000
    assert not any(size for name, size in found.items() if name.startswith((".data", ".bss")) and "rel.ro" not in name)


def test_how_long_clips_may_be_is_said(c_tiny: Exported) -> None:
    assert "It takes clips of up to 120 seconds." in (c_tiny.path / "README.md").read_text()
    assert "tiny: takes 514 to 3840000 samples at 32000 Hz" in (header := (c_tiny.path / "tiny.h").read_text())
    assert "#define TINY_LONGEST ((size_t)3840000)" in header


def test_the_header_in_cpp(c_tiny: Exported, tmp_path: Path) -> None:
    needed("g++")
    (tmp_path / "a.cpp").write_text('#include "tiny.h"\nint main() { return tiny_error(TINY_OK) == nullptr; }\n')
    words = ["g++", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", f"-I{c_tiny.path}"]
    run([*words, str(tmp_path / "a.cpp")])
