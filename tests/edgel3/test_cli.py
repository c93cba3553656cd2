"""The command of edgel3 and ``edgel3.cli.run``: the documented calls, and the original's faults, mended."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from hear_edgel3 import edgel3
from hear_edgel3.edgel3.cli import get_file_list, main, parse_args, positive_float, run
from hear_edgel3.errors import AudioFileError, InvalidOption, OutputError, WeightsNotFound
from support import signals

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def _weights(weights_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(weights_folder))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a second of noise to a file below ``tmp_path``."""

    def into(name: str, samples: np.ndarray | None = None) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, signals.clip(1.0, 8000) if samples is None else samples, 8000)
        return path

    return into


def results(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.npz"))


def never_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object, **options: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("hear_edgel3.edgel3.cli.load_embedding_model", never)


SEA: dict[str, Any] = {"model_type": "sea", "emb_dim": 64, "hop_size": 0.5}
SEA_FLAGS = ["--model-type", "sea", "--emb-dim", "64", "--hop-size", "0.5"]


# --- reading the command line ---


@pytest.mark.parametrize(("value", "expected"), [(5, 5.0), (0.1, 0.1), ("1.3", 1.3), ("1e-3", 1e-3), (" 2 ", 2.0)])
def test_positive_float(value: Any, expected: float) -> None:
    found = positive_float(value)
    assert found == expected
    assert type(found) is float


@pytest.mark.parametrize("value", [-5, -1.0, 0, "0", None, "hello", "", "nan", "inf", "-inf", [1.0]])
def test_no_positive_float(value: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="must be a positive number, got"):
        positive_float(value)


def test_parse_args_defaults() -> None:
    assert vars(parse_args(["a.wav", "b"])) == {
        "inputs": ["a.wav", "b"],
        "output_dir": None,
        "suffix": None,
        "model_type": "sparse",
        "emb_dim": 128,
        "retrain_type": "ft",
        "model_sparsity": 95.45,
        "no_centering": False,
        "hop_size": 0.1,
        "quiet": False,
        "weights": None,
    }


@pytest.mark.parametrize(
    "line",
    [
        # The two full commands of edgel3's tutorial, ...
        "f.wav --output /d --suffix s --model-type sparse --model-sparsity 53.5 --retrain-type kd --no-centering "
        "--hop-size 0.5 --quiet",
        "f.wav --output-dir /d --suffix s --model-sparsity 53.5 --retrain-type kd --no-centering --hop-size .5 --quiet",
        # ... and the same with short flags.
        "f.wav -o /d -x s -mtype sparse -sp 53.5 -retrain kd -n -t 0.5 -q",
        "-o /d -x s -sp 53.50 -retrain kd -nq -t .5 f.wav",
    ],
)
def test_parse_args_of_a_sparse_model(line: str) -> None:
    assert vars(parse_args(line.split())) == {
        "inputs": ["f.wav"],
        "output_dir": "/d",
        "suffix": "s",
        "model_type": "sparse",
        "emb_dim": 128,
        "retrain_type": "kd",
        "model_sparsity": 53.5,
        "no_centering": True,
        "hop_size": 0.5,
        "quiet": True,
        "weights": None,
    }


@pytest.mark.parametrize("line", ["f.wav --model-type sea --emb-dim 256", "-mtype sea -e 256 f.wav"])
def test_parse_args_of_a_sea_model(line: str) -> None:
    found = parse_args(line.split())
    assert (found.model_type, found.emb_dim, found.inputs) == ("sea", 256, ["f.wav"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "the following arguments are required: inputs"),
        ("f.wav --model-type openl3", "argument --model-type/-mtype: invalid choice: 'openl3'"),
        ("f.wav --emb-dim 65", "argument --emb-dim/-e: invalid choice: 65"),
        ("f.wav --model-sparsity 40", "argument --model-sparsity/-sp: invalid choice: 40.0"),
        ("f.wav --retrain-type x", "argument --retrain-type/-retrain: invalid choice: 'x'"),
        ("f.wav --hop-size 0", "argument --hop-size/-t: must be a positive number, got 0"),
        ("f.wav --hop-size nan", "must be a positive number, got nan"),
        ("f.wav --nonsense", "unrecognized arguments: --nonsense"),
    ],
)
def test_wrong_usage(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(line.split())
    assert stopped.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err


# --- which files ---


def test_get_file_list(write: Write, tmp_path: Path) -> None:
    names = ["b.wav", "a.flac", "c.OGG"]
    files = [str(write(f"in/{name}")) for name in names]
    (tmp_path / "in" / "notes.txt").write_text("no audio")
    (tmp_path / "in" / "a.npz").write_bytes(b"a result of before")
    write("in/deeper/d.wav")
    (tmp_path / "in" / "folder.wav").mkdir()
    folder = str(tmp_path / "in")
    assert get_file_list([files[0], files[1]]) == [files[0], files[1]]
    assert get_file_list([folder]) == sorted(files)
    assert get_file_list([folder, files[0]]) == [*sorted(files), files[0]]
    assert get_file_list([Path(folder)]) == get_file_list((folder,)) == get_file_list(iter([folder])) == sorted(files)
    assert get_file_list([str(tmp_path / "in" / "notes.txt")]) == [str(tmp_path / "in" / "notes.txt")]  # named: tried
    assert get_file_list([]) == []


def test_files_named_relative_to_here_are_given_in_full(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.wav")
    monkeypatch.chdir(tmp_path)
    assert get_file_list(["a.wav"]) == [str(tmp_path / "a.wav")]


@pytest.mark.parametrize("inputs", ["a.wav", Path("a.wav"), b"a.wav", None, 5, 1.0])
def test_get_file_list_wants_a_list(inputs: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="input_list must be a list of paths, got"):
        get_file_list(inputs)


def test_get_file_list_with_bad_items(tmp_path: Path) -> None:
    with pytest.raises(edgel3.EdgeL3Error, match="'/nowhere/to/be/found' does not exist"):
        get_file_list(["/nowhere/to/be/found"])
    with pytest.raises(edgel3.EdgeL3Error, match="'' does not exist"):
        get_file_list([""])
    for item in (5, None, b"a.wav"):  # 5 would be an open file of the process
        with pytest.raises(InvalidOption, match="an input must be a path"):
            get_file_list([item])  # type: ignore[list-item]


# --- run ---


@pytest.mark.parametrize("inputs", [None, 5, 1.0, b"a.wav", [None], [5]])
def test_run_with_what_is_no_input(inputs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    never_loads(monkeypatch)
    with pytest.raises(edgel3.EdgeL3Error, match=r"inputs? must be a path"):
        run(inputs)


@pytest.mark.parametrize("as_list", [True, False])
def test_run_with_an_empty_folder(
    as_list: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    never_loads(monkeypatch)
    inputs = [str(tmp_path)] if as_list else str(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        run(inputs)
    assert stopped.value.code == -1
    assert capsys.readouterr() == (f"Edgel3: No WAV files found in {inputs}. Aborting.\n", "")


@pytest.mark.parametrize("wrap", [str, Path, lambda p: [str(p)], lambda p: (p,), lambda p: iter([p])])
def test_run_takes_a_path_or_several(wrap: Callable[[Path], Any], write: Write, tmp_path: Path) -> None:
    source = write("in/clip.wav")
    for inputs in (source, source.parent):
        assert run(wrap(inputs), **SEA) is None
        assert results(tmp_path) == ["in/clip.npz"]
        (tmp_path / "in" / "clip.npz").unlink()


def test_run_writes_what_process_file_does(write: Write, tmp_path: Path) -> None:
    source = write("clip.wav", signals.clip(1.4, 8000, 2))
    run(str(source), output_dir=str(tmp_path / "new" / "folder"), suffix="run", center=False, **SEA)
    edgel3.process_file(source, suffix="file", center=False, **SEA)
    assert results(tmp_path) == ["clip_file.npz", "new/folder/clip_run.npz"]
    with np.load(tmp_path / "new/folder/clip_run.npz") as found, np.load(tmp_path / "clip_file.npz") as expected:
        assert sorted(found.files) == sorted(expected.files)
        for key in found.files:
            np.testing.assert_array_equal(found[key], expected[key])
        assert found["embedding"].shape == (2, 64)
        np.testing.assert_array_equal(found["timestamps"], [0, 0.5])


def test_run_with_the_default_model(write: Write, tmp_path: Path) -> None:
    run(write("clip.wav"), center=False)
    with np.load(tmp_path / "clip.npz") as found:
        assert str(found["configuration"]) == "sparse_95"
        assert found["embedding"].shape == (1, 512)


def test_run_honours_every_option_that_chooses_a_model(write: Write, tmp_path: Path) -> None:
    source = write("clip.wav")
    for options, name in (
        ({"model_type": "sea"}, "sea_128"),
        ({"model_type": "sea", "emb_dim": 512}, "sea_512"),
        ({"sparsity": 87}, "sparse_87"),
        ({"retrain_type": "kd", "sparsity": 53.5}, "sparse_53_kd"),
    ):
        with pytest.raises(WeightsNotFound, match=rf"has no {name}\.safetensors"):
            run(source, weights=tmp_path, **options)
    assert results(tmp_path) == []


def test_results_of_before_are_replaced(write: Write, tmp_path: Path) -> None:
    source = write("clip.wav")
    (tmp_path / "clip.npz").write_bytes(b"old")
    run(source, **SEA)
    with np.load(tmp_path / "clip.npz") as found:
        assert len(found["timestamps"]) == 2


def test_files_of_one_name_get_results_of_their_own(write: Write, tmp_path: Path) -> None:
    sources = [write(name) for name in ("x/a.wav", "y/a.wav", "y/a.flac", "y/b.wav")]
    run([*sources, sources[0]], output_dir=tmp_path / "out", **SEA)
    found = results(tmp_path / "out")
    assert len(found) == 4
    assert "b.npz" in found
    made_from = set()
    for name in found:
        with np.load(tmp_path / "out" / name) as file:
            made_from.add(str(file["source"]))
    assert made_from == {str(source) for source in sources}


def test_one_bad_file_does_not_stop_the_others(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("in/a.wav", "in/c.wav"):
        write(name)
    (tmp_path / "in" / "b.wav").write_text("This is not an audio file.")
    write("in/d.wav", np.zeros(0))
    (tmp_path / "in" / "c.npz").mkdir()  # its result cannot be written
    (tmp_path / "empty").mkdir()
    with pytest.raises(edgel3.EdgeL3Error) as caught:
        run([tmp_path / "in", tmp_path / "empty"], verbose=True, **SEA)
    lines = str(caught.value).splitlines()
    assert lines[0] == "4 of 5 inputs could not be embedded:"
    for text in ("empty has no audio files", "c.npz: it is a folder", "b.wav cannot be read", "d.wav has no samples"):
        assert len([line for line in lines if text in line]) == 1, text
    assert (tmp_path / "in" / "a.npz").is_file()
    assert "Done!" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: p.write_text("This is not an audio file."), AudioFileError, "clip.wav cannot be read as audio"),
        (lambda p: None, AudioFileError, "clip.wav' does not exist"),
        (lambda p: (write_second(p), p.with_suffix(".npz").mkdir()), OutputError, "clip.npz: it is a folder"),
    ],
    ids=["garbage", "missing", "no place"],
)
def test_the_error_of_a_single_file_is_its_own(
    make: Callable[[Path], object], error: type[Exception], message: str, tmp_path: Path
) -> None:
    make(tmp_path / "clip.wav")
    with pytest.raises(error, match=message):
        run(tmp_path / "clip.wav", **SEA)


def write_second(path: Path) -> None:
    soundfile.write(path, signals.clip(1.0, 8000), 8000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_type": "openl3"}, "invalid model_type 'openl3'"),
        ({"model_type": "sea", "emb_dim": 65}, "invalid emb_dim 65"),
        ({"retrain_type": "x"}, "invalid retrain_type 'x'"),
        ({"sparsity": 40}, "invalid sparsity 40"),
        ({"center": "invalid"}, "center must be True or False, got 'invalid'"),
        ({"hop_size": 0}, "hop_size must be a positive number of seconds, got 0"),
        ({"hop_size": -1}, "hop_size must be a positive number of seconds, got -1"),
        ({"hop_size": 1e-6}, "hop_size=1e-06 is less than one sample at 48000 Hz"),
        ({"suffix": f"..{os.sep}x"}, "a suffix is part of a file name"),
        ({"suffix": 5}, "suffix must be text or None, got 5"),
        ({"output_dir": 5}, "output_dir must be a path"),
    ],
)
def test_options_are_checked_before_any_work(
    options: dict[str, Any], message: str, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never_loads(monkeypatch)
    source = write("clip.wav")
    with pytest.raises(InvalidOption, match=message):
        run(source, **({"output_dir": tmp_path / "out"} | options))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.wav"]


def test_an_input_that_does_not_exist_stops_before_any_work(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never_loads(monkeypatch)
    with pytest.raises(AudioFileError, match=r"nothing\.wav' does not exist"):
        run([write("clip.wav"), tmp_path / "nothing.wav"], output_dir=tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.wav"]


@pytest.mark.parametrize("verbose", [True, False])
def test_run_says_what_it_does_when_asked(verbose: bool, write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    source = write("clip.wav")
    run([source], verbose=verbose, **SEA)
    said = f"Edgel3: Processing: {source}\nEdgel3: Done!\n"
    assert capfd.readouterr() == (said if verbose else "", "")


def test_warnings_name_the_file(write: Write) -> None:
    silent, short = write("silent.wav", np.zeros(8000)), write("short.wav", signals.clip(0.4, 8000))
    with pytest.warns(edgel3.EdgeL3Warning) as caught:
        run([silent, short], **SEA)
    assert sorted(str(w.message).partition(". ")[0] for w in caught) == [
        f"{short}: Duration of provided audio is shorter than window size (1 second)",
        f"{silent}: Provided audio is all zeros",
    ]
    assert {w.filename for w in caught} == {__file__}


# --- the command ---


def test_main_reads_the_process_arguments(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write("clip.wav")
    monkeypatch.setattr("sys.argv", ["edgel3", str(source), "--output-dir", str(tmp_path / "out"), *SEA_FLAGS, "-q"])
    assert main() is None
    assert results(tmp_path) == ["out/clip.npz"]


def test_importing_dunder_main_runs_the_command(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "hear_edgel3.edgel3.__main__", raising=False)
    monkeypatch.setattr("sys.argv", ["edgel3", str(write("clip.wav")), *SEA_FLAGS, "--quiet"])
    import hear_edgel3.edgel3.__main__  # noqa: F401

    assert results(tmp_path) == ["clip.npz"]


def command(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hear_edgel3.edgel3", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **options,
    )


def test_the_command_as_a_process(write: Write, tmp_path: Path) -> None:
    """Its exit codes, and what goes where."""
    result = command("nothing.wav", *SEA_FLAGS, "--quiet")
    expected = "edgel3: 'nothing.wav' does not exist; give an audio file, or a folder of them\n"
    assert (result.returncode, result.stdout, result.stderr) == (1, "", expected)

    result = command(write("clip.wav"), "--suffix", f"a{os.sep}b")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("edgel3: a suffix is part of a file name")

    (tmp_path / "empty").mkdir()
    result = command(tmp_path / "empty")
    assert (result.returncode, result.stderr) == (255 if os.name == "posix" else 2**32 - 1, "")
    assert result.stdout.startswith("Edgel3: No WAV files found in")

    result = command("--help")
    assert result.returncode == 0
    assert result.stdout.startswith("usage: python -m hear_edgel3.edgel3 [-h]")


@pytest.mark.filterwarnings("default::hear_edgel3.edgel3.EdgeL3Warning")
def test_what_the_command_says(write: Write, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source, silent = write("in/a.wav"), write("in/b.wav", np.zeros(8000))
    main([str(tmp_path / "in"), *SEA_FLAGS, "--suffix", "x"])
    assert results(tmp_path) == ["in/a_x.npz", "in/b_x.npz"]
    assert capfd.readouterr() == (
        f"Edgel3: Processing: {source}\nEdgel3: Processing: {silent}\nEdgel3: Done!\n",
        f"edgel3: warning: {silent}: Provided audio is all zeros\n",
    )
    (tmp_path / "in" / "c.wav").write_text("This is not an audio file.")
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path / "in"), *SEA_FLAGS, "--suffix", "y", "--quiet"])
    assert stopped.value.code == 1
    assert results(tmp_path) == ["in/a_x.npz", "in/a_y.npz", "in/b_x.npz", "in/b_y.npz"]
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "edgel3: 1 of 3 inputs could not be embedded:" in captured.err
    assert "c.wav cannot be read as audio" in captured.err


@pytest.mark.skipif(os.name != "posix", reason="closes a pipe as a POSIX shell does")
def test_a_reader_that_goes_away_gives_no_traceback(write: Write) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        result = subprocess.run(
            [sys.executable, "-m", "hear_edgel3.edgel3", write("clip.wav"), *SEA_FLAGS],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=120,
        )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr
