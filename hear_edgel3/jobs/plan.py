"""What a job is: its options and its parts, fixed in the output folder when it starts.

``_job/00000`` in the output folder has ``job.json``, what makes the embeddings, and ``items.table``, all items, with
one row group per part. That is a Parquet file, but its name does not say so: readers that are given the bare folder
take all that ends in ``.parquet`` for data. (It was ``items.parquet`` once; such jobs go on.) Later runs that find new
files add ``_job/00001`` and so on. Such a folder is written and flushed under another name and then renamed, which
fails if there is one already: of several processes that start at once, one fixes the job and the others take it from
there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from hear_edgel3.audio.channels import MEAN, check_channel
from hear_edgel3.dataset.channel import JOB_FILE, JOB_FOLDER, generation_name
from hear_edgel3.dataset.clips import NO_COLUMNS, TableColumns
from hear_edgel3.dataset.dataset import Description
from hear_edgel3.dataset.parquet import check_values, differing_columns, one_line, require_pyarrow
from hear_edgel3.disk.durable import sync_file, sync_folder
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.disk.paths import folder_of_names, shortened
from hear_edgel3.disk.temporary import sweep, temporary_folder
from hear_edgel3.errors import DatasetError, HearEdgeL3Error, InvalidOption, OutputError
from hear_edgel3.jobs.manifest import identities, items_from, items_schema
from hear_edgel3.recorded import TimeAndPlace
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.shards import is_packed

_FORMAT = 1
_ITEMS, _OLD_ITEMS = "items.table", "items.parquet"
_ALWAYS = ("file", "size", "shard", "offset")
# A part is what one worker does at a time, what is lost when it is stopped, and one Parquet file. The larger the job,
# the larger its parts, up to about a minute of work.
_PARTS = 128
_FILES = (256, 2048)
_BYTES = (32 << 20, 256 << 20)


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
        engine: What runs the net, never "auto", as two engines' last bits differ; ``net_engine`` in ``job.json``.
        table_columns: What its rows have besides the usual columns.
        channel: What of the files' channels: "mean" of all, or the number of one, from 0.
        recorded: What to find out of when and where files were recorded; None for nothing.
        auto_was: Of a job that is wanted with engine="auto", so that one that was begun goes on with its own engine:
            what "auto" meant to earlier versions, which recorded that word. None where an engine was asked for.
        read_as: With tags by a net with classes of its own, what its folder says of how these are told; None for
            others, and for jobs of versions that did not record it.
    """

    output: str
    folder: str
    description: Description
    engine: str
    table_columns: TableColumns = NO_COLUMNS
    channel: int | str = MEAN
    recorded: TimeAndPlace | None = None
    auto_was: str | None = None
    read_as: str | None = None

    def check_same(self, other: Job) -> None:
        """Compares what was asked for now with this job, which was started before.

        Raises:
            InvalidOption: they differ.
        """
        mine, others = (
            {
                **asdict(job.description),
                **{"engine": job.engine, "channel": job.channel, "rows": _rows(job), "tags": job.table_columns.tags},
                "recorded": None if job.recorded is None else asdict(job.recorded),
            }
            for job in (self, other)
        )
        mine.pop("package_version")  # a release that changes numbers has another embedding_version
        if mine["rows"] != others["rows"]:
            mine.pop("hop_ms")  # follows from it
        if other.auto_was is not None:
            mine.pop("engine")
        if self.read_as is not None:
            mine["classes"], others["classes"] = self.read_as, other.read_as
        differing = [key for key in mine if mine[key] != others[key]]
        if differing:
            said = "; ".join(f"{key} {_shown(mine[key])}, and now {_shown(others[key])}" for key in differing)
            if "embedding_version" in differing and "configuration" not in differing:
                raise InvalidOption(
                    f"{self.output} was begun with {said}: {self.description.configuration} gives other embeddings "
                    f"now, which cannot be compared with those. Give another --output; or go on with the net that "
                    f"began it, if you have its folder (--config FOLDER) or its hear-edgel3"
                )
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
    path = Path(wanted.output) / JOB_FOLDER / generation_name(0) / JOB_FILE
    if not path.parent.exists():
        return None
    advice = f"move {wanted.output} away and begin anew, or give another --output"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError(f"it is no object, but a {type(values).__name__}")
        if values.get("format") != _FORMAT:
            said = one_line(ValueError(repr(values.get("format"))))
            raise DatasetError(
                f"{path} has format {said}, and this version of hear-edgel3 "
                f"writes {_FORMAT}; go on with the version that began it, or give another --output"
            )
        found = _job_of(values, wanted)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, DatasetError) and str(path) in str(error):
            raise
        raise DatasetError(f"{path} cannot be read ({one_line(error)}); {advice}") from error
    found.check_same(wanted)
    return found


