"""What ``tag`` and ``predict`` do: what is heard in audio files, to stdout or into a file."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hear_edgel3.cli import options
from hear_edgel3.cli.common import Failures, on_device, say_notes
from hear_edgel3.cli.doubts import Doubts
from hear_edgel3.cli.say import put, say
from hear_edgel3.cli.sources import AudioSources, audio_sources, name_of
from hear_edgel3.disk.atomic import check_writable
from hear_edgel3.disk.digest import sha256_of
from hear_edgel3.disk.paths import path_of_text, text_of
from hear_edgel3.errors import InvalidOption
from hear_edgel3.families.schema import Checkpoint, Local
from hear_edgel3.recorded import Recorded, Unknown, moment_after
from hear_edgel3.registry.labels import labels
from hear_edgel3.sources.seen import look
from hear_edgel3.tagging.output import TagsFile, check_name, is_table
from hear_edgel3.tagging.outputs import Outputs, outputs_of, outputs_together
from hear_edgel3.tagging.records import (
    CLIP_END,
    CLIP_START,
    RECORDED_AT,
    SEEN,
    SITE,
    Record,
    as_csv,
    as_json,
    as_text,
    columns_of,
    record_of,
)
from hear_edgel3.tagging.request import check_length, check_windows, one_each, tagging_rows
from hear_edgel3.weights.header import own_labels, provenance
from hear_edgel3.weights.locate import check_given, find

if TYPE_CHECKING:
    from tqdm import tqdm

    from hear_edgel3.sources.item import Item
    from hear_edgel3.tagging.tagger import Tagger

# How many classes of each window text and pictures show.
TOP = 10

_Weights = Sequence[str | os.PathLike[str] | None]


@dataclass(frozen=True)
class _Asked:
    """What was asked for.

    Attributes:
        arguments: the command's.
        rows: the nets.
        weights: their weights, as they were given.
        outputs: what is put out for a window.
        sources: what is tagged.
        failures: what could not be tagged.
        doubts: what to say of results in the end.
        unknown: of how many files it is not known when and where they were recorded.
    """

    arguments: argparse.Namespace
    rows: list[Checkpoint]
    weights: _Weights
    outputs: Outputs
    sources: AudioSources
    failures: Failures
    doubts: Doubts
    unknown: Unknown = field(default_factory=Unknown)

    def see(self, record: Record) -> None:
        """Looks at a result for what there is to say in the end."""
        self.doubts.see(record)
        if SITE in record:
            self.unknown.see(record["file"], Recorded(record["windows"][0][RECORDED_AT], site=record[SITE]))


# The number of a file, and what is heard in it or what went wrong.
_Tagged = Generator[tuple[int, "Record | Exception"], None, None]


def add_tagging(parser: argparse.ArgumentParser, top: str) -> None:
    """Adds the options that ``tag`` and ``predict`` have in common, but for sources and ``--config``.

    Args:
        parser: where to.
        top: the help of ``--top``.
    """
    options.add_ensemble(parser)
    options.add_top(parser, top)
    options.add_window(parser, "tag windows of this length (10, for example)")
    options.add_hop(parser, "between windows (default a quarter of a window)")
    options.add_channel(parser, each=True)
    options.add_tables(parser)
    options.add_time_and_place(parser)
    form = parser.add_mutually_exclusive_group()
    options.add_json(form, "print one JSON object per file")
    form.add_argument("--csv", action="store_true", help="print CSV")
    options.add_output(
        parser,
        "FILE",
        "write to this file instead: .csv, .jsonl (one JSON object per line) or .parquet; if an earlier run wrote it, "
        "what it lacks is added, and what has changed since (size, or time of last change) is done anew",
    )
    parser.add_argument("--overwrite", action="store_true", help="begin --output anew (else it is added to)")
    parser.add_argument(
        "--plot", metavar="PICTURE", help="draw one file's tags under its spectrogram (.png, .pdf, .svg)"
    )
    options.add_recursive(parser)
    options.add_engine(parser)
    options.add_device(parser)
    options.add_workers(parser, "processes (default 1: this one)", default=1)
    options.add_threads(parser, "of the net, per worker (default 1; with one worker what torch takes)")
    options.add_file_timeout(parser)
    options.add_quiet(parser)


def tag_all(arguments: argparse.Namespace, usual_top: int | None) -> int:
    """What ``tag`` and ``predict`` do.

    Args:
        arguments: those of :func:`add_tagging`, ``sources`` and ``config``.
        usual_top: how many classes of each window where none are asked for; None for all.

    Returns:
        0, or 1 if any input failed.
    """
    rows = tagging_rows(options.ensemble(arguments))
    weights = one_each(rows, arguments.weights)
    options.check_engine(arguments.engine)
    recorded = options.asked_time_and_place(arguments)
    check_windows(arguments.window, arguments.hop)
    for row, path in zip(rows, weights, strict=True):
        check_given(row, path)
        if arguments.window is not None:
            check_length(row, arguments.window)
    _check_output(arguments)
    outputs = outputs_together([outputs_of(row) for row in rows])
    if arguments.top is None and not outputs.are_numbers:
        arguments.top = usual_top
    arguments.kept = arguments.top  # of which text may show a part
    found = audio_sources(arguments.sources, arguments.audio, arguments.whole_files, arguments.channel)
    n_inputs = len(found.items) + len(found.failures)
    if arguments.plot is not None:
        _check_plot(arguments.plot, n_inputs, found)
        if arguments.channel == "each":
            raise InvalidOption("--plot draws one channel: give --channel N, or mean")
    failures = Failures(found.failures)
    doubts = Doubts(rows, own_weights=arguments.weights is not None)
    say_notes(found.notes, arguments.quiet)
    asked = _Asked(arguments, rows, weights, outputs, found, failures, doubts)
    if found.items and arguments.output is not None:
        _tag_into(asked)
    elif found.items:
        _print_all(asked)
    if recorded is not None:
        say_notes(asked.unknown.notes(recorded), arguments.quiet)
    doubts.tell(arguments.quiet)
    failures.summarise(n_inputs)
    return 1 if failures else 0


def _check_output(arguments: argparse.Namespace) -> None:
    if arguments.output is None:
        if arguments.overwrite:
            raise InvalidOption("--overwrite is for --output, which is not given")
        return
    check_name(arguments.output)
    if is_table(arguments.output) and arguments.top is not None:
        raise InvalidOption(f"--top does not fit --output {arguments.output}, which gets all classes: leave it out")
    for form, ending in {"json": ".jsonl", "csv": ".csv"}.items():
        if getattr(arguments, form) and not arguments.output.lower().endswith(ending):
            raise InvalidOption(
                f"--{form} does not fit --output {arguments.output}, which says what is written: leave it out"
            )
    check_writable(Path(arguments.output))


def _check_plot(picture: str, n_inputs: int, found: AudioSources) -> None:
    from hear_edgel3.tagging.plot import check_plot

    if n_inputs != 1:
        raise InvalidOption(f"--plot draws one file; {n_inputs} were given")
    for item in found.items:
        if item.shard is not None:
            raise InvalidOption(
                f"--plot draws a file of its own, and {item.file} is inside another file: unpack it first"
            )
        if item.is_clip:
            raise InvalidOption(f"--plot draws a whole file, and {item.name} is a clip: give its file")
    check_plot(picture)
    check_writable(Path(picture))


def _print_all(asked: _Asked) -> None:
    """Tags files and prints what is heard, in their order."""
    arguments, rows, weights = asked.arguments, asked.rows, asked.weights
    outputs, sources = asked.outputs, asked.sources
    items = sources.items
    form: Callable[[Record], str] = as_json if arguments.json else as_csv
    if not (arguments.json or arguments.csv):
        form = partial(as_text, top=arguments.top)
        if outputs.thresholds is not None:  # what is said may have little probability
            arguments.kept = None
    workers = min(arguments.workers, len(items))
    if workers > 1 or arguments.file_timeout is not None:
        weights = [_located(row, path)[0] for row, path in zip(rows, weights, strict=True)]
    elif arguments.weights is None:
        weights = [None] * len(rows)
    # Where results go to the terminal, a progress bar would be between them.
    with (
        closing(_tagged(items, sources.has_clips, rows, weights, arguments, workers)) as tagged,
        _progress(len(items), arguments.quiet or sys.stdout.isatty() or not sys.stderr.isatty()) as progress,
    ):
        waiting: dict[int, Record | None] = {}
        turn = 0
        for n_done, (number, found) in enumerate(tagged):
            progress.update()
            if n_done == 0 and arguments.csv:
                recorded = options.asked_time_and_place(arguments) is not None
                put(",".join(columns_of(arguments.channel == "each", sources.has_clips, outputs, recorded)))
            if isinstance(found, Exception):
                asked.failures.add(name_of(items[number]), found)
                waiting[number] = None
            else:
                waiting[number] = {**found, "file": text_of(path_of_text(items[number].file))}
            while turn in waiting:
                record = waiting.pop(turn)
                turn += 1
                if record is not None:
                    put(form(record), end="", exact=arguments.csv)
                    asked.see(record)


def _tag_into(asked: _Asked) -> None:
    """Tags files into ``--output``."""
    arguments, rows, weights, sources = asked.arguments, asked.rows, asked.weights, asked.sources
    items = sources.items
    located = [_located(row, path) for row, path in zip(rows, weights, strict=True)]
    recorded = options.asked_time_and_place(arguments)
    made_with = {
        "config": [row.name for row in rows],
        "embedding_version": [row.embedding_version for row in rows],
        "weights": [sha256 for _, sha256 in located],
        "window": arguments.window,
        "hop": arguments.window / 4 if arguments.window and arguments.hop is None else arguments.hop,
        "top": None if is_table(arguments.output) else arguments.top,
        "engine": arguments.engine,
        "device": arguments.device,
        **_classes_made_with(rows),
        **({} if arguments.channel == "mean" else {"channel": arguments.channel}),
        **({"clips": True} if sources.has_clips else {}),
        **({} if recorded is None else {"recorded": asdict(recorded)}),
    }
    what = "files and clips" if sources.has_clips else "files"
    classes = _class_names(rows[0], weights[0]) if is_table(arguments.output) else ()
    with TagsFile(arguments.output, made_with, arguments.overwrite, asked.outputs, classes) as output:
        pending = output.pending(items)
        done = 0
        if pending:
            workers = min(arguments.workers, len(pending))
            tagged = _tagged(pending, sources.has_clips, rows, [path for path, _ in located], arguments, workers)
            quiet = arguments.quiet or len(pending) == 1
            try:
                with closing(tagged), _progress(len(pending), quiet) as progress:
                    for number, found in tagged:
                        progress.update()
                        if isinstance(found, Exception):
                            asked.failures.add(name_of(pending[number]), found)
                        else:
                            asked.see(found)
                            output.add({**found, "file": output.name_of(pending[number])})
                            done += 1
            except KeyboardInterrupt:
                say(f"hear-edgel3: {len(output)} {what} are tagged; the same command goes on")
                raise
        # Also where nothing was pending: the run before may have ended when all was computed and nothing written.
        output.finish(items)
        if not arguments.quiet:
            kept = len(items) - len(pending)
            before = f", {kept} were there" if kept else ""
            failed = f", {len(asked.failures)} failed" if asked.failures else ""
            if output.n_changed:
                say(f"{output.n_changed} {what} had changed since they were tagged, and were done anew")
            if output.n_left_out:
                say(f"{output.n_left_out} {what} had changed and could not be tagged: their old tags are left out")
            say(f"{done} {what} tagged{before}{failed}: {arguments.output}")


def _classes_made_with(rows: list[Checkpoint]) -> dict[str, Any]:
    """What folders say of their classes, which their weights do not tell."""
    own = [row for row in rows if isinstance(row, Local) and row.classes]
    if not own:
        return {}
    return {
        "classes": own[0].classes,
        "targets": own[0].targets,
        "temperature": [row.temperature for row in own],
        "thresholds": [row.thresholds for row in own],
    }


def _class_names(row: Checkpoint, given: str | os.PathLike[str] | None) -> tuple[str, ...]:
    """The names of the classes of a net, which its weights may name."""
    if isinstance(row, Local) and row.classes:
        return row.classes
    path = find(row, given).path
    with path.open("rb") as file:
        named = own_labels(provenance(file), str(path))
    return tuple(label.name for label in (labels(str(row.labels)) if named is None else named))


def _located(row: Checkpoint, given: str | os.PathLike[str] | None) -> tuple[Path | None, str]:
    """Where the weights are, for all processes, and their sha256. Its own weights are for a folder's net to check."""
    found = find(row, given)
    own = isinstance(row, Local) and given is None
    return None if own else found.path, found.sha256 or sha256_of(found.path)


