"""For research code: the net as a module among others, trained a little to tell rising from falling sweeps."""

import torch

import hear_edgel3


def sweeps(n: int, sample_rate: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, 1 s) sweeps of random pitch, and (n,) whether they rise."""
    rising = torch.randint(2, (n,))
    start, t = 300 + 1200 * torch.rand(n, 1), torch.arange(sample_rate) / sample_rate
    phase = start * (t + (rising[:, None] - 0.5) * t**2)
    return 0.3 * torch.sin(2 * torch.pi * phase) + 0.01 * torch.randn(n, sample_rate), rising


def main() -> None:
    """Trains the last layer first, which is the usual probe, and then everything."""
    torch.manual_seed(0)
    extractor = hear_edgel3.load("tiny")
    head = torch.nn.Linear(extractor.scene_embedding_size, 2)
    for what, parameters in (
        ("head only", [*head.parameters()]),
        ("all", [*extractor.parameters(), *head.parameters()]),
    ):
        optimiser = torch.optim.AdamW(parameters, 1e-3)
        for _ in range(15):
            windows, rising = sweeps(16, extractor.net_sample_rate)
            loss = torch.nn.functional.cross_entropy(head(extractor(windows)), rising)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.inference_mode():
            windows, rising = sweeps(200, extractor.net_sample_rate)
            accuracy = (head(extractor(windows)).argmax(1) == rising).double().mean()
        print(f"{what}: accuracy {accuracy:.2f}")


if __name__ == "__main__":
    main()
