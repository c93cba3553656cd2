"""The made-up family's net: one convolution, one mean, one linear map."""

from __future__ import annotations

import torch
from torch import nn


class Murmur(nn.Module):
    example_shape = (16, 50)
    n_mels = 16

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.head = nn.Linear(channels, size)

    @property
    def embedding_size(self) -> int:
        return self.head.out_features

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.conv(images.unsqueeze(1).to(self.conv.weight.dtype))))
        embedding: torch.Tensor = self.head(x.mean(dim=(2, 3)))
        return embedding

    def convolutions(self) -> tuple[tuple[int, int, int], ...]:
        return ((3, 1, 1),)
