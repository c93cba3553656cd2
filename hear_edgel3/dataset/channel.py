"""Which of its files' channels a dataset is of, as the job that made it says."""

from __future__ import annotations

import json
import os
from pathlib import Path

from hear_edgel3.audio.channels import MEAN, check_channel

# Where a job keeps what it was begun with.
JOB_FOLDER, JOB_FILE = "_job", "job.json"


def generation_name(number: int) -> str:
    """The name of the folder, in that of a job, of what was begun together: 0 at first, and then what was added."""
    return f"{number:05d}"


def channel_of(folder: str | os.PathLike[str]) -> int | str:
    """What of the files' channels a dataset is of: the number of one, or "mean" of all, and where nobody knows."""
    path = Path(folder) / JOB_FOLDER / generation_name(0) / JOB_FILE
    try:
        return check_channel(json.loads(path.read_text(encoding="utf-8")).get("channel", MEAN))
    except (OSError, ValueError, AttributeError, RecursionError):
        return MEAN  # its files were put elsewhere, or somebody else made them
