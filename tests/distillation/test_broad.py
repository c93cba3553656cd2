"""Broad clips: functions of a seed and a number alone, whatever they are made of."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from hear_edgel3.distillation import broad
from hear_edgel3.distillation.broad import BroadClips
from hear_edgel3.errors import InvalidOption
from hear_edgel3.training import effects

RATE = 16000


class Recordings:
    """Sounds in memory: one source per list."""

    def __init__(self, sources: Sequence[Sequence[np.ndarray]], sample_rate: int = RATE) -> None:
        self.sample_rate = sample_rate
        self._sounds = [np.asarray(sound, np.float32) for source in sources for sound in source]
        ends = np.cumsum([len(source) for source in sources])
        self.of_source: Mapping[str, Any] = {
            str(end): np.arange(end - len(source), end) for source, end in zip(sources, ends, strict=True)
        }

    def length(self, number: int) -> int:
        return len(self._sounds[number])

    def read(self, number: int, start: int = 0, count: int | None = None) -> np.ndarray:
        return self._sounds[number][start : None if count is None else start + count]


def tone(hertz: float, seconds: float = 12.0, rate: int = RATE) -> np.ndarray:
    return np.float32(0.3) * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate).astype(np.float32)


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, max(1, int(seconds * RATE))).astype(np.float32)


@pytest.fixture(scope="module")
def some() -> Recordings:
    return Recordings([[noise(12, i) for i in range(9)], [tone(500), tone(900, 0.4)], [noise(0.05, 1)]])


def peak_hz(sound: np.ndarray, rate: int = RATE) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(sound * np.hanning(len(sound))))) * rate / len(sound))


def test_a_clip_is_a_function_of_seed_and_number(some: Recordings) -> None:
    clips = BroadClips(some, RATE, 2.0, 5)
    found = [clips.clip(i) for i in range(40)]
    backwards = [BroadClips(some, RATE, 2.0, 5).clip(i) for i in reversed(range(40))]
    for one, other in zip(found, reversed(backwards), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len({clip.tobytes() for clip in found}) == 40
    other_seed = BroadClips(some, RATE, 2.0, 6)
    assert not any(np.array_equal(found[i], other_seed.clip(i)) for i in range(40))
    state = np.random.get_state()[1].tobytes()  # type: ignore[union-attr]
    clips.clip(0)
    assert np.random.get_state()[1].tobytes() == state  # type: ignore[union-attr]


def test_many_threads_make_them(some: Recordings) -> None:
    clips = BroadClips(some, RATE, 1.0, 0)
    alone = [clips.clip(i) for i in range(60)]
    with ThreadPoolExecutor(8) as pool:
        for one, other in zip(alone, pool.map(clips.clip, range(60)), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("rate", "seconds"), [(RATE, 1.0), (RATE, 10.0), (8000, 2.5), (32000, 4.0), (44100, 0.1)])
def test_any_rate_and_length(rate: int, seconds: float) -> None:
    recordings = Recordings([[tone(300, 15.0, rate), tone(3000, 1.0, rate)], [tone(440, 0.06, rate)]], rate)
    clips = BroadClips(recordings, rate, seconds, 1)
    for i in range(25):
        clip = clips.clip(i)
        assert clip.dtype == np.float32
        assert clip.shape == (round(rate * seconds),) == (clips.n_samples,)
        assert np.isfinite(clip).all()
        assert 0 < np.abs(clip).max() <= 1.0


def test_levels(some: Recordings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The peaks of mixes are at -35 to 0 dB, all of that range."""
    monkeypatch.setattr(broad, "PLAIN", 0.0)
    clips = BroadClips(some, RATE, 1.0, 0)
    peaks = 20 * np.log10([np.abs(clips.clip(i)).max() for i in range(200)])
    assert peaks.min() >= -35.001
    assert peaks.max() <= 0.0
    assert peaks.min() < -32
    assert peaks.max() > -3


def test_some_are_plain() -> None:
    """A recording's own samples, which nothing but their place has changed."""
    ramp = np.linspace(0.1, 0.9, 20 * RATE, dtype=np.float32)
    loud = np.linspace(-3.0, 3.0, RATE, dtype=np.float32)
    plain = 0
    for recording, wanted in ((ramp, np.float32(0.8 / (20 * RATE - 1))), (loud, None)):
        clips = BroadClips(Recordings([[recording]]), RATE, 2.0, 0)
        for i in range(200):
            rng = np.random.default_rng((0, i))
            if rng.random() < broad.PLAIN:
                plain += 1
                clip = clips.clip(i)
                if wanted is not None:
                    np.testing.assert_allclose(np.diff(clip), wanted, atol=1e-6)
                    assert ramp.min() <= clip.min() < clip.max() <= ramp.max()
                else:  # one second of the two, beyond full scale
                    assert np.abs(clip).max() == pytest.approx(1.0)
                    assert np.count_nonzero(clip) <= RATE
    assert 30 <= plain <= 90


@pytest.mark.parametrize("n_samples", [1, 2, 7, 800])
def test_very_short_sounds(n_samples: int) -> None:
    clips = BroadClips(Recordings([[np.full(n_samples, 0.5)]]), RATE, 1.0, 3)
    for i in range(120):
        clip = clips.clip(i)
        assert np.isfinite(clip).all()
        assert np.abs(clip).max() > 0


def test_silent_sounds() -> None:
    """What would be silent gets noise; plain clips of silence are the silence that was recorded."""
    clips = BroadClips(Recordings([[np.zeros(3 * RATE)], [np.full(3 * RATE, 1e-9)]]), RATE, 1.0, 3)
    silent = 0
    for i in range(200):
        clip = clips.clip(i)
        assert np.isfinite(clip).all()
        if np.abs(clip).max() < 1e-3:
            silent += 1
            assert np.random.default_rng((3, i)).random() < broad.PLAIN
    assert silent > 10


def test_sources_are_drawn_by_the_root_of_their_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broad, "PLAIN", 1.0)
    recordings = Recordings([[np.full(RATE, 0.25)] * 64, [np.full(RATE, 0.5)] * 4])
    clips = BroadClips(recordings, RATE, 1.0, 0)
    from_few = np.mean([clips.clip(i).max() > 0.4 for i in range(1000)])
    assert from_few == pytest.approx(2 / (8 + 2), abs=0.05)  # four standard errors; by their number it were 0.06


def source_of(recordings: Recordings, monkeypatch: pytest.MonkeyPatch, seconds: float = 2.0) -> list[np.ndarray]:
    """Mixes of one sound each, without noise or silence."""
    monkeypatch.setattr(broad, "PLAIN", 0.0)
    monkeypatch.setattr(broad, "_N_SOURCES", (1.0,))
    clips = BroadClips(recordings, RATE, seconds, 0)
    return [clips._source(np.random.default_rng(i)) for i in range(150)]


def test_speeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tone becomes lower or higher, by up to what is said, and stays one: nothing is folded down."""
    for name in ("repeated", "texture"):
        monkeypatch.setattr(effects, name, lambda sound, length, rate, rng: sound)
    monkeypatch.setattr(effects, "overdriven", lambda sound, rng: sound)
    factors = [peak_hz(sound) / 1000 for sound in source_of(Recordings([[tone(1000, 30.0)]]), monkeypatch)]
    assert min(factors) == pytest.approx(0.4, abs=0.04)
    assert max(factors) == pytest.approx(2.5, abs=0.25)
    assert 0.3 < np.mean(np.abs(np.array(factors) - 1) < 0.01) < 0.55
    # 7 kHz, faster than 1.15, is beyond what the rate can hold
    monkeypatch.setattr(effects.Spectrum, "equaliser", lambda self, rng: np.float32(1.0))
    monkeypatch.setattr(effects, "room", lambda rng, rate, longest: np.ones(1, np.float32))
    sounds = [sound[RATE // 4 : -RATE // 4] for sound in source_of(Recordings([[tone(7000, 30.0)]]), monkeypatch)]
    gone = [np.abs(sound).max() < 1e-3 for sound in sounds]
    assert 20 < sum(gone) < 60  # 60 % of 150, times the octaves beyond 1.15 of all
    assert all(peak_hz(sound) > 2750 for sound, is_gone in zip(sounds, gone, strict=True) if not is_gone)


def test_a_filter_is_smooth_and_in_range() -> None:
    for rate in (8000, 32000):
        spectrum = effects.Spectrum(rate, rate)
        for make in (spectrum.equaliser, spectrum.coloured):
            curves = [make(np.random.default_rng(i)) for i in range(50)]
            for curve in curves:
                assert curve.shape == (rate // 2 + 1,)
                assert curve.dtype == np.float32
                assert 10 ** (-91 / 20) <= curve.min() <= curve.max() <= 10 ** (31 / 20)
            assert any(curve.max() > 10 * curve.min() for curve in curves)
        flat = spectrum.spread(np.zeros(256))
        np.testing.assert_allclose(flat, 1.0, rtol=1e-6)
        # a slope of 6 dB per octave doubles with the frequency
        slope = spectrum.spread(np.linspace(0, 1, 256) * np.log2(rate / 2 / 20) * 20 * np.log10(2) - 30)
        np.testing.assert_allclose(slope[2000] / slope[1000], 2.0, rtol=1e-3)


def test_a_room_dies_away() -> None:
    for i in range(30):
        response = effects.room(np.random.default_rng(i), RATE, RATE)
        assert 1 <= len(response) <= RATE
        assert np.isfinite(response).all()
        tail = response[1:]
        quarter = len(tail) // 4
        # 60 dB in 0.08 to 2.5 s: at the least 24 dB in the second that is kept of the longest
        assert effects.level(tail[-quarter:]) < 0.4 * effects.level(tail[:quarter])
        assert abs(response[0]) > 0.1  # the direct sound is there
    assert len(effects.room(np.random.default_rng(0), RATE, 1)) == 1


def test_an_event_is_repeated() -> None:
    sound = np.zeros(2 * RATE, np.float32)
    sound[RATE] = 1.0
    for i in range(30):
        result = effects.repeated(sound, 4 * RATE, RATE, np.random.default_rng(i))
        assert result.shape == (4 * RATE,)
        knocks = np.flatnonzero(np.abs(result) > 0.1)
        assert 2 <= len(knocks) <= 55  # every 0.08 to 1.5 s, give or take a half
        assert np.abs(result).max() <= 2.0
    even = [effects.repeated(sound, 4 * RATE, RATE, np.random.default_rng(i)) for i in range(30)]
    steps = [np.ptp(np.diff(np.flatnonzero(np.abs(result) > 0.1))) for result in even]
    assert any(step <= 1 for step in steps)
    assert any(step > 100 for step in steps)


def test_a_texture_is_everywhere() -> None:
    sound = np.zeros(RATE, np.float32)
    sound[5000:6000] = noise(1000 / RATE)
    for i in range(20):
        result = effects.texture(sound, 2 * RATE, RATE, np.random.default_rng(i))
        assert result.shape == (2 * RATE,)
        assert np.isfinite(result).all()
    dense = effects.texture(noise(1.0), 2 * RATE, RATE, np.random.default_rng(0))
    assert all(effects.level(part) > 0 for part in np.split(dense[: 2 * RATE], 8))


def test_noise_has_colours(some: Recordings) -> None:
    clips = BroadClips(some, RATE, 2.0, 0)
    low_shares = []
    for i in range(40):
        sound = clips._noise(np.random.default_rng(i))
        assert sound.shape == (2 * RATE,)
        assert np.isfinite(sound).all()
        power = np.abs(np.fft.rfft(sound)) ** 2
        low_shares.append(power[: len(power) // 8].sum() / power.sum())
    assert min(low_shares) < 0.2
    assert max(low_shares) > 0.9


def test_an_envelope_moves() -> None:
    for length in (1, 2, 5, 2 * RATE):
        found = effects.envelope(length, np.random.default_rng(length))
        assert found.shape == (length,)
        assert found.dtype == np.float32
        assert (found > 0).all()
    assert found.max() > 1.5 * found.min()


def test_overdriven_is_flat_on_top() -> None:
    sound = tone(440, 1.0)
    for i in range(20):
        bent = effects.overdriven(sound, np.random.default_rng(i))
        assert np.abs(bent).max() <= 1.0
        assert effects.level(bent) / np.abs(bent).max() > effects.level(sound) / np.abs(sound).max()
    assert not effects.overdriven(np.zeros(10, np.float32), np.random.default_rng(0)).any()


def test_silence_around() -> None:
    for n in (1, 2, 10, RATE):
        sound = np.ones(n, np.float32)
        found = effects.between_silence(sound, RATE, np.random.default_rng(n))
        assert found.shape == (n,)
        assert found.max() <= 1.0
    heard = np.flatnonzero(found)
    assert 0.15 * RATE < len(heard) < 0.95 * RATE
    assert np.ptp(heard) == len(heard) - 1  # in one piece
    assert np.abs(np.diff(found)).max() < 0.02  # and without a click


def test_what_cannot_be() -> None:
    recordings = Recordings([[noise(1.0)]])
    with pytest.raises(InvalidOption, match="sample_rate must be that of the sounds, 16000; got 8000"):
        BroadClips(recordings, 8000, 4.0, 0)
    for seconds in (0.0, 0.05, 61.0, float("nan")):
        with pytest.raises(InvalidOption, match="seconds must be from"):
            BroadClips(recordings, RATE, seconds, 0)
    for seed in (-1, 1.5, True):
        with pytest.raises(InvalidOption, match="seed must be a whole number"):
            BroadClips(recordings, RATE, 4.0, seed)  # type: ignore[arg-type]


def test_it_is_cheap() -> None:
    """A clip costs a fraction of what asking a teacher about it does: some passes of a Fourier transform.

    Half a real second of a clip of four is far beyond the 4 to 7 ms that it takes; a loop over samples is not.
    """
    clips = BroadClips(Recordings([[noise(12, i) for i in range(4)]]), RATE, 4.0, 0)
    clips.clip(0)
    begun = time.process_time()
    for i in range(20):
        clips.clip(i)
    assert (time.process_time() - begun) / 20 < 0.1
