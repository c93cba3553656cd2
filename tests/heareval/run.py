"""Runs a stage of heareval 2021.1.3, which stays as it is, on a Python and a torch that are newer than it.

    python tests/heareval/run.py embeddings hear_edgel3.sea_64 --tasks-dir tasks --embeddings-dir embeddings
    python tests/heareval/run.py predictions embeddings/hear_edgel3.sea_64/*

All arguments but the first one are those of heareval's own runner; `--help` after the stage shows them.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

STAGES = ("embeddings", "predictions")


def main() -> None:
    """Command line."""
    if len(sys.argv) < 2 or sys.argv[1] not in STAGES:
        sys.exit(f"{__doc__}\nthe first argument must be one of: {', '.join(STAGES)}")
    stage = sys.argv.pop(1)
    if stage == "embeddings":
        # The runner imports TensorFlow whatever the model is. Last in the path: a real one comes first.
        sys.path.append(str(Path(__file__).parent / "standin"))
    else:
        # Setting 1. heareval's checkpoints hold its grid point, which names classes (BatchNorm1d, Adam, ...). Since
        # torch 2.6 torch.load refuses them (https://github.com/pytorch/pytorch/pull/137602), and neither heareval nor
        # Lightning 1.9 passes weights_only=False. This stage reads checkpoints that it has written itself, no others.
        os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"

        # Setting 2. To test with the post-processing of the best epoch, heareval assigns fit_loop.current_epoch, which
        # Lightning has not read since 1.6: event tasks end in a KeyError, or with another epoch's post-processing
        # (https://github.com/hearbenchmark/hear-eval-kit/issues/432). This passes the assignment on to the counter that
        # Trainer.current_epoch does read.
        from pytorch_lightning.loops import FitLoop

        FitLoop.current_epoch = property(
            lambda self: self.epoch_progress.current.completed,
            lambda self, epoch: setattr(self.epoch_progress.current, "completed", epoch),
        )
    runpy.run_module(f"heareval.{stage}.runner", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
