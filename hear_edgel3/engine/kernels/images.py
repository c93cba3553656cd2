"""Images alone: the front end for nets that run in torch."""

from __future__ import annotations

import numpy as np

from hear_edgel3.compiled.aligned import aligned
from hear_edgel3.engine.kernels.log_mel import LogMel
from hear_edgel3.engine.kernels.strips_of_time import strips_for
from hear_edgel3.engine.kernels.threads import share_out


def images_of(log_mel: LogMel, samples: np.ndarray, lanes: int, threads: int) -> np.ndarray:
    """Spectrograms, several threads at work.

    Args:
        log_mel: the front end.
        samples: (n, n_samples) float32 windows, none shorter than the front end's least.
        lanes: of the vectors.
        threads: how many may run at once.

    Returns:
        (n, n_mels, n_frames) float32. Which windows share vectors does not change a bit.
    """
    n_mels, frames = log_mel.computes.n_mels, log_mel.computes.n_frames(samples.shape[1])
    sharing = strips_for(frames, lanes, ())
    result = np.empty((len(samples), n_mels, frames), np.float32)

    def work(first: int, n: int) -> None:
        target = aligned(n_mels * sharing.width * lanes)
        log_mel(samples[first : first + n], sharing, target)
        result[first : first + n] = sharing.images_in(target, n)

    share_out(
        work, [(i, min(sharing.images, len(samples) - i)) for i in range(0, len(samples), sharing.images)], threads
    )
    return result
