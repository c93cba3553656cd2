"""What a job is: its options and its parts, fixed in the output folder when it starts.

``_job/00000`` in the output folder has ``job.json``, what makes the embeddings, and ``items.parquet``, all items, with
one row group per part. Later runs that find new files add ``_job/00001`` and so on. Such a folder is written under
another name and then renamed, which fails if there is one already: of several processes that start at once, one fixes
the job and the others take it from there.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from hear_edgel3.dataset.clips import NO_COLUMNS, TableColumns
from hear_edgel3.dataset.dataset import Description, require_pyarrow
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.errors import DatasetError, InvalidOption, OutputError
from hear_edgel3.jobs.manifest import identities, items_from, items_schema
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.shards import is_packed

_FORMAT = 1
_FOLDER = "_job"
_JOB, _ITEMS = "job.json", "items.parquet"
# A part is what one worker does at a time, what is lost when it is stopped, and one Parquet file. The larger the job,
# the larger its parts, up to about a minute of work.
_PARTS = 128
_FILES = (256, 2048)
_BYTES = (32 << 20, 256 << 20)
_ABANDONED_AFTER_S = 3600


@dataclass(frozen=True)
class Part:
    """A piece of a job.

    Attributes:
        generation: 0 for the items of the first run, then one more for each time that some were added.
        number: Its position within its generation.
        n_items: How many items it has.
    """

    generation: int
    number: int
    n_items: int

    @property
    def filename(self) -> str:
        """Name of its Parquet file."""
        return f"part-{self.generation:03d}-{self.number:06d}.parquet"


@dataclass(frozen=True)
class Job:
    """What the parts of a job have in common.

    Attributes:
        output: The folder of the dataset.
        folder: The folder that relative paths of items are relative to.
        description: What makes the embeddings.
        engine: What runs the net; ``net_engine`` in ``job.json``.
        table_columns: What its rows have of tables.
    """

    output: str
    folder: str
    description: Description
    engine: str
    table_columns: TableColumns = NO_COLUMNS

    def check_same(self, other: Job) -> None:
        """Compares what was asked for now with this job, which was started before.

        Raises:
            InvalidOption: they differ.
        """
        mine, others = ({**asdict(job.description), "engine": job.engine, "rows": _rows(job)} for job in (self, other))
        if mine["rows"] != others["rows"]:
            mine.pop("hop_ms")  # follows from it
        differing = [key for key in mine if mine[key] != others[key]]
        if differing:
            said = "; ".join(f"{key} {mine[key]}, and now {others[key]}" for key in differing)
            raise InvalidOption(
                f"{self.output} was begun with {said}. Give the same options to go on with it, or another --output"
            )

    def check_columns(self, wanted: TableColumns) -> None:
        """Checks that rows of more items fit into the dataset.

        Raises:
            InvalidOption: they would have columns that it has not.
        """
        if wanted.clips and not self.table_columns.clips:
            raise InvalidOption(
                f"{self.output} was begun with whole files, so it has no columns for clips; give another --output"
            )
        if new := [name for name in wanted.kept if name not in self.table_columns.kept]:
            raise InvalidOption(
                f"{self.output} was begun without the columns {', '.join(new)}; give another --output, or keep only "
                f"{', '.join(self.table_columns.kept) or 'none'}"
            )


def _rows(job: Job) -> str:
    return "scenes" if job.description.hop_ms is None else "timestamps"


def find_job(wanted: Job) -> Job | None:
    """The job that was begun in the output folder of the one that is wanted, or None.

    Raises:
        InvalidOption: it was begun with other options.
        DatasetError: what is there is damaged.
    """
    path = Path(wanted.output) / _FOLDER / _generation(0) / _JOB
    if not path.parent.exists():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read ({error}); give another --output") from error
    if values.get("format") != _FORMAT:
        raise DatasetError(
            f"{path} has format {values.get('format')!r}, and this version of hear-edgel3 writes {_FORMAT}; go on with "
            f"the version that began it, or give another --output"
        )
    columns = TableColumns(bool(values.get("clips", False)), tuple(values.get("kept_columns", ())))
    found = Job(wanted.output, values["folder"], Description(**values["description"]), values["net_engine"], columns)
    found.check_same(wanted)
    return found


def publish(job: Job, generation: int, items: Sequence[Item], files_per_part: int | None) -> bool:
    """Fixes the items of a generation, unless another process was faster.

    Returns:
        Whether it was this one.

    Raises:
        OutputError: they cannot be written.
    """
    pa = require_pyarrow()
    import pyarrow.parquet as pq

    folder = Path(job.output) / _FOLDER
    temporary = folder / f".{uuid.uuid4().hex}"
    schema = items_schema()
    try:
        temporary.mkdir(parents=True)
        with pq.ParquetWriter(temporary / _ITEMS, schema, compression="zstd") as writer:
            for part in cut_into_parts(items, files_per_part):
                columns = [pa.array(column, f.type) for column, f in zip(zip(*part, strict=True), schema, strict=True)]
                writer.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=len(part))
        if generation == 0:
            values: dict[str, Any] = {"format": _FORMAT, "description": asdict(job.description)}
            values |= {"folder": job.folder, "net_engine": job.engine}
            if job.table_columns != NO_COLUMNS:
                values |= {"clips": job.table_columns.clips, "kept_columns": job.table_columns.kept}
            (temporary / _JOB).write_text(json_text(values, indent=1) + "\n", encoding="utf-8")
        try:
            os.rename(temporary, folder / _generation(generation))  # fails where there is a folder that is not empty
        except OSError:
            if not (folder / _generation(generation) / _ITEMS).exists():
                raise
            return False
        return True
    except OSError as error:
        raise OutputError(f"cannot write into {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        _remove_abandoned(folder)


def _remove_abandoned(folder: Path) -> None:
    """What processes that were killed at that very moment have left."""
    for left in folder.glob(".*"):
        try:
            if time.time() - left.stat().st_mtime > _ABANDONED_AFTER_S:
                shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue  # another process has just removed it


def cut_into_parts(items: Sequence[Item], files_per_part: int | None) -> Iterator[Sequence[Item]]:
    """Cuts a generation into parts, by count and bytes.

    Args:
        items: The items, in order.
        files_per_part: How many items a part has at most; None to choose.
    """
    most = min(max(-(-len(items) // _PARTS), _FILES[0]), _FILES[1]) if files_per_part is None else files_per_part
    largest = min(max(sum(item.size for item in items) // _PARTS, _BYTES[0]), _BYTES[1])
    begin, size, packed = 0, 0, None
    for i, item in enumerate(items):
        # A packed shard is read from its beginning, so its members stay together.
        mine = item.shard if item.shard is not None and is_packed(item.shard) else None
        full = mine != packed if mine or packed else i - begin >= most or size + item.size > largest
        if i > begin and full:
            yield items[begin:i]
            begin, size = i, 0
        packed = mine
        size += item.size
    if len(items) > begin:
        yield items[begin:]


def parts_of(job: Job) -> list[Part]:
    """All parts of a job, in order; the position of a part in it never changes."""
    parts: list[Part] = []
    for generation in range(n_generations(job)):
        metadata = _items_file(job.output, generation).metadata
        sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        parts += [Part(generation, i, n) for i, n in enumerate(sizes)]
    return parts


def n_generations(job: Job) -> int:
    """How many times items have been fixed."""
    n = 0
    while (Path(job.output) / _FOLDER / _generation(n) / _ITEMS).exists():
        n += 1
    return n


def known_items(job: Job) -> set[Hashable]:
    """What tells its items from all others, as :func:`~hear_edgel3.jobs.manifest.identities` gives it."""
    known: set[Hashable] = set()
    for generation in range(n_generations(job)):
        for batch in _items_file(job.output, generation).iter_batches():
            known.update(identities(items_from(batch), job.folder))
    return known


def items_of(job: Job, part: Part) -> list[Item]:
    """The items of a part.

    Raises:
        DatasetError: the job's list is damaged.
    """
    try:
        rows = _items_file(job.output, part.generation).read_row_group(part.number)
    except (OSError, ValueError) as error:
        path = Path(job.output) / _FOLDER
        raise DatasetError(f"{path} is damaged ({error}); delete it, and all of {job.output} with it") from error
    return items_from(rows)


def _items_file(output: str, generation: int) -> Any:
    path = Path(output) / _FOLDER / _generation(generation) / _ITEMS
    status = path.stat()
    return _open_list(path, (status.st_dev, status.st_ino, status.st_mtime_ns))


@lru_cache(maxsize=4)
def _open_list(path: Path, identity: tuple[int, ...]) -> Any:  # noqa: ARG001
    """Kept open, because its footer grows with the job."""
    require_pyarrow()
    import pyarrow.parquet as pq

    return pq.ParquetFile(path)


def _generation(number: int) -> str:
    return f"{number:05d}"
