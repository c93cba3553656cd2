"""Sound made by programs: instruments by FluidSynth, speech by eSpeak NG and Festival.

What a program makes depends on its version as well as on the seed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import mido
import numpy as np
import soundfile

from .debian import RecipeError, whole

RATE = 32000
DRUMS = 9  # channel 10 as musicians count
_TICKS_PER_SECOND = 960  # 480 to the beat, at MIDI's own 120 beats a minute
_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 6, 7, 10), tuple(range(12)))
_CHORDS = ((0, 4, 7), (0, 3, 7), (0, 4, 7, 11), (0, 3, 7, 10), (0, 5, 7), (0, 7), (0, 12))
# Letters to spell; digits are read as words in every language, and mixed in.
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_EFFECTS = ("f2", "f3", "f4", "f5", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "croak", "whisper", "whisperf")

Event = tuple[float, mido.Message]


class RenderError(RecipeError):
    """One clip cannot be made; others may."""


def generator(seed: int, name: str) -> np.random.Generator:
    """Random numbers that depend on nothing but a seed and the name of what they are for."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def program(name: str) -> str:
    """Where a program is.

    Raises:
        RecipeError: it is not installed.
    """
    path = shutil.which(name)
    if path is None:
        packages = {"text2wave": "festival festvox-kallpc16k"}.get(name, name)
        raise RecipeError(f"the program {name} is not on PATH: install it (on Debian: apt-get install {packages})")
    return path


def version(name: str) -> str:
    """The first line a program says of its version."""
    said = _run([program(name), "--version"], name)
    return said.strip().splitlines()[0].split("  Data at:")[0].removeprefix(f"{program(name)}: ")


def _run(command: list[str], what: str, text: str | None = None) -> str:
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, errors="replace", timeout=600, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RenderError(f"{what} cannot be made: {error}") from error
    if done.returncode:
        last = (done.stderr.strip() or "it says nothing").splitlines()[-1]
        raise RenderError(f"{what} cannot be made: {Path(command[0]).name} ended with {done.returncode}: {last}")
    return done.stdout


def phrase(number: int, rng: np.random.Generator, length: float = 10.0) -> list[Event]:
    """Notes of one instrument: a tune, chords or both, at a random speed and loudness.

    Args:
        number: General MIDI program, from 0.
        rng: what is random about it.
        length: in seconds.
    """
    events: list[Event] = [(0.0, mido.Message("program_change", program=number))]
    beat = 60 / rng.uniform(50, 190)
    scale, root = _SCALES[rng.integers(len(_SCALES))], int(rng.integers(36, 73))
    tune, chords = ((True, False), (False, True), (True, True))[rng.integers(3)]
    soft, loud = sorted(rng.integers(30, 128, 2))
    legato = rng.uniform(0.3, 1.3)

    def note(start: float, pitch: int, duration: float) -> None:
        pitch = int(np.clip(pitch, 21, 108))
        velocity = int(rng.integers(soft, loud + 1))
        events.append((start, mido.Message("note_on", note=pitch, velocity=velocity)))
        events.append((min(start + max(duration, 0.03), length), mido.Message("note_off", note=pitch)))

    if tune:
        at, step = rng.uniform(0, 0.3), int(rng.integers(0, 8))
        while at < length - 0.2:
            duration = beat * rng.choice([0.25, 0.5, 0.5, 1, 1, 2])
            if rng.random() < 0.88:
                octave, degree = divmod(step, len(scale))
                note(at, root + 12 * octave + scale[degree], duration * legato)
            step = int(np.clip(step + rng.integers(-3, 4), -5, 14))
            at += duration
    if chords:
        at, strum = rng.uniform(0, 0.3), rng.choice([0.0, 0.0, 0.03, 0.25])
        while at < length - 0.3:
            duration = beat * rng.choice([1, 2, 2, 4])
            base = root - (12 if tune else 0) + scale[rng.integers(len(scale))]
            for index, interval in enumerate(_CHORDS[rng.integers(len(_CHORDS))]):
                if (start := at + index * strum * beat) < length - 0.1:
                    note(start, base + interval, duration * legato)
            at += duration
    return events


def drums(rng: np.random.Generator, length: float = 10.0) -> list[Event]:
    """A pattern on the drum channel, with changes, or one drum at a time."""
    kit = int(rng.choice([0, 0, 8, 16, 24, 25, 32, 40, 48]))
    events: list[Event] = [(0.0, mido.Message("program_change", channel=DRUMS, program=kit))]
    step = 60 / rng.uniform(60, 180) / int(rng.choice([2, 3, 4]))
    voices = {
        int(pitch): rng.random(16) < rng.uniform(0.08, 0.6)
        for pitch in ([rng.integers(35, 82)] if rng.random() < 0.3 else rng.integers(35, 82, rng.integers(2, 7)))
    }
    if rng.random() < 0.6:  # a beat of its kind: bass drum, snare, hi-hat
        voices |= {36: np.arange(16) % 8 == 0, 38: np.arange(16) % 8 == 4, 42: np.arange(16) % 2 == 0}
    for index in range(int((length - 0.3) / step)):
        for pitch, pattern in voices.items():
            if pattern[index % 16] != (rng.random() < 0.06):
                velocity = int(rng.integers(40, 128))
                events.append((index * step, mido.Message("note_on", channel=DRUMS, note=pitch, velocity=velocity)))
                events.append((index * step + 0.1, mido.Message("note_off", channel=DRUMS, note=pitch)))
    return events


