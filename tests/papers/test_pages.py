"""What README.md and the pages of docs say, against the package."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import hear_edgel3
from hear_edgel3 import cli
from hear_edgel3.registry.names import BUILT_IN, checkpoints, resolve
from papers.commands import ROOT, Block, blocks, missing, pages
from support import signals
from support.datasets import write_part

PYTHON = [block for page in pages() for block in blocks(page) if block.language == "python"]


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def section(page: str, heading: str) -> str:
    """The text below a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", text_of(page), re.M | re.S)
    assert found is not None, f"{page} has no heading {heading!r}"
    return found[1]


def test_the_readme_is_short() -> None:
    assert len(text_of("README.md").splitlines()) <= 200


def test_links_of_the_readme_lead_somewhere() -> None:
    for page in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text_of(page)):
            assert (ROOT / target).exists(), f"{page}: {target}"
        for target, anchor in re.findall(r"\]\(([^)#:]+)#([^)]*)\)", text_of(page)):
            headings = re.findall(r"^#+ (.*)$", text_of(target), re.M)
            assert anchor in {re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-") for h in headings}, anchor


def test_every_page_is_in_the_index() -> None:
    listed = set(re.findall(r"^([a-z_0-9]+)$", text_of("docs/index.md"), re.M))
    assert listed == {page.stem for page in ROOT.glob("docs/*.md")} - {"index"}


def test_tables_of_commands_have_every_verb() -> None:
    readme = section("README.md", "Commands")
    page = text_of("docs/command_line.md").partition("\n## ")[0]
    assert set(re.findall(r"`hear-edgel3 (\w+)", readme)) == set(cli._VERBS)
    named = [re.findall(r"`(\w+)`", line.split("|")[1]) for line in page.splitlines() if line.startswith("| `")]
    assert {verb for row in named for verb in row} == set(cli._VERBS)


def test_the_tree_has_every_room() -> None:
    tree = section("docs/architecture.md", "The tree")
    first = "".join(line.split("|")[1] for line in tree.splitlines() if line.startswith("| `hear_edgel3/"))
    package = ROOT / "hear_edgel3"
    rooms = {path.name for path in package.iterdir() if path.is_dir() and path.name != "__pycache__"}
    modules = {path.name for path in package.glob("[a-z]*.py")} - {"errors.py"}  # what all others raise
    assert set(re.findall(r"`(?:hear_edgel3/)?([\w.]+)`", first)) == rooms | modules


def test_the_tables_have_every_configuration() -> None:
    page = text_of("docs/configurations.md").split("## Features")[0]
    named = set(re.findall(r"`((?:sparse|sea)_\d+|(?:dy)?mn\d\d_\w+|ssondo_\w+|image_\w+)`", page))
    assert named | {f"{n}_kd" for n in named if n.startswith("sparse")} == {row.name for row in checkpoints()}
    for row in checkpoints():
        assert f"{row.n_parameters:,}" in page


def test_costs_and_scores_of_the_tables() -> None:
    page = text_of("docs/configurations.md").split("## Features")[0]
    table = page.split("| MACs, one pass over 10 s |")[1]
    for row in checkpoints():
        line = next((x for x in table.splitlines() if f"`{row.name}`" in x), None)
        if row.labels is None or line is None:
            continue
        place = re.findall(r"`(\w+)`", line.split("|")[1]).index(row.name)
        macs = line.split("|")[5].removesuffix("G ").split()
        assert f"{row.macs_10s / 1e9:.3f}" == macs[min(place, len(macs) - 1)]
        scores = line.split("|")[6].split()
        assert f"{row.reported['AudioSet mAP']:.3f}".lstrip("0") == scores[min(place, len(scores) - 1)]


def test_the_table_of_licences_has_every_checkpoint() -> None:
    rows = [line.split("|")[1:5] for line in text_of("docs/licences.md").splitlines() if line.startswith("| `")]
    by_name = {name: row for row in rows for name in re.findall(r"`(\w+)`", row[0])}
    prefixes = {name.split("_")[0][:2]: row for name, row in by_name.items()}
    for checkpoint in checkpoints():
        _, licence, owner, project = by_name.get(checkpoint.name) or prefixes[checkpoint.name[:2]]
        upstream = checkpoint.upstream
        assert (licence.strip(), owner.strip()) == (upstream.licence, upstream.copyright)
        assert project.strip() == f"<{upstream.project}>"
    assert by_name[BUILT_IN][1].strip() == getattr(resolve(BUILT_IN).checkpoint, "licence", None)
    known = {row.name for row in checkpoints() if row.upstream.has_checksum and row.family == "mobilenetv3"}
    bullet = next(x for x in re.split(r"\n- ", text_of("docs/licences.md")) if "git's id" in x)
    assert set(re.findall(r"`(mn\w+)`", bullet)) == known


def test_two_figures_for_ten_seconds() -> None:
    for page in pages():
        assert "MACs for 10 s" not in page.read_text(), page
    glossary = section("docs/glossary.md", "Two figures for ten seconds")
    for name in ("sea_64", "mn04_as"):
        assert f"{resolve(name).checkpoint.macs_10s / 1e9:.4g} G" in glossary
    quality = text_of("docs/quality.md")
    for name, figure in re.findall(r"`(\w+)`[^`]*?takes? ([\d.]+) G", glossary):
        row = next(line for line in quality.splitlines() if line.startswith(f"| {name} |"))
        assert float(row.split("|")[-3].split()[0]) == pytest.approx(float(figure), abs=5e-4)


def test_the_table_of_extras() -> None:
    table = section("docs/quick_start.md", "Extras")
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", table, re.M))))
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    assert named == set(project["optional-dependencies"])


def test_constraints_have_what_the_docs_need() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    pinned = {re.split(r"==", line)[0] for line in text_of("constraints.txt").splitlines() if "==" in line}
    assert {re.split(r"[<>=]", need)[0] for need in project["optional-dependencies"]["docs"]} <= pinned


def test_versions_agree() -> None:
    assert f"\nversion: {hear_edgel3.__version__}\n" in text_of("CITATION.cff")
    assert f"## Unreleased: {hear_edgel3.__version__}\n" in text_of("CHANGELOG.md")


def test_no_placeholder_is_left() -> None:
    for page in [*pages(), ROOT / "CHANGELOG.md"]:
        assert not re.findall(r"\b[A-Z]+_TABLE\b|TODO|FIXME|@[A-Z0-9]+@", page.read_text()), page


def test_the_api_pages_list_modules_that_exist() -> None:
    tree = ast.parse(text_of("docs/conf.py"))
    listed = next(
        [element.value for element in node.elts if isinstance(element, ast.Constant)]
        for node in ast.walk(tree)
        if isinstance(node, ast.List) and node.elts and getattr(node.elts[0], "value", "") == "hear_edgel3"
    )
    assert len(listed) > 10
    for name in listed:
        assert importlib.util.find_spec(name) is not None, name
    for room in hear_edgel3._ROOMS:  # what users are told to import
        assert any(f"{name}.".startswith(f"hear_edgel3.{room}.") for name in listed), room


def test_latencies(weights_folder: Path, mobilenetv3_folder: Path) -> None:
    table = section("docs/streaming.md", "Latency and cost").split("| latency (ms) |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (.+) \| (\d+) Hz \| ([\d.]+) \|$", table, re.M)
    assert len(rows) == 6
    nets = {"EdgeL3": "sparse_95", "SEA": "sea_64", "MobileNetV3": "mn04_as"}
    for net, rate, latency in rows:
        stream: Any
        if net == "tags of 1 s":
            stream = hear_edgel3.Tagger().stream(sample_rate=int(rate), window=1)
        else:
            folder = mobilenetv3_folder if net == "MobileNetV3" else weights_folder
            stream = hear_edgel3.load(nets[net], folder).stream(sample_rate=int(rate))
        assert f"{stream.latency_ms:.1f}" == latency


def test_the_sound_is_what_its_script_makes() -> None:
    spec = importlib.util.spec_from_file_location("make_cricket", ROOT / "docs/examples/make_cricket.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    made, rate = soundfile.read(ROOT / "docs/examples/cricket.flac")
    assert rate == script.SAMPLE_RATE
    np.testing.assert_allclose(made, script.cricket(), rtol=0, atol=1.1 / 32768)


@pytest.mark.parametrize("page", ["README.md", "docs/quick_start.md"])
def test_a_real_recording_is_recognised_as_shown(
    page: str, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It belongs to others, so that it is not in the repository; and the net says it without a doubt."""
    from hear_edgel3.cli import main

    recording = shared / "reference" / "real_world" / "things_keyboard.flac"
    if not recording.is_file():
        pytest.skip(f"there is no {recording}")
    shown = next(block.prints for block in blocks(ROOT / page) if block.run == "quick-start")
    assert shown is not None
    shutil.copy(recording, tmp_path / "recording.wav")
    monkeypatch.chdir(tmp_path)
    assert main(["tag", "recording.wav", "--top", "3"]) == 0
    out, err = capsys.readouterr()
    assert missing(shown, out) is None
    assert err == ""
    assert "Computer keyboard" in shown.splitlines()[1]


def test_the_sound_in_the_clone_is_recognised(capsys: pytest.CaptureFixture[str]) -> None:
    """Though it is synthesised."""
    from hear_edgel3.cli import main

    assert main(["tag", str(ROOT / "docs/examples/cricket.flac"), "--top", "3", "--quiet"]) == 0
    assert "Insect" in capsys.readouterr().out


@pytest.fixture
def session(
    weights_folder: Path, mobilenetv3_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """A folder with a sound, recordings, a dataset of them, and weights of the nets that pages name."""
    for file in (*weights_folder.iterdir(), *mobilenetv3_folder.iterdir()):
        (tmp_path / file.name).symlink_to(file)
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    soundfile.write("clip.wav", signals.clip(1.1, 44100, 2), 44100)
    made = hear_edgel3.load()
    assert made.weights is not None
    scenes = made.scene_embeddings(np.zeros((2, 4800), np.float32)).numpy()
    scenes[1] += 0.1
    made_with = {
        "weights_sha256": made.weights.sha256,
        "embedding_version": made.configuration.checkpoint.embedding_version,
    }
    write_part(tmp_path / "embeddings" / "0.parquet", scenes, **made_with)
    return {"__name__": "__papers__"}


RUNNABLE = sorted({block.page for block in PYTHON if not block.needs})


@pytest.mark.parametrize("page", RUNNABLE)
def test_python_examples_run(page: str, session: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Those of a page in one session, in their order, as a reader would."""
    if page == "docs/detectors.md":  # its commands come first: one makes sounds, another a detector of them
        made = re.search(r"<<'END'\n(.*?)\nEND", text_of(page), re.S)
        assert made is not None
        exec(compile(made[1], page, "exec"), {})
        hear_edgel3.train("noises", "noises-detector", cache="kept", quiet=True)
    for block in blocks(ROOT / page):
        if block.language == "python" and not block.needs:
            exec(compile(block.text, block.place, "exec"), session)
    if page == "README.md":
        assert session["embeddings"].shape == (2, 81, 64)
    if page == "docs/edgel3.md":
        assert session["embedding"].shape == (36, 64)
        assert Path("clip_sea.npz").exists()
    if page == "docs/search.md":
        assert session["search"].query("clip.wav")
    if page == "docs/python.md":
        printed = capsys.readouterr().out
        shown = [block.text for block in blocks(ROOT / page) if not block.language]
        assert shown
        for text in shown:
            assert missing(text, printed) is None


@pytest.mark.parametrize("block", [b for b in PYTHON if b.needs], ids=lambda block: block.place)
def test_python_examples_that_need_something_parse(block: Block) -> None:
    ast.parse(block.text)


def test_enough_pages_have_python() -> None:
    assert {"README.md", "docs/python.md", "docs/hear.md", "docs/edgel3.md", "docs/streaming.md"} <= set(RUNNABLE)
