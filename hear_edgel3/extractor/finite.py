"""Whether what a net makes is an embedding: of its size and, of finite samples, finite. What is not is an error."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from hear_edgel3.errors import ComputationError, InvalidAudio
from hear_edgel3.families.schema import Configuration

# Samples louder than this are at nobody's scale (24-bit integers taken for floats are below); the front ends square
# them, and float32 ends at 3e38.
_LOUD = 1e9


def check_size(found: torch.Tensor, configuration: Configuration) -> None:
    """Checks that a net, which somebody may have changed, puts out what its configuration says.

    Args:
        found: What it has put out.
        configuration: The configuration.

    Raises:
        ComputationError: It does not.
    """
    if found.ndim != 2 or found.shape[1] != configuration.embedding_size:
        raise ComputationError(
            f"the net of {configuration.name} has put out values of shape {tuple(found.shape)}, and not "
            f"{configuration.embedding_size} for each window: it has been changed since it was loaded; load what puts "
            f"out others by its own name, or call the net itself"
        )


def check_embeddings(
    found: torch.Tensor,
    windows: torch.Tensor,
    name: str,
    clip_of: Callable[[int], str] | None = None,
    total: torch.Tensor | None = None,
) -> None:
    """Checks what a net has put out, and what it was given: rectifiers and maxima can make numbers of NaN.

    Args:
        found: (n, D) embeddings.
        windows: (n, window) what they were made of.
        name: The configuration's.
        clip_of: What to call the audio that a window is of, by the window's number; None for "the audio".
        total: The sum of the windows; None if they are known to be finite.

    Raises:
        InvalidAudio: The samples are too large for the arithmetic.
        ComputationError: They are ordinary, so it is the net's fault.
    """
    # A sum is the cheapest way to see that nothing is infinite or NaN; where it overflows by itself, a closer look.
    if math.isfinite(float(found.sum(dtype=torch.float32)) + (0.0 if total is None else float(total))):
        return
    sound = torch.isfinite(found).all(dim=1).cpu() & torch.isfinite(windows).all(dim=1).cpu()
    if bool(sound.all()):
        return
    number = int(torch.nonzero(~sound)[0])
    peak = float(windows[number].abs().max())
    if not peak <= _LOUD:
        what = "the audio" if clip_of is None else clip_of(number)
        raise InvalidAudio(
            f"{what} is too loud for {name} (a sample of {peak:.3g}), which gives values that are not finite; floats "
            f"are meant to be in [-1, 1]: divide them by their full scale, or remove what is damaged"
        )
    raise ComputationError(
        f"{name} gives values that are not finite for ordinary audio (samples of at most {peak:.3g}): its parameters "
        f"are damaged, or too large for {str(found.dtype).removeprefix('torch.')}; load it anew"
    )
