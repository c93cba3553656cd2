"""How nets of the L3 family are distilled: as SEA, with the teacher's embedding as the only one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hear_edgel3.audio.rates import check_rate
from hear_edgel3.errors import InvalidOption
from hear_edgel3.families.protocols import Student, StudentOptions

# SEA-512's convolutions; the last one's channels are the embedding.
_CHANNELS = (64, 64, 128, 128, 256, 256, 512)
# A power of two of about an eighth of a second, as SEA has at 8000 Hz, and no more than EdgeL3 has at 48000.
_LONGEST_DFT = 2048
_HOPS_PER_SECOND = 50
_LOWEST_RATE, _HIGHEST_RATE = 4000, 48000


class L3Student(Student):
    """An L3-Net without batch norm behind its last convolution, whose width 1 is that of SEA-512."""

    title = "L3-Net"
    n_mels = 64
    # The global maximum behind the last convolution lets positive factors and added constants through.
    approximation = "convs.7"
    window_ms = 1000.0

    def settle(self, options: StudentOptions) -> Mapping[str, Any]:
        """Checks the sample rate, and that no other embedding than the teacher's is asked for."""
        rate = check_rate(options.sample_rate, lowest=_LOWEST_RATE, highest=_HIGHEST_RATE)
        if options.embedding == "own":
            raise InvalidOption('an l3 student has one embedding, that of the teacher; use embedding="teacher"')
        return {"sample_rate": rate}

    def architecture(
        self,
        options: StudentOptions,
        embedding_size: int | None,
        n_classes: int | None,  # noqa: ARG002
    ) -> dict[str, Any]:
        """The arguments of :func:`hear_edgel3.families.l3.rows.architecture`."""
        rate = options.sample_rate
        channels = [max(8, round(c * options.width_mult / 8) * 8) for c in _CHANNELS]
        n_fft = 1 << (rate // 8).bit_length()
        return {
            "channels": [*channels, embedding_size],
            "final_norm": False,
            "sample_rate": rate,
            "n_fft": min(n_fft if rate != 8000 else 1024, _LONGEST_DFT),
            "hop_length": rate // _HOPS_PER_SECOND,
            "n_mels": options.bands,
        }

    def describe(self, options: StudentOptions) -> str:
        """Its width and its sample rate."""
        return f"width {options.width_mult:g}, {options.sample_rate} Hz"
