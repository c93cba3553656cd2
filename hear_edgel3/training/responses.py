"""Device impulse responses: sounds as if other microphones had recorded them.

As in the winning system of DCASE 2023, task 1 (Schmid et al., "cpjku_dcase23"): with a probability of 0.6, and only for
recordings of the one good device, a sound is convolved with one of 66 responses of microphones (the collection MicIRP),
and cut to its length. The level is left as it comes.
"""

from __future__ import annotations

import torch

from hear_edgel3._checks import check_whole
from hear_edgel3.training.draws import Draws

PROBABILITY = 0.6


def draw_responses(
    eligible: torch.Tensor, n_responses: int, draws: Draws, probability: float = PROBABILITY
) -> torch.Tensor:
    """Which response each sound of a batch gets.

    Args:
        eligible: (n,) bool: the sounds that may get one, by the device that recorded them.
        n_responses: How many there are, all as likely.
        draws: Where from.
        probability: Of an eligible sound.

    Returns:
        (n,) int64, -1 for none.

    Raises:
        InvalidOption: There is no response.
    """
    check_whole(n_responses, "n_responses", 1)
    chosen = torch.rand(len(eligible), generator=draws.torch) < probability
    number = torch.randint(n_responses, (len(eligible),), generator=draws.torch)
    return torch.where(chosen & eligible.cpu(), number, -1)


def convolve(samples: torch.Tensor, responses: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Convolves sounds with responses, through the frequency domain.

    Args:
        samples: (n, n_samples) floating point.
        responses: (n_responses, length), shorter ones followed by zeros, at the rate of the samples.
        which: (n,) int64 as :func:`draw_responses` gives it.

    Returns:
        (n, n_samples): the first samples of the whole convolution; sounds without a response as they were.
    """
    chosen = torch.nonzero(which >= 0).flatten().to(samples.device)
    if not len(chosen):
        return samples
    n = samples.shape[1]
    size = n + responses.shape[1] - 1
    picked = responses.to(samples.device, samples.dtype)[which.to(samples.device)[chosen]]
    spectrum = torch.fft.rfft(samples[chosen], size) * torch.fft.rfft(picked, size)
    return samples.index_copy(0, chosen, torch.fft.irfft(spectrum, size)[:, :n])
