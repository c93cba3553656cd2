"""For a HEAR researcher: how well a linear probe on scene embeddings tells pitches apart, for any HEAR modules.

python docs/examples/hear_researcher.py [MODULE ...]
"""

import importlib
import sys

import torch

KINDS = 24


def sounds(n: int, sample_rate: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, 1 s) notes of one of 24 pitches, with overtones of their own and noise; (n,) which of the 24."""
    kinds = torch.randint(KINDS, (n,), generator=generator)
    pitch = 220 * 2 ** (kinds[:, None] / KINDS)
    t = torch.arange(sample_rate) / sample_rate
    overtones = torch.rand(n, 6, 1, generator=generator)
    notes = (overtones * torch.sin(2 * torch.pi * pitch[:, None] * torch.arange(1, 7)[:, None] * t)).sum(1)
    return 0.1 * notes + 0.2 * torch.randn(n, sample_rate, generator=generator), kinds


def main() -> None:
    """Prints the accuracy on sounds that the probe has not seen; guessing gives 0.04."""
    for name in sys.argv[1:] or ["hear_edgel3.tiny"]:
        module = importlib.import_module(name)
        model = module.load_model()
        audio, kinds = sounds(400, model.sample_rate, torch.Generator().manual_seed(0))
        x = module.get_scene_embeddings(audio, model).double()
        x = torch.cat([(x - x[:300].mean(0)) / (x[:300].std(0) + 1e-6), torch.ones(400, 1)], dim=1)
        y = torch.nn.functional.one_hot(kinds, KINDS).double()
        weights = torch.linalg.solve(x[:300].T @ x[:300] + 10 * torch.eye(x.shape[1]), x[:300].T @ y[:300])
        accuracy = ((x[300:] @ weights).argmax(1) == kinds[300:]).double().mean()
        print(f"{name}: {model.scene_embedding_size} values, accuracy {accuracy:.2f}")


if __name__ == "__main__":
    main()
