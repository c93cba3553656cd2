"""A second opinion on the mel bank. torchaudio is never used at run time: it does not load beside every torch."""

from __future__ import annotations

import pytest
import torch

from hear_edgel3.families.l3.frontend import mel_filter_bank


# Of 256 bands the lowest ones have no bin, in ours as in theirs.
@pytest.mark.filterwarnings("ignore:At least one mel filterbank has all zero values")
@pytest.mark.parametrize(("sample_rate", "n_fft", "n_mels"), [(8000, 1024, 64), (48000, 2048, 256)])
def test_mel_bank(sample_rate: int, n_fft: int, n_mels: int) -> None:
    try:
        from torchaudio.functional import melscale_fbanks
    except (ImportError, OSError) as error:
        pytest.skip(f"torchaudio cannot be imported here: {error}")
    expected = melscale_fbanks(n_fft // 2 + 1, 0.0, sample_rate / 2, n_mels, sample_rate, "slaney", "htk")
    # torchaudio computes the mel scale in float32
    torch.testing.assert_close(mel_filter_bank(sample_rate, n_fft, n_mels), expected, rtol=0, atol=2e-5)
