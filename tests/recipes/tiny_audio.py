"""Gathers sound to train a small net with: freely licensed Debian packages, instruments, speech and synthetic sounds.

    python -m tests.recipes.tiny_audio OUTPUT [--cache DIR] [--seed 0]

fills OUTPUT/<package>/ with the audio files of every package in `debian_packages.json` whose role is "train" or
"hold_out", renders OUTPUT/instruments/, OUTPUT/speech/ and OUTPUT/noises/, and writes OUTPUT/SOURCES.json, which says
where it all is from. Packages whose role is "hold_out" hold real recordings unlike the others': nothing is learnt from
them, they are what a net is validated with. The last line that is printed names them for `hear-edgel3 distill`:
--hold-out-sources gcompris-qt-data (animals, voices), minetest-data (steps, tools), openttd-opensfx (vehicles, birds,
saws), simutrans-pak64 (sea, forest, trains), oxygen-sounds, pidgin-data and sound-theme-freedesktop (signals),
pingus-data (voices, splashes). Copies of their files in other packages are left out.

It needs fluidsynth, espeak-ng and festival on PATH (on Debian: apt-get install fluidsynth espeak-ng festival
festvox-kallpc16k) and 30 GB of disk. What is there already is not made again.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import soundfile

from . import containers, noises, renders
from .debian import DEFAULT_CACHE, Package, RecipeError, lookup, table, unpacked, whole
from .renders import RenderError

SOUND_FONTS = {"timgm6mb-soundfont": 4, "opl3-soundfont": 1}  # phrases of each program
DRUM_CLIPS = {"timgm6mb-soundfont": 60, "opl3-soundfont": 10}
SONG_FONT = "timgm6mb-soundfont"
PHRASE_SECONDS = 10.0
SONG_SECONDS = 60.0
FESTIVAL_CLIPS = 30
CLIPS_PER_NOISE = 42
SILENT_CLIPS = 12
FAILING_CLIPS = 10
NOT_MUSIC = frozenset(["notes.mid"])  # of Frets on Fire: which keys to press


def training_packages() -> list[Package]:
    """The packages to train with: all but those kept for evaluation."""
    return [row for row in table().values() if row.role == "train"]


def held_out_packages() -> list[Package]:
    """The packages to validate with, of which nothing is learnt."""
    return [row for row in table().values() if row.role == "hold_out"]


def training_folder(package: str, cache: Path) -> Path:
    """The files of a package to train or to validate with, from the cache or downloaded.

    Raises:
        RecipeError: it is kept for evaluation, or cannot be had.
    """
    if lookup(package).role == "evaluate":
        raise RecipeError(f"{package} is kept for evaluation: a net trained with it could not be judged by it")
    return unpacked(package, cache)


def gather(package: Package, cache: Path, output: Path) -> dict[str, float]:
    """Puts the audio files of a package below a folder of its name, and its MIDI files below OUTPUT/midi.

    Files with the content of another one in the package, and those that cannot be read as sound, are left out.

    Returns:
        Its numbers: of files, of hours, and of files that cannot be read.
    """
    record = _record(package, output)
    if record.is_file():
        return json.loads(record.read_text(encoding="utf-8"))
    print(f"gathering {package.name}", file=sys.stderr, flush=True)
    seen: set[bytes] = set()
    files, seconds, unreadable = 0, 0.0, 0
    for name, content, path in _sounds(training_folder(package.name, cache)):
        digest = hashlib.sha256(content).digest()
        if digest in seen:
            continue
        seen.add(digest)
        if name.suffix.lower() in containers.MIDI:
            if package.role == "hold_out":  # songs of all packages are rendered into one folder
                continue
            _place(output / "midi" / package.name / name, content, None)
            continue
        try:
            info = soundfile.info(io.BytesIO(content))
        except soundfile.SoundFileError:
            unreadable += 1
            continue
        files += 1
        seconds += info.frames / info.samplerate
        _place(output / package.name / name, content, path)
    result = {"files": files, "hours": round(seconds / 3600, 4), "unreadable": unreadable}
    _write_json(record, result)
    return result


def _record(package: Package, output: Path) -> Path:
    """The file that says what was gathered of a package."""
    return output / "done" / f"{package.folder}.json"


def leave_out_copies(output: Path) -> dict[str, list[str]]:
    """Removes files of the packages to train with that are copies of one to validate with, from the numbers too.

    Returns:
        For each package that had some, their names.
    """
    held_out = {row.name for row in held_out_packages()}
    sizes: dict[int, set[bytes]] = {}
    for name in held_out:
        for path in _files_below(output / name):
            digest = hashlib.sha256(path.read_bytes()).digest()
            sizes.setdefault(path.stat().st_size, set()).add(digest)
    removed: dict[str, list[str]] = {}
    for package in training_packages():
        copies = [
            path
            for path in _files_below(output / package.name)
            if (known := sizes.get(path.stat().st_size)) and hashlib.sha256(path.read_bytes()).digest() in known
        ]
        if copies:
            infos = [soundfile.info(path) for path in copies]
            numbers = json.loads(_record(package, output).read_text(encoding="utf-8"))
            numbers["files"] -= len(copies)
            numbers["hours"] = round(numbers["hours"] - sum(i.frames / i.samplerate for i in infos) / 3600, 4)
            _write_json(_record(package, output), numbers)
            removed[package.name] = [path.relative_to(output / package.name).as_posix() for path in copies]
            for path in copies:
                path.unlink()
    return removed


def _files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _sounds(source: Path) -> Iterator[tuple[PurePosixPath, bytes, Path | None]]:
    """Audio and MIDI files: a short name, the content, and the file unless it is in a container."""
    wanted = containers.AUDIO | containers.MIDI | containers.CONTAINERS
    paths = sorted(
        p
        for p in source.rglob("*")
        if p.suffix.lower() in wanted and p.is_file() and not p.is_symlink() and p.name not in NOT_MUSIC
    )
    if not paths:
        return
    common = Path(os.path.commonpath([path.parent for path in paths]))
    for path in paths:
        name = PurePosixPath(path.relative_to(common).as_posix())
        if path.suffix.lower() in containers.CONTAINERS:
            for member in containers.members(path):
                yield name / member.name, member.read(), None
        else:
            yield name, path.read_bytes(), path


def _place(target: Path, content: bytes, path: Path | None) -> None:
    """A hard link where there is a file on the same disk, else a copy."""
    if target.is_file():
        return
    _folder(target.parent)
    with whole(target) as temporary:
        if path is not None:
            try:
                os.link(path, temporary)
            except OSError:
                shutil.copyfile(path, temporary)
        else:
            temporary.write_bytes(content)


def _write_json(path: Path, value: object) -> None:
    _folder(path.parent)
    with whole(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def render_instruments(cache: Path, output: Path, seed: int, songs: bool) -> None:
    """Phrases of every General MIDI program, drum patterns and, if wanted, the songs of the packages."""
    fonts = {name: _sound_font(name, cache) for name in SOUND_FONTS}
    for font, path in fonts.items():
        short = font.removesuffix("-soundfont")
        folder = _folder(output / "instruments" / short)
        for number in range(128):
            for index in range(SOUND_FONTS[font]):
                name = f"{number:03}-{index}"
                if not (target := folder / f"{name}.flac").is_file():
                    events = renders.phrase(number, renders.generator(seed, f"{short}-{name}"), PHRASE_SECONDS)
                    renders.play(events, path, target, PHRASE_SECONDS)
        for index in range(DRUM_CLIPS[font]):
            if not (target := folder / f"drums-{index:02}.flac").is_file():
                events = renders.drums(renders.generator(seed, f"{short}-drums-{index}"), PHRASE_SECONDS)
                renders.play(events, path, target, PHRASE_SECONDS)
    if not songs:
        return
    for midi in sorted(p for p in (output / "midi").rglob("*") if p.suffix.lower() in containers.MIDI):
        target = output / "instruments" / "songs" / midi.relative_to(output / "midi").with_suffix(".flac")
        if not target.is_file():
            _folder(target.parent)
            try:
                renders.play(renders.song(midi, SONG_SECONDS), fonts[SONG_FONT], target, SONG_SECONDS)
            except RenderError as error:
                print(f"left out: {error}", file=sys.stderr)


def keep_seed(output: Path, seed: int) -> None:
    """Writes down the seed of a folder, since what is there already is not made again.

    Raises:
        RecipeError: the folder has another one.
    """
    record = output / "done" / "seed.json"
    if not record.is_file():
        _write_json(record, seed)
    elif (other := json.loads(record.read_text(encoding="utf-8"))) != seed:
        raise RecipeError(f"{output} was begun with --seed {other}, not {seed}: name another folder or that seed")


def _sound_font(package: str, cache: Path) -> Path:
    """The one sound font in a package, which is not a link."""
    found = sorted(p for p in training_folder(package, cache).rglob("*.sf2") if not p.is_symlink())
    if len(found) != 1:
        raise RecipeError(
            f"{package} holds {len(found)} files *.sf2, not one: update debian_packages.json and this recipe"
        )
    return found[0]


def render_speech(output: Path, seed: int) -> None:
    """Numbers and letters read in every language of eSpeak NG, and in English by Festival."""
    folder = _folder(output / "speech" / "espeak-ng")
    left_out = 0
    for name, options, words in renders.clips_of_espeak(seed):
        if not (target := folder / f"{name}.flac").is_file():
            try:
                renders.speak(options, words, target)
            except RenderError as error:
                # eSpeak NG crashes at some words of some languages; if at many, something else is wrong.
                left_out += 1
                if left_out > FAILING_CLIPS:
                    raise
                print(f"left out: {error}", file=sys.stderr)
    folder = _folder(output / "speech" / "festival")
    for index in range(FESTIVAL_CLIPS):
        if not (target := folder / f"{index:02}.flac").is_file():
            rng = renders.generator(seed, f"festival-{index}")
            renders.speak_with_festival(renders.text(rng), target, rng.uniform(0.8, 1.4))


def noise_names() -> list[str]:
    """Every synthetic clip by name."""
    kinds = [(kind, CLIPS_PER_NOISE) for kind in noises.KINDS] + [("silence", SILENT_CLIPS)]
    return [f"{kind}-{index:03}" for kind, count in kinds for index in range(count)]


def render_noises(output: Path, seed: int) -> None:
    """Synthetic sounds."""
    folder = _folder(output / "noises")
    for name in noise_names():
        if not (target := folder / f"{name}.flac").is_file():
            renders.write_flac(target, noises.make(name, seed), noises.RATE)


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecipeError(f"cannot make the folder {path}: {error.strerror or error}") from error
    return path


def sources(output: Path, counts: dict[str, dict[str, float]], seed: int) -> list[dict[str, object]]:
    """What SOURCES.json says, as `hear-edgel3 distill` puts it into the card of a net: one entry per source.

    Args:
        output: the folder with all that is gathered.
        counts: of each package, as gather gives them.
        seed: of what is rendered.
    """

    def rendered(group: str, what: str, fonts: Iterable[str] = ()) -> dict[str, object]:
        infos = [soundfile.info(file) for file in (output / group).rglob("*.flac")]
        hours = sum(info.frames / info.samplerate for info in infos) / 3600
        licences = sorted({licence for font in fonts for licence in lookup(font).licences})
        name = f"{group}, rendered with seed {seed}"
        return {"name": name, "version": what, "licences": licences, "files": len(infos), "hours": round(hours, 4)}

    found: list[dict[str, object]] = []
    for name, count in sorted(counts.items()):
        row = lookup(name)
        if count["files"]:
            origin = {
                "version": row.version,
                "licences": list(row.licences),
                "homepage": row.homepage,
                "role": row.role,
            }
            found.append({"name": name, **origin, "files": count["files"], "hours": count["hours"]})
    fonts = ", ".join(f"{name} {lookup(name).version}" for name in SOUND_FONTS)
    speech = f"{renders.version('espeak-ng')}; {renders.version('festival')}, voice kal_diphone"
    return [
        *found,
        rendered("instruments", f"{renders.version('fluidsynth')}, {fonts}", SOUND_FONTS),
        rendered("speech", speech),
        rendered("noises", "tests.recipes.noises"),
    ]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, metavar="OUTPUT")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="keeps the packages (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--songs", action="store_true", help="render the MIDI songs of the packages too (an hour; tiny did without)"
    )
    arguments = parser.parse_args()
    output, cache, seed = arguments.output, arguments.cache, arguments.seed
    try:
        for name in ("fluidsynth", "espeak-ng", "text2wave"):
            renders.program(name)  # before hours of downloads
        keep_seed(output, seed)
        held_out = held_out_packages()
        packages = (*held_out, *training_packages())
        for row in packages:
            gather(row, cache, _folder(output))
        for name, copies in leave_out_copies(output).items():
            print(f"left out of {name}, copies of what is held out: {', '.join(copies)}", file=sys.stderr)
        counts = {row.name: gather(row, cache, output) for row in packages}
        for words, render in {
            "synthetic sounds": lambda: render_noises(output, seed),
            "speech": lambda: render_speech(output, seed),
            "instruments": lambda: render_instruments(cache, output, seed, arguments.songs),
        }.items():
            print(f"rendering {words}", file=sys.stderr, flush=True)
            render()
        said = sources(output, counts, seed)
        _write_json(output / "SOURCES.json", {"sources": said})
    except RecipeError as error:
        sys.exit(f"error: {error}")
    files, hours = (sum(float(str(row[key])) for row in said) for key in ("files", "hours"))
    print(f"{files:.0f} files, {hours:.2f} h", file=sys.stderr)
    names = ",".join(row.name for row in held_out if counts[row.name]["files"])
    print(f"validate with: --hold-out-sources {names}", file=sys.stderr)


if __name__ == "__main__":
    main()
