"""``python -m weights_convert``: convert, verify and publish checkpoints."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from hear_edgel3.errors import HearEdgeL3Error, InvalidOption, OutputError, UnknownConfiguration
from hear_edgel3.families.schema import Published
from hear_edgel3.registry.names import checkpoints, published
from hear_edgel3.weights.cache import cache_folder
from hear_edgel3.weights.convert import convert
from hear_edgel3.weights.upstream import expected_checksum
from weights_convert.verify import verify

_EPILOG = """examples:
  python -m weights_convert sea_64
      download the published file, verify, convert, and put it into the cache where hear_edgel3.load finds it
  python -m weights_convert sea_64 --source edgel3_sea_ust_audio_emb_64.h5.gz --output sea_64.safetensors
      convert a file you have
  python -m weights_convert --all --source DOWNLOADS --output CONVERTED
      convert every published file found in a folder
  python -m weights_convert publish sea_64 --weights sea_64.safetensors
      show what would go to the Hugging Face Hub (--upload does it)
"""


def main(argv: list[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0 done, 1 a checkpoint failed, 2 wrong usage."""
    argv = sys.argv[1:] if argv is None else argv
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        if argv[:1] == ["publish"]:
            return _publish(argv[1:])
        return _convert(argv)
    except HearEdgeL3Error as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, (InvalidOption, UnknownConfiguration)) else 1
    except KeyboardInterrupt:
        print("interrupted; nothing half-written is left", file=sys.stderr)
        return 130


def _convert(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "python -m weights_convert",
        description="Converts the authors' checkpoints to safetensors.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="checkpoints, as `hear-edgel3 list` names them")
    parser.add_argument("--all", action="store_true", help="every checkpoint")
    parser.add_argument(
        "--source", type=Path, help="the upstream file, or a folder of them; without it the file is downloaded"
    )
    parser.add_argument(
        "--output", help="file to write, or folder for several; default: the cache that load() looks into"
    )
    parser.add_argument(
        "--verify", type=Path, metavar="NPZ", help="reference embeddings (pcm__X windows, emb__X) that must be met"
    )
    parser.add_argument("--tolerance", type=float, default=5e-4, help="largest error --verify allows (default 5e-4)")
    arguments = parser.parse_args(argv)
    if arguments.all == bool(arguments.names):
        parser.error("give the names of checkpoints, or --all")
    if arguments.source is not None and not arguments.source.is_dir() and len(arguments.names) != 1:
        parser.error("--source takes a folder when there are several checkpoints")
    rows = list(checkpoints()) if arguments.all else [published(name) for name in arguments.names]
    sources = [(row, _source(row, arguments.source)) for row in rows]
    if arguments.all and arguments.source is not None:
        sources = [(row, source) for row, source in sources if source is not None and source.is_file()]
        if not sources:
            raise InvalidOption(f"the folder {arguments.source} has none of the published files")
    failed = 0
    for row, source in sources:
        try:
            _one(row, source, _target(row, arguments.output, len(sources) > 1), arguments.verify, arguments.tolerance)
        except HearEdgeL3Error as error:
            failed += 1
            print(f"error: {row.name}: {error}", file=sys.stderr)
    if failed and len(sources) > 1:
        print(f"{failed} of {len(sources)} checkpoints were not converted", file=sys.stderr)
    return 1 if failed else 0


def _one(row: Published, source: Path | None, target: Path, reference: Path | None, tolerance: float) -> None:
    converted = convert(row, source)
    source_file = converted.provenance["source_file"]
    if converted.published is False:
        print(
            f"note: {source_file} is not, byte for byte, the file published as {row.name} ({expected_checksum(row)}); "
            f"converted as it is",
            file=sys.stderr,
        )
    elif converted.published is None:
        print(
            f"note: no checksum of the file published as {row.name} is known; {source_file} fits by names and shapes",
            file=sys.stderr,
        )
    if reference is not None:
        for result in verify(row, converted.state, reference, tolerance):
            print(
                f"verified {row.name} on {result.name}: {result.windows} windows, largest error "
                f"{result.max_error:.2g}, smallest cosine {result.min_cosine:.8f}",
                file=sys.stderr,
            )
    sha256 = converted.write(target)
    print(f"{target}  sha256={sha256}")


def _source(row: Published, given: Path | None) -> Path | None:
    if given is None or not given.is_dir():
        return given
    packed = given / row.upstream.filename
    unpacked = packed.with_suffix("") if packed.suffix == ".gz" else packed
    return unpacked if unpacked.is_file() and not packed.is_file() else packed


def _target(row: Published, given: str | None, several: bool) -> Path:
    folder = cache_folder() if given is None else Path(given)
    if given is not None and not several and not folder.is_dir() and not given.endswith(os.sep):
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror or error}") from error
    return folder / row.filename


def _publish(argv: list[str]) -> int:
    from weights_convert.publish import run

    parser = argparse.ArgumentParser(
        "python -m weights_convert publish",
        description="Creates or updates Hub repositories. A dry run unless --upload is given.",
    )
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--weights", type=Path, help="converted file, or folder of them; default: as load()")
    parser.add_argument("--repo-id", help="repository, if not the registry's")
    parser.add_argument("--upload", action="store_true", help="really do it")
    arguments = parser.parse_args(argv)
    if arguments.repo_id and len(arguments.names) > 1:
        parser.error("--repo-id takes one checkpoint")
    run(arguments.names, arguments.weights, arguments.repo_id, arguments.upload)
    return 0


if __name__ == "__main__":
    sys.exit(main())
