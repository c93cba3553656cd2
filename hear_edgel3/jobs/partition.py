"""Which of the processes that share a job this one is."""

from __future__ import annotations

from collections.abc import Mapping

from hear_edgel3._checks import gives_several, is_whole, shown
from hear_edgel3.disk.paths import shortened
from hear_edgel3.errors import InvalidOption

# No job has more parts.
_DIGITS = 18


def parse(text: str) -> tuple[int, int]:
    """``i/N``: the i-th of N, counted from 0.

    Raises:
        InvalidOption: it is something else.
    """
    first, _, second = text.partition("/")
    if not (first.isascii() and first.isdecimal() and second.isascii() and second.isdecimal()):
        raise InvalidOption(f"partition must be I/N, for example 0/4, got {shortened(text)!r}")
    if max(len(first), len(second)) > _DIGITS:
        raise InvalidOption(f"partition {shortened(text)} has too large a number; of N they are 0/N to (N-1)/N")
    return check((int(first), int(second)))


def check(partition: tuple[int, int]) -> tuple[int, int]:
    """Returns a partition, or raises InvalidOption."""
    pair = list(partition) if gives_several(partition) else []
    if len(pair) != 2 or not all(is_whole(one, 0) for one in pair):
        raise InvalidOption(
            f"partition must be two whole numbers, as (0, 4) for the first of four, got {shown(partition)}"
        )
    index, count = pair
    if not index < count:
        raise InvalidOption(f"partition {index}/{count} does not exist: of N they are 0/N to (N-1)/N")
    return partition


def of_environment(environment: Mapping[str, str]) -> tuple[int, int]:
    """What torchrun or SLURM say of this process; the only one, (0, 1), if they say nothing.

    ``RANK`` and ``WORLD_SIZE`` go first. Of SLURM the tasks of an array and those of ``srun`` inside each count.

    Raises:
        InvalidOption: the variables contradict each other.
    """
    try:
        if "RANK" in environment and "WORLD_SIZE" in environment:
            return check((int(environment["RANK"]), int(environment["WORLD_SIZE"])))
        index, count = 0, 1
        if "SLURM_ARRAY_TASK_ID" in environment and "SLURM_ARRAY_TASK_COUNT" in environment:
            first = int(environment.get("SLURM_ARRAY_TASK_MIN", 0))
            step = int(environment.get("SLURM_ARRAY_TASK_STEP", 1))
            index = (int(environment["SLURM_ARRAY_TASK_ID"]) - first) // step
            count = int(environment["SLURM_ARRAY_TASK_COUNT"])
        if "SLURM_PROCID" in environment:
            tasks = int(_tasks_of_step(environment))
            index, count = index * tasks + int(environment["SLURM_PROCID"]), count * tasks
        return check((index, count))
    except (ValueError, ZeroDivisionError) as error:
        if isinstance(error, InvalidOption):
            raise InvalidOption(f"{error} (from the environment: give --partition I/N, or 0/1 for all)") from error
        raise InvalidOption(
            f"RANK, WORLD_SIZE or SLURM_* are no numbers that can be ({error}); give --partition I/N"
        ) from error


def _tasks_of_step(environment: Mapping[str, str]) -> str:
    """How many processes srun has started; a batch script has SLURM_NTASKS too, but is alone unless it calls srun."""
    if "SLURM_STEP_NUM_TASKS" in environment:
        return environment["SLURM_STEP_NUM_TASKS"]
    return "1" if "SLURM_JOB_ID" in environment else environment.get("SLURM_NTASKS", "1")