def song(path: Path, length: float = 60.0) -> list[Event]:
    """The first seconds of a MIDI file that begin with a note.

    Raises:
        RenderError: the file is damaged.
    """
    events: list[Event] = []
    sounding: dict[tuple[int, int], int] = {}
    now, first = 0.0, None
    try:
        for message in mido.MidiFile(path, clip=True):
            now += message.time
            if message.type == "note_on" and message.velocity and first is None:
                first = now
            if first is not None and now > first + length:
                break
            if message.is_meta or message.type == "sysex":
                continue
            events.append((now, message))
            if message.type in ("note_on", "note_off"):
                sounding[message.channel, message.note] = message.velocity if message.type == "note_on" else 0
    except (OSError, EOFError, ValueError, KeyError, IndexError) as error:
        raise RenderError(f"{path} cannot be read as MIDI: {error!r}") from error
    # FluidSynth renders until the last note has ended, so notes that are cut must end, and no pedal hold them.
    for channel in range(16):
        events.append((now, mido.Message("control_change", channel=channel, control=64, value=0)))
    for (channel, note), velocity in sounding.items():
        if velocity:
            events.append((now, mido.Message("note_off", channel=channel, note=note)))
    return [(max(0.0, at - (first or 0.0)), message) for at, message in events]


def write_midi(events: list[Event], path: Path) -> None:
    """Writes events at their seconds."""
    track = mido.MidiTrack()
    last = 0
    for at, message in sorted(events, key=lambda event: event[0]):
        ticks = round(at * _TICKS_PER_SECOND)
        track.append(message.copy(time=ticks - last))
        last = ticks
    mido.MidiFile(type=0, ticks_per_beat=_TICKS_PER_SECOND // 2, tracks=[track]).save(path)


def play(events: list[Event], sound_font: Path, target: Path, length: float) -> None:
    """Renders events to a FLAC file of at most `length` seconds."""
    with tempfile.TemporaryDirectory() as folder:
        midi, wav = Path(folder, "in.mid"), Path(folder, "out.wav")
        write_midi(events, midi)
        # Without the user's own configuration, which might change the sound.
        options = ["-q", "-n", "-i", "-f", os.devnull, "-r", str(RATE), "-g", "0.5", "-O", "s16", "-T", "wav"]
        _run([program("fluidsynth"), *options, "-F", str(wav), str(sound_font), str(midi)], target.name)
        _to_flac(wav, target, length)


def _to_flac(wav: Path, target: Path, length: float | None = None) -> None:
    """Copies what a program wrote, cut to a length, under its final name."""
    try:
        with soundfile.SoundFile(wav) as sound:
            samples = sound.read(-1 if length is None else int(length * sound.samplerate), dtype="int16")
            rate = sound.samplerate
    except soundfile.SoundFileError as error:
        raise RenderError(f"{target.name} cannot be made: the program wrote no sound: {error}") from error
    if not len(samples):
        raise RenderError(f"{target.name} cannot be made: the program wrote a sound of no length")
    write_flac(target, samples, rate)


def write_flac(target: Path, samples: np.ndarray, rate: int) -> None:
    """Writes a 16-bit FLAC file whole or not at all."""
    with whole(target) as temporary:
        try:
            soundfile.write(temporary, samples, rate, format="FLAC", subtype="PCM_16")
        except soundfile.SoundFileError as error:
            raise RecipeError(f"cannot write {target}: {error}. Is the disk full?") from error


def espeak_voices() -> list[str]:
    """The voices eSpeak NG lists, one for each language or accent, without those that need MBROLA's.

    By file, since not every name in the list is one that it takes.
    """
    lines = _run([program("espeak-ng"), "--voices"], "the list of voices").splitlines()[1:]
    rows = [line.split() for line in lines if line.strip()]
    return sorted({row[4] for row in rows if not row[4].startswith("mb/")})


def text(rng: np.random.Generator) -> str:
    """Numbers and letters to read, in groups."""
    groups = []
    for _ in range(rng.integers(3, 8)):
        if rng.random() < 0.65:
            groups.append(str(int(10 ** rng.uniform(0, 5))))
        else:
            groups.append(" ".join(rng.choice(list(_LETTERS), rng.integers(1, 5))))
    return ", ".join(groups) + str(rng.choice([".", "?", "!"]))


def clips_of_espeak(seed: int) -> Iterator[tuple[str, list[str], str]]:
    """The clips to speak: a name, options of espeak-ng and the text."""
    for voice in espeak_voices():
        for index in range(3):
            name = f"{voice.replace('/', '-')}-{index}"
            rng = generator(seed, f"espeak-{name}")
            variant = f"+{rng.choice(_EFFECTS)}" if index else ""
            speed, pitch = int(rng.integers(110, 260)), int(rng.integers(15, 90))
            yield name, ["-v", voice + variant, "-s", str(speed), "-p", str(pitch)], text(rng)


def speak(options: list[str], words: str, target: Path) -> None:
    """Has eSpeak NG read words to a FLAC file."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder, "out.wav")
        _run([program("espeak-ng"), *options, "-w", str(wav), "--", words], target.name)
        _to_flac(wav, target)


def speak_with_festival(words: str, target: Path, stretch: float) -> None:
    """Has Festival's voice kal_diphone read English to a FLAC file."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder, "out.wav")
        settings = f"(begin (voice_kal_diphone) (Parameter.set 'Duration_Stretch {stretch:.2f}))"
        _run([program("text2wave"), "-eval", settings, "-o", str(wav)], target.name, words)
        _to_flac(wav, target)