def _job_of(values: dict[str, Any], wanted: Job) -> Job:
    """The job that ``job.json`` tells of. Parts that are still to come are of the version that makes them."""
    for name in ("folder", "net_engine"):
        if not isinstance(values[name], str):
            raise TypeError(f"{name} is no text")
    made = replace(Description.of_values(values["description"]), package_version=wanted.description.package_version)
    clips, kept = values.get("clips", False), values.get("kept_columns", [])
    if not isinstance(clips, bool) or not isinstance(kept, list) or not all(isinstance(name, str) for name in kept):
        raise TypeError("clips or kept_columns are not what they should be")
    asked = values.get("recorded")
    recorded = None if asked is None else TimeAndPlace(**asked)
    engine = values["net_engine"]
    if engine == "auto" and wanted.auto_was is not None:
        engine = wanted.auto_was
    return Job(
        wanted.output,
        folder_of_names(values["folder"], wanted.folder, wanted.output),
        made,
        engine,
        TableColumns(clips, tuple(kept), recorded is not None, _flag(values, "spans"), _count(values, "tags")),
        check_channel(values.get("channel", MEAN)),
        recorded,
        read_as=_text(values, "read_as"),
    )


def _shown(value: object) -> str:
    return shortened(str(value), 200)


def _text(values: dict[str, Any], name: str) -> str | None:
    value = values.get(name)
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} is no text")
    return value


def _flag(values: dict[str, Any], name: str) -> bool:
    value = values.get(name, False)
    if not isinstance(value, bool):
        raise TypeError(f"{name} is neither true nor false")
    return value


def _count(values: dict[str, Any], name: str) -> int | None:
    value = values.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise TypeError(f"{name} is no count")
    return value


def publish(job: Job, generation: int, items: Sequence[Item], files_per_part: int | None) -> bool:
    """Fixes the items of a generation, unless another process was faster.

    Returns:
        Whether it was this one.

    Raises:
        OutputError: they cannot be written.
    """
    folder = Path(job.output) / JOB_FOLDER
    final = folder / generation_name(generation)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep([final])
        with temporary_folder(final) as temporary:
            _write_generation(temporary, job, generation, items, files_per_part)
            try:
                os.rename(temporary, final)  # fails where there is a folder that is not empty
            except OSError:
                if not _items_path(job.output, generation).exists():
                    raise
                return False
        sync_folder(folder)
        sync_folder(job.output)
        return True
    except OSError as error:
        raise OutputError(f"cannot write into {folder}: {error.strerror or error}") from error


def _write_generation(
    folder: Path, job: Job, generation: int, items: Sequence[Item], files_per_part: int | None
) -> None:
    """Writes the files of a generation into a folder."""
    pa = require_pyarrow()
    import pyarrow.parquet as pq

    schema = items_schema()
    # Python opens it, because pyarrow takes names of UTF-8 only.
    with (folder / _ITEMS).open("xb") as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for part in cut_into_parts(items, files_per_part):
            arrays = [pa.array([getattr(item, f.name) for item in part], f.type) for f in schema]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=len(part))
    if generation == 0:
        values: dict[str, Any] = {"format": _FORMAT, "description": asdict(job.description)}
        values |= {"folder": job.folder, "net_engine": job.engine}
        if job.channel != MEAN:
            values["channel"] = job.channel
        if job.recorded is not None:
            values["recorded"] = asdict(job.recorded)
        columns = job.table_columns
        if columns.clips or columns.kept:
            values |= {"clips": columns.clips, "kept_columns": columns.kept}
        if columns.spans:  # which earlier versions did not know, and jobs that they began go on without
            values["spans"] = True
        if columns.tags is not None:
            values["tags"] = columns.tags
        if job.read_as is not None:
            values["read_as"] = job.read_as
        (folder / JOB_FILE).write_text(json_text(values, indent=1) + "\n", encoding="utf-8")
        sync_file(folder / JOB_FILE)
    sync_file(folder / _ITEMS)
    sync_folder(folder)


