"""Names and contents of result files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hear_edgel3.disk.atomic import atomic_write
from hear_edgel3.disk.paths import text_of
from hear_edgel3.disk.state import FileState, file_state
from hear_edgel3.errors import InvalidOption

if TYPE_CHECKING:
    from hear_edgel3.extractor.clip import ClipEmbedding

_EXTENSION = ".npz"
_SIZE, _MODIFIED = "source_size", "source_modified"
# Where a clip is in its source, in seconds; what is of a whole file has neither.
START, END = "start_s", "end_s"


def output_path(
    source: str | os.PathLike[str], suffix: str | None = None, output_dir: str | os.PathLike[str] | None = None
) -> Path:
    """``<folder>/<name>[_<suffix>].npz``; a suffix that starts with a dot gets no underscore, as in edgel3.

    Args:
        source: the audio file.
        suffix: added to the name.
        output_dir: folder; None for the source's own.

    Raises:
        InvalidOption: the suffix would lead into another folder.
    """
    return _named(Path(source), Path(source).stem, suffix, output_dir)


def _named(source: Path, stem: str, suffix: str | None, output_dir: str | os.PathLike[str] | None) -> Path:
    if suffix and (os.sep in suffix or (os.altsep and os.altsep in suffix) or "\0" in suffix):
        raise InvalidOption(f"a suffix is part of a file name and cannot be {suffix!r}")
    joint = "_" if suffix and not suffix.startswith(".") else ""
    folder = source.parent if output_dir is None else Path(output_dir)
    return folder / f"{stem}{joint}{suffix or ''}{_EXTENSION}"


def plan_outputs(
    sources: Sequence[Path],
    suffix: str | None = None,
    output_dir: str | os.PathLike[str] | None = None,
    places: Sequence[str] | None = None,
) -> list[Path]:
    """One output per source, all different.

    Sources that would share an output (``a.wav`` and ``a.flac``, or ``x/a.wav`` and ``y/a.wav`` with one output folder)
    get as much of their ending and folders into the name as tells them apart: ``a_wav.npz``, ``x_a.npz``.

    Args:
        sources: files, each once, or once for each place in it.
        suffix: as for :func:`output_path`.
        output_dir: as for :func:`output_path`.
        places: what comes behind the name of each: where its clip is, or nothing.

    Returns:
        The outputs, in the order of ``sources``.
    """

    def with_place(i: int, stem: str) -> Path:
        stem = f"{stem}_{places[i]}" if places is not None and places[i] else stem
        return _named(sources[i], stem, suffix, output_dir)

    plain = [with_place(i, source.stem) for i, source in enumerate(sources)]
    shared = Counter(_key(p) for p in plain)
    taken = {_key(p) for p in plain if shared[_key(p)] == 1}
    outputs = list(plain)
    for key in [k for k, n in shared.items() if n > 1]:
        members = [i for i, p in enumerate(plain) if _key(p) == key]
        for level in range(2 * max(len(sources[i].absolute().parts) for i in members) + 1):
            named = [with_place(i, _longer_stem(sources[i], level)) for i in members]
            keys = {_key(p) for p in named}
            if len(keys) == len(members) and not keys & taken:
                break
        else:  # paths that differ in upper and lower case only, or are made of the same parts in another order
            named, keys, n = [], set(), 0
            for i in members:
                while True:
                    n += 1
                    numbered = with_place(i, f"{_longer_stem(sources[i], 0)}_{n}")
                    if _key(numbered) not in taken | keys:
                        break
                named.append(numbered)
                keys.add(_key(numbered))
        taken |= keys
        for i, path in zip(members, named, strict=True):
            outputs[i] = path
    return outputs


def _key(path: Path) -> str:
    """Equal for paths that may be the same file, also where upper and lower case are the same."""
    return os.path.abspath(path).lower()


def _longer_stem(source: Path, level: int) -> str:
    """``a_wav``, ``x_a``, ``x_a_wav``, ``w_x_a``, ... for levels 0, 1, 2, 3, ..."""
    n_folders, with_ending = (level + 1) // 2, level % 2 == 0
    folders = source.absolute().parts[1:-1]
    parts = [*(folders[-n_folders:] if n_folders else ()), source.stem]
    if with_ending:
        parts.append(source.suffix.lstrip("."))
    return "_".join(parts)


# What every result without a word on it was made of.
_CHANNEL_BEFORE = "mean"


def save_npz(path: Path, clip: ClipEmbedding, source: str | os.PathLike[str], state: FileState | None = None) -> None:
    """Writes the two arrays, and what made them: configuration, embedding_version, weights_sha256, options and source.

    Of a clip there are ``start_s`` and ``end_s`` too, in seconds of the source; without an end it is the source's.

    Args:
        path: where to; what was left there by a process that was killed is for the caller to sweep, once for all files.
        clip: the embeddings.
        source: the audio file.
        state: what it was like before it was read, by which :func:`is_outdated` notices that it has changed since.

    Raises:
        OutputError: it cannot be written; no part of a file is left.
    """
    import numpy as np

    more: dict[str, Any] = {} if state is None else {_SIZE: np.array(state.size), _MODIFIED: np.array(state.modified)}
    more |= {key: np.array(value) for key, value in ((START, clip.start), (END, clip.end)) if value is not None}
    if clip.channel != _CHANNEL_BEFORE:
        more["channel"] = np.array(str(clip.channel))
    with atomic_write(path, swept=True) as file:
        np.savez(
            file,
            embedding=clip.embedding,
            timestamps=clip.timestamps,
            configuration=np.array(clip.configuration),
            embedding_version=np.array(clip.embedding_version),
            weights_sha256=np.array(clip.weights_sha256),
            hop_size=np.array(clip.hop_size),
            center=np.array(clip.center),
            source=np.array(text_of(os.path.abspath(source))),  # npz strings must be text
            **more,
        )


def conflict(path: Path, source: Path, wanted: Mapping[str, object]) -> str | None:
    """Why an existing output is not the result of this very job, or None if it may well be.

    Args:
        path: the existing output.
        source: the audio file that would be embedded into it.
        wanted: what would make it now, by the names of :func:`save_npz`.
    """
    import numpy as np

    try:
        # opened here, because np.load leaves its own handle open when the file is damaged
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            made_from = str(file["source"]) if "source" in file else None
            # what the old edgel3 wrote has none of these
            found = {key: file[key].item() for key in wanted if key in file}
            found.setdefault("channel", _CHANNEL_BEFORE)
            found |= {key: file[key].item() if key in file else None for key in (START, END)}
    except (OSError, ValueError, KeyError, EOFError):
        return "it exists, but cannot be read"
    except Exception as error:  # zipfile.BadZipFile and zlib.error have no common base
        return f"it exists, but is damaged ({error})"
    for key, value in found.items():
        asked = wanted.get(key, None if key in (START, END) else value)
        if value != asked:
            return f"it exists and was made with {key} {value}, not {asked}"
    # A source that is gone has probably moved here; one that is still there is another file.
    if made_from is not None and made_from != os.path.abspath(source) and os.path.exists(made_from):
        return f"it exists and was made from {made_from}"
    return None


def is_outdated(path: Path, source: Path) -> bool:
    """Whether a source has changed since an output was made from it. One that does not say is not.

    Args:
        path: the existing output, which :func:`conflict` has nothing against.
        source: the audio file.
    """
    import numpy as np

    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            if _SIZE not in file or _MODIFIED not in file:
                return False
            made_from = FileState(file[_SIZE].item(), file[_MODIFIED].item())
    except Exception:  # zipfile.BadZipFile and zlib.error have no common base
        return True  # what cannot be read is made anew
    now = file_state(source)
    return now is not None and now != made_from
