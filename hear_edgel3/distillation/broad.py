"""Broad clips: sounds mixed and altered far beyond what recordings of them are like.

A student that learns from few sources hears with them what no one recorded: other sizes of things (speed and pitch),
rooms, distances, microphones, swarms of what was one, and steady noise. The teacher is asked about the very same clip,
so it need not be like anything in the world: it is a question, not a label.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hear_edgel3._extras import require
from hear_edgel3.errors import InvalidOption
from hear_edgel3.training import effects
from hear_edgel3.training.effects import SOFTEST, Generator, Sound, Spectrum, decibels, level

PLAIN = 0.15
SLOWEST, FASTEST = 0.4, 2.5
SOFTEST_PEAK_DB = -35.0
_N_SOURCES = (0.4, 0.3, 0.18, 0.12)
_REVERBERATION_S = 1.0
_RINGING_S = 0.1
_SHORTEST_S, _LONGEST_S = 0.1, 60.0
_LEAST_EVENT_S = 0.1
_SHARES = (0.0625, 0.125, 0.25, 0.5, 1.0)


class Recordings(Protocol):
    """Where sounds are taken from: :class:`hear_edgel3.training.sounds.Sounds`."""

    @property
    def sample_rate(self) -> int:
        """In Hz."""

    @property
    def of_source(self) -> Mapping[str, npt.NDArray[np.int64]]:
        """The numbers of the clips of each source."""

    def length(self, number: int) -> int:
        """The samples of a clip."""

    def read(self, number: int, start: int = 0, count: int | None = None) -> Sound:
        """Samples of a clip."""


class BroadClips:
    """As many clips as are wanted, each a function of the seed and its number alone. Many threads may make them.

    Most are mixed from one to four sounds, each of which may be slowed down or sped up (and so lower or higher), cut
    to an event that is repeated or to grains that make a texture, turned round, equalised, put in a room and
    overdriven; a third of them has coloured noise besides; their peaks are at -35 to 0 dB of full scale. The others
    are plain: a stretch of one recording as it is (made softer where it is beyond full scale).

    Sources are drawn by the root of the number of their clips, so that one with many does not drown the others.

    Args:
        sounds: Where sounds are taken from.
        sample_rate: Of the clips in Hz: that of the sounds.
        seconds: The length of the clips, from 0.1 to 60.
        seed: Of all that is random; not negative.

    Attributes:
        n_samples: The length of a clip.

    Raises:
        InvalidOption: An argument cannot be used.
        MissingExtra: SciPy is not installed.
    """

    def __init__(self, sounds: Recordings, sample_rate: int, seconds: float, seed: int) -> None:
        if sample_rate != sounds.sample_rate:
            raise InvalidOption(
                f"sample_rate must be that of the sounds, {sounds.sample_rate}; got {sample_rate}. Decode them at the "
                f"rate that is wanted"
            )
        if not _SHORTEST_S <= seconds <= _LONGEST_S:
            raise InvalidOption(f"seconds must be from {_SHORTEST_S:g} to {_LONGEST_S:g}, got {seconds!r}")
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise InvalidOption(f"seed must be a whole number of at least 0, got {seed!r}")
        require("scipy", "making broad clips", "distill")
        import scipy.fft

        # It computes in float32, at less than half of the time that numpy takes.
        self._fft = scipy.fft
        self._sounds = sounds
        self._rate = sample_rate
        self._seed = seed
        self.n_samples = round(seconds * sample_rate)
        self._clips = list(sounds.of_source.values())
        chances = np.cumsum([len(clips) ** 0.5 for clips in self._clips])
        self._chances = chances / chances[-1]
        # By whether there is room for a reverberation: transforms for whole clips, and shorter ones for short sounds.
        self._spectra = {
            reverberated: [self._spectrum(share, tail) for share in _SHARES]
            for reverberated, tail in ((False, _RINGING_S), (True, _REVERBERATION_S))
        }

    def _spectrum(self, share: float, tail_s: float) -> Spectrum:
        """For sounds of at most a share of a clip's length, with what comes behind them."""
        n = int(np.ceil(share * self.n_samples)) + round(tail_s * self._rate)
        return Spectrum(self._fft.next_fast_len(n, real=True), self._rate)

    def clip(self, number: int) -> Sound:
        """One of the clips.

        Args:
            number: Which; not negative.

        Returns:
            (n_samples,) float32, finite, from -1 to 1. It is all zeros only if it is plain and so is the recording.
        """
        rng = np.random.default_rng((self._seed, number))
        if rng.random() < PLAIN:
            return self._plain(rng)
        mixed = np.zeros(self.n_samples, np.float32)
        for i in range(int(rng.choice(len(_N_SOURCES), p=_N_SOURCES)) + 1):
            sound = self._source(rng)
            gain = decibels(rng.uniform(-20.0, 0.0)) if i else 1.0
            mixed += sound * np.float32(gain / max(level(sound), SOFTEST))
        heard = level(mixed)
        if rng.random() < 0.35 or heard < SOFTEST:
            noise = self._noise(rng)
            mixed += noise * np.float32(max(heard, SOFTEST) / level(noise) * decibels(rng.uniform(-30.0, 10.0)))
        if rng.random() < 0.08:
            mixed = effects.between_silence(mixed, self._rate, rng)
        return self._at_a_level(mixed, rng)

    def _plain(self, rng: Generator) -> Sound:
        sound = self._placed(self._read(self.n_samples, rng), rng)
        peak = float(np.abs(sound).max())
        return sound * np.float32(1.0 / peak) if peak > 1.0 else sound

    def _at_a_level(self, sound: Sound, rng: Generator) -> Sound:
        wanted = decibels(rng.uniform(SOFTEST_PEAK_DB, 0.0))
        peak = float(np.abs(sound).max())
        if not peak > 0.0:
            # What was left between silence was silent.
            sound = self._noise(rng)
            peak = float(np.abs(sound).max())
        result: Sound = np.clip(sound * np.float32(wanted / peak), -1.0, 1.0)
        return result

    def _read(self, most: int, rng: Generator) -> Sound:
        """A stretch of some recording: ``most`` samples, or all of it if it has fewer."""
        source = self._clips[min(int(np.searchsorted(self._chances, rng.random())), len(self._clips) - 1)]
        number = int(source[rng.integers(len(source))])
        spare = self._sounds.length(number) - most
        start = int(rng.integers(spare + 1)) if spare > 0 else 0
        return self._sounds.read(number, start, most)

    def _source(self, rng: Generator) -> Sound:
        """One of the sounds of a mix."""
        equalised, reverberated = rng.random() < 0.6, rng.random() < 0.35
        speed = effects.log_uniform(rng, SLOWEST, FASTEST) if rng.random() < 0.6 else 1.0
        wanted = max(1, int(self.n_samples * speed))
        sound = self._read(wanted, rng)
        event = rng.random()
        if event < 0.28 and len(sound) > _LEAST_EVENT_S * self._rate:
            make = effects.repeated if event < 0.14 else effects.texture
            sound = make(sound, wanted, self._rate, rng)
        if rng.random() < 0.08:
            sound = sound[::-1]
        if len(sound) < wanted and rng.random() < 0.3:
            sound = np.tile(sound, wanted // len(sound) + 1)[:wanted]
        length = max(1, min(self.n_samples, int(len(sound) / speed)))
        if equalised or reverberated or speed != 1.0:
            sound = self._filtered(sound, speed, length, equalised, reverberated, rng)
        sound = self._placed(sound, rng, length)
        return effects.overdriven(sound, rng) if rng.random() < 0.08 else sound

    def _filtered(
        self, sound: Sound, speed: float, length: int, equalised: bool, reverberated: bool, rng: Generator
    ) -> Sound:
        """A sound at another speed, where it is ``length`` samples long, equalised and in a room.

        Behind it comes what dies away.
        """
        spectra = self._spectra[reverberated]
        spectrum = next(one for one, share in zip(spectra, _SHARES, strict=True) if length <= share * self.n_samples)
        # Of a size that is fast, which moves the speed by less than a percent.
        size = spectrum.size if speed == 1.0 else self._fft.next_fast_len(round(spectrum.size * speed), real=True)
        found = self._fft.rfft(sound, size)
        n_frequencies = spectrum.size // 2 + 1
        if size != spectrum.size:
            # Frequencies beyond half the rate are cut, and those that there are none of are nothing.
            moved = np.zeros(n_frequencies, found.dtype)
            n = min(n_frequencies, len(found))
            moved[:n] = found[:n] * np.float32(spectrum.size / size)
            found = moved
        if equalised:
            found *= spectrum.equaliser(rng)
        if reverberated:
            found *= self._fft.rfft(effects.room(rng, self._rate, round(_REVERBERATION_S * self._rate)), spectrum.size)
        filtered: Sound = self._fft.irfft(found, spectrum.size)
        return filtered

    def _placed(self, sound: Sound, rng: Generator, length: int | None = None) -> Sound:
        """A sound somewhere in a clip.

        Args:
            sound: At least one sample; what comes behind ``length``, and the clip, is its dying away.
            rng: What is random.
            length: The samples for which there must be room; None for all.
        """
        spare = self.n_samples - (len(sound) if length is None else length)
        start = int(rng.integers(spare + 1)) if spare > 0 else 0
        if start == 0 and len(sound) >= self.n_samples:
            return sound[: self.n_samples]
        result = np.zeros(self.n_samples, np.float32)
        n = min(len(sound), self.n_samples - start)
        result[start : start + n] = sound[:n]
        return result

    def _noise(self, rng: Generator) -> Sound:
        """Coloured noise, steady or not."""
        spectrum = self._spectra[False][-1]
        white = rng.random(spectrum.size, dtype=np.float32) - np.float32(0.5)
        noise: Sound = self._fft.irfft(self._fft.rfft(white) * spectrum.coloured(rng), spectrum.size)
        noise = noise[: self.n_samples]
        return noise * effects.envelope(self.n_samples, rng) if rng.random() < 0.5 else noise