def sweep_job(job: Job, parts: Sequence[Part]) -> None:
    """Deletes what processes that were killed have left of a job's parts and lists, but not what living ones write."""
    lists = (Path(job.output) / JOB_FOLDER / generation_name(number) for number in range(n_generations(job) + 1))
    sweep([*(Path(job.output) / part.filename for part in parts), *lists])


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
        with _list_of(job.output, generation) as opened:
            layout = opened.metadata
            sizes = [layout.row_group(i).num_rows for i in range(layout.num_row_groups)]
        parts += [Part(generation, i, n) for i, n in enumerate(sizes)]
    return parts


def n_generations(job: Job) -> int:
    """How many times items have been fixed."""
    n = 0
    while _items_path(job.output, n).exists():
        n += 1
    if n == 0:
        raise _damaged(_items_path(job.output, 0), "it is missing", job.output)
    return n


def known_items(job: Job) -> set[Hashable]:
    """What tells its items from all others, as :func:`~hear_edgel3.jobs.manifest.identities` gives it."""
    known: set[Hashable] = set()
    for generation in range(n_generations(job)):
        with _list_of(job.output, generation) as opened:
            for batch in opened.iter_batches(use_threads=False):
                check_values(batch)
                known.update(identities(items_from(batch), job.folder))
    return known


def items_of(job: Job, part: Part) -> list[Item]:
    """The items of a part.

    Raises:
        DatasetError: the job's list is damaged.
    """
    with _list_of(job.output, part.generation) as opened:
        rows = opened.read_row_group(part.number, use_threads=False)
        check_values(rows)
        return items_from(rows)


def _items_path(output: str, generation: int) -> Path:
    """Where the items of a generation are; where they would be, if they are nowhere."""
    folder = Path(output) / JOB_FOLDER / generation_name(generation)
    old = folder / _OLD_ITEMS
    return old if old.exists() else folder / _ITEMS


@contextmanager
def _list_of(output: str, generation: int) -> Iterator[Any]:
    """The items of a generation, as an open ``pyarrow.parquet.ParquetFile``.

    Raises:
        DatasetError: they are damaged; also where the block finds that out.
    """
    path = _items_path(output, generation)
    require_pyarrow()
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            footer = _footer(path, (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size))
            with pq.ParquetFile(file, metadata=footer, pre_buffer=False) as opened:
                yield opened
    except HearEdgeL3Error:
        raise
    except Exception as error:  # pyarrow's errors have no common base
        raise _damaged(path, one_line(error), output) from error


def _damaged(path: Path, reason: str, output: str) -> DatasetError:
    return DatasetError(
        f"{path}, the list of what there is to embed, is damaged ({reason}); move {output} away and begin anew, or "
        f"give another --output. The embeddings that are there can still be read"
    )


@lru_cache(maxsize=4)
def _footer(path: Path, identity: tuple[int, ...]) -> Any:  # noqa: ARG001
    """Kept, because it grows with the job."""
    import pyarrow.parquet as pq

    with path.open("rb") as file, pq.ParquetFile(file, pre_buffer=False) as opened:
        found = opened.schema_arrow
        # Jobs of earlier versions lack columns.
        wrong = differing_columns(found, [f for f in items_schema() if f.name in found.names or f.name in _ALWAYS])
        if wrong:
            raise ValueError("; ".join(wrong))
        return opened.metadata
