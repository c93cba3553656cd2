"""Mel banks behind a DFT in two steps, and how most of their zeros are left out.

A mel bank is mostly zeros. Bins come out of the second step in groups, one for each of its places, of bins that are
neighbours, or mirror those that are. With the groups in their order, neighbouring mel bands need some groups that lie
side by side, and weights of those alone.
"""

from __future__ import annotations

import torch
from torch import nn

# With more parts fewer zeros are left, but an engine takes three operations for each.
_PARTS = 8


def order_of(held: torch.Tensor) -> torch.Tensor:
    """(groups,) The groups from the lowest bins to the highest, of the bins (groups, places) that they hold."""
    return torch.argsort(held.amin(1), stable=True)


class BandedMel(nn.Module):
    """Powers to sums in mel bands: one product with the whole bank, until its zeros are left out.

    Args:
        bank: (n_mels, bins) The weights of the first bins in each band.
        held: (groups, places) The bin that each place holds, the groups in their order. What is held twice is counted
            once.
        axis: Where groups stand in the powers: 2 for (n, n_frames, groups, places), 3 for (n, n_frames, places,
            groups).
    """

    def __init__(self, bank: torch.Tensor, held: torch.Tensor, axis: int) -> None:
        super().__init__()
        self.axis = axis
        place_of = {int(bin_): place for place, bin_ in reversed([*enumerate(held.flatten())])}
        places = torch.tensor([place_of[bin_] for bin_ in range(bank.shape[1])])
        placed = torch.zeros(len(bank), held.numel(), dtype=torch.float64)
        placed[:, places] = bank.double()
        placed = placed.reshape(len(bank), *held.shape)
        self.ranges = [(0, len(held))]
        self._keep([placed if axis == 2 else placed.transpose(1, 2)])

    def _keep(self, parts: list[torch.Tensor]) -> None:
        """Keeps weights (n_mels, ...) of some bands each, as they are multiplied by."""
        for number, part in enumerate(parts):
            self.register_buffer(f"bank_{number}", part.flatten(1).T.float().contiguous(), persistent=False)

    def leave_out_zeros(self) -> None:
        """Splits the bank into parts, for engines that store zeros as they do any values.

        Sums are of the same terms, but for zeros. A bank that is split already stays as it is.
        """
        (whole, *more), (groups, *_) = [*self.buffers()], [last for _, last in self.ranges]
        if more:
            return
        axis, kept, self.ranges = self.axis - 1, [], []
        bands = whole.T.reshape(whole.shape[1], *((groups, -1) if axis == 1 else (-1, groups)))
        for rows in bands.tensor_split(min(_PARTS, len(bands))):
            used = rows.abs().amax(dim=(0, 3 - axis)).nonzero().flatten()
            first, last = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
            self.ranges.append((first, last))
            kept.append(rows.narrow(axis, first, last - first))
        self._keep(kept)

    def forward(self, power: torch.Tensor) -> torch.Tensor:
        """(n, n_frames, ...) float32 as ``axis`` says to (n, n_frames, n_mels)."""
        parts = [
            power.narrow(self.axis, first, last - first).flatten(2) @ bank
            for (first, last), bank in zip(self.ranges, self.buffers(), strict=True)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
