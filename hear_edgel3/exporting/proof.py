"""What is known of an exported file: how far it is from PyTorch, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class OutputProof:
    """How far an output is from what PyTorch computes in float64.

    Attributes:
        error: The largest difference.
        torch_error: That of what PyTorch computes in float32.
        peak: The largest absolute value that PyTorch puts out.
        worst: The sound with the largest difference.
        by_kind: The largest difference of each kind of sound.
        allowed: The largest that is let through; none in eight bits, where only the embedding's cosine counts.
        least_cosine: In eight bits, the least mean cosine that is let through, instead of ``allowed``.
        cosine: The smallest cosine of a window, and the mean; None where there is none, as of silence.
        cosine_without_mel_avgs: The same of what is behind these; None where there are none.
    """

    error: float
    torch_error: float
    peak: float
    worst: str
    by_kind: Mapping[str, float]
    allowed: Mapping[str, float]
    cosine: tuple[float, float] | None = None
    cosine_without_mel_avgs: tuple[float, float] | None = None
    least_cosine: float | None = None

    @property
    def share(self) -> float:
        """The largest difference as a fraction of the largest value."""
        return self.error / self.peak if self.peak else float(self.error > 0)

    @property
    def passed(self) -> bool:
        """Whether no difference is larger than what is let through, or in eight bits the cosine no less."""
        if self.least_cosine is not None:
            cosine = self.cosine_without_mel_avgs or self.cosine
            return cosine is None or cosine[1] >= self.least_cosine
        return all(error <= self.allowed.get(kind, float("inf")) for kind, error in self.by_kind.items())


@dataclass(frozen=True)
class Proof:
    """What is known of a file.

    Attributes:
        target: The target's name.
        engine: The engine and its version.
        windows: How many windows were compared.
        own: How many of them are of somebody's own sounds.
        outputs: By name.
        size: The file's, in bytes.
        ms: The CPU time of one window in the engine, on one thread.
        torch_ms: The same in PyTorch.
        window_s: The length of that window in seconds.
        quantization: What is in eight bits, as in the card; None in float.
        float_size: In eight bits, the size of the same in float.
        float_ms: And its time.
        peak_memory: The most bytes that one window takes, the engine's own code left out; None where it is not known.
    """

    target: str
    engine: str
    windows: int
    own: int
    outputs: Mapping[str, OutputProof]
    size: int
    ms: float
    torch_ms: float
    window_s: float
    peak_memory: int | None
    quantization: Mapping[str, Any] | None = None
    float_size: int | None = None
    float_ms: float | None = None

    @property
    def passed(self) -> bool:
        """Whether no output is further off than what is let through."""
        return all(output.passed for output in self.outputs.values())

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON."""
        shares = {name: {**asdict(output), "share": output.share} for name, output in self.outputs.items()}
        ratio = self.ms / self.torch_ms
        return {**asdict(self), "outputs": shares, "time_ratio": ratio, "passed": self.passed}

    def lines(self) -> list[str]:
        """As text, a line each."""
        own = f", {self.own} of them your own" if self.own else ""
        found = [
            f"proof: {self.windows} windows of tones, silence, clicks, noise, notes{own}; {self.engine} against "
            "PyTorch in float64"
        ]
        if self.quantization is not None:
            found.append(f"in eight bits: {_in_words(self.quantization)}")
        for name, output in self.outputs.items():
            found.append(
                f"{name}: largest difference {output.error:.1e} ({output.worst}), {output.share:.1e} of the peak "
                f"{output.peak:.3g};{_limit(output)} PyTorch in float32 is off by {output.torch_error:.1e}"
            )
            kinds = ", ".join(f"{kind} {error:.1e}" for kind, error in output.by_kind.items())
            found.append(f"{name}: by kind of sound: {kinds}")
            for what, cosine in (("", output.cosine), (" without mel_avgs", output.cosine_without_mel_avgs)):
                if cosine is not None:
                    found.append(f"{name}: least cosine{what} {cosine[0]:.7f}, mean {cosine[1]:.7f}")
            if output.least_cosine is not None:
                found.append(f"{name}: a mean cosine of {output.least_cosine:g} or more is let through")
        memory = "not known" if self.peak_memory is None else f"{self.peak_memory / 1e6:.0f} MB above the engine"
        found.append(
            f"size {self.size / 1e6:.2f} MB; CPU time {self.ms / self.torch_ms:.2f} of PyTorch's ({self.ms:.1f} and "
            f"{self.torch_ms:.1f} ms for {self.window_s:g} s); peak memory {memory}"
        )
        if self.float_size is not None and self.float_ms is not None:
            found.append(
                f"of the same in float32: size {self.size / self.float_size:.2f}, CPU time "
                f"{self.ms / self.float_ms:.2f} in the same engine"
            )
        return found


def _limit(output: OutputProof) -> str:
    if not output.allowed:
        return ""
    usual, tones = min(output.allowed.values()), output.allowed["tone"]
    return f" at most {usual:.1e}{'' if tones == usual else f', of tones {tones:.1e},'} is let through;"


def _in_words(quantization: Mapping[str, Any]) -> str:
    if quantization["method"] == "static":
        return "weights and activations of the convolutions"
    in_float = ", ".join(quantization["in_float"]) or "none"
    return f"the weights; of {quantization['blocks']} blocks these lose too much and stay in float: {in_float}"