def _progress(total: int, quiet: bool) -> tqdm[Any]:
    from tqdm import tqdm

    return tqdm(total=total, unit="file", file=sys.stderr, dynamic_ncols=True, disable=quiet)


def _tagged(
    items: Iterable[Item],
    clips: bool,
    rows: list[Checkpoint],
    weights: _Weights,
    arguments: argparse.Namespace,
    workers: int,
) -> _Tagged:
    """Tags files and clips, in this process or in several, and yields each when it is done.

    Args:
        items: what to tag.
        clips: whether records say which clip they are of.
        rows: the nets.
        weights: their weights.
        arguments: the command's.
        workers: how many processes there are.
    """
    from hear_edgel3.jobs.pool import Pool, attempt

    nets = [row.folder if isinstance(row, Local) else row.name for row in rows]
    make = partial(_Work, nets, weights, arguments, clips)
    limit = arguments.file_timeout
    if workers > 1 or limit is not None:  # what has a limit must be in a process that can be ended
        yield from Pool(partial(_in_worker, make, arguments.threads or 1), workers, limit=limit).run(items)
        return
    with _threads(arguments.threads), closing(make()) as work:
        for number, item in enumerate(items):
            yield number, attempt(work, item)


def _in_worker(make: Callable[[], _Work], threads: int) -> _Work:
    import torch

    torch.set_num_threads(threads)
    return make()


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Has torch use so many threads; None for as many as it likes."""
    if count is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Work:
    """Tags one file or clip after the other, in this process."""

    def __init__(
        self, nets: Sequence[str | Path], weights: _Weights, arguments: argparse.Namespace, clips: bool
    ) -> None:
        from hear_edgel3.sources.opening import ItemOpener
        from hear_edgel3.tagging.tagger import Tagger

        self._arguments = arguments
        self._look = options.asked_time_and_place(arguments)
        self._clips = clips
        self._opener = ItemOpener("", arguments.channel)
        self._tagger: Tagger = on_device(Tagger(nets, weights, arguments.engine), arguments.device)

    def close(self) -> None:
        """Closes what is open."""
        self._opener.close()

    def __call__(self, item: Item) -> Record:
        """What is heard in a file or clip."""
        arguments = self._arguments
        seen = None if arguments.output is None else look(item, "")
        with self._opener.open(item) as file:
            each = file.each() if arguments.channel == "each" else [file]
            recorded = None if self._look is None else self._look.of_file(item.file, "", file)
            found = [self._tagger.tag_opened(one, arguments.window, arguments.hop) for one in each]
        source = path_of_text(item.file)
        if arguments.plot is not None:
            from hear_edgel3.tagging.plot import draw_tags

            draw_tags(
                source, found[0], self._tagger.extractors[0], arguments.plot, arguments.top or TOP, arguments.channel
            )
        tags = found if arguments.channel == "each" else found[0]
        for_table = arguments.output is not None and is_table(arguments.output)
        record = record_of(str(source), tags, arguments.kept, item.start or 0.0, for_table)
        if recorded is not None and self._look is not None:
            for window in record["windows"]:
                window[RECORDED_AT] = moment_after(recorded.began, window["start"], self._look.tz)
            record[SITE] = recorded.site
        if seen is not None:
            record[SEEN] = seen
        if not self._clips:
            return record
        return {"file": record.pop("file"), CLIP_START: item.start, CLIP_END: item.end, **record}
