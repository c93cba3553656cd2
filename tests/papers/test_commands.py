"""Every command that the papers show carries a marker; .ci/run runs those that it can."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hear_edgel3 import cli
from hear_edgel3.cli import main
from papers.commands import ROOT, SHELLS, THINGS, Block, blocks, missing, pages

BLOCKS = [block for page in pages() for block in blocks(page)]
COMMANDS = [block for block in BLOCKS if block.language in SHELLS]


def write(folder: Path, text: str) -> Path:
    path = folder / "page.md"
    path.write_text(text)
    return path


@pytest.mark.parametrize("block", COMMANDS, ids=lambda block: block.place)
def test_every_command_is_run_by_ci_or_says_what_it_needs(block: Block) -> None:
    assert (block.run is None) != (block.needs == ()), f"{block.place} needs <!-- run: NAME --> or <!-- needs: ... -->"
    assert set(block.needs) <= THINGS


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_commands_are_in_fences(page: Path) -> None:
    """Where a marker can stand before them: a block that is only indented has none."""
    outside = re.sub(r"^ *(`{3,}).*?^ *\1 *$", "", page.read_text(), flags=re.M | re.S)
    assert re.findall(r"^ {4,}(?:\$ )?(?:hear-edgel3|python3?|pip|pytest) .*", outside, re.M) == []


def test_markers_stand_before_nothing_else() -> None:
    for block in BLOCKS:
        assert block.run is None or block.language == "bash", block.place
        assert set(block.needs) <= THINGS, block.place


def test_ci_runs_every_page() -> None:
    ci = (ROOT / ".ci" / "run").read_text()
    assert "docs/*.md" in ci
    for block in blocks(ROOT / "README.md"):
        assert block.run is None or re.search(rf"\brun(_page)? .*\b{block.run}\b", ci), block.place


def test_pages_that_run_at_once_are_not_in_each_others_way() -> None:
    ci = (ROOT / ".ci" / "run").read_text()
    alone, in_turn = (re.search(rf'^{name}="(.*)"$', ci, re.MULTILINE)[1].split() for name in ("alone", "in_turn"))
    writers: dict[str, set[str]] = {}
    for page in sorted((ROOT / "docs").glob("*.md")):
        name = f"docs/{page.name}"
        for block in blocks(page) if name not in alone else ():
            if block.run:
                # Into an environment of the page's own anything may be installed.
                assert not re.search(r"(?<!\S)(\.venv/bin/)?pip install", block.text), block.place
                for output in re.findall(r"(?:--output|-o|>) (?!\.(?:\s|$))([\w./-]+)", block.text):
                    writers.setdefault(output, set()).add("in turn" if name in in_turn else name)
    assert writers
    assert {output: pages for output, pages in writers.items() if len(pages) > 1} == {}


def test_two_commands_of_the_readme_do_all_the_set_up() -> None:
    by_name = {block.run: block.text for block in blocks(ROOT / "README.md")}
    for name, use in (("quick-start", "hear-edgel3 tag recording.wav"), ("test", "pytest")):
        assert len(by_name[name].splitlines()) == 1
        assert by_name[name].startswith("python3 -m venv .venv && .venv/bin/pip install -c constraints.txt ")
        assert use in by_name[name]


def test_no_release_is_promised() -> None:
    # Messages and pages that are written out are made from these, and say it in the same way.
    sources = [file for folder in ("hear_edgel3", "weights_convert") for file in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 100
    for page in [*pages(), ROOT / "CHANGELOG.md", *sources]:
        for install in re.findall(r"pip install ([^&;|`\n]*)", page.read_text(encoding="utf-8")):
            assert not re.search(r"(?<![/\w.])['\"]?hear[-_]edgel3", install), page


# The verb, and what follows it up to the end of the command. A line that ends in a backslash goes on.
VERBS = "|".join(rf"{verb} \w+" if verb == "weights" else verb for verb in cli._VERBS)
TEXT = "\n".join(page.read_text() for page in pages()).replace("\\\n", " ")
USES = re.findall(rf"(?:hear-edgel3|hear_edgel3\.cli|hear_edgel3) (?:--verbose )?({VERBS})\b([^\n`&|]*)", TEXT)
FLAGS = sorted({(verb, flag) for verb, rest in USES for flag in re.findall(r"(?<!\S)--[a-z][a-z-]*", rest)})


@pytest.mark.parametrize(("verb", "flag"), FLAGS)
def test_flags_exist(verb: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*verb.split(), "--help"])
    assert re.search(rf"{flag}\b(?!-)", capsys.readouterr().out)


def test_enough_flags_were_found() -> None:
    assert {verb.split()[0] for verb, _ in USES} == set(cli._VERBS)
    assert {"--config", "--output", "--hop", "--json", "--runner"} <= {flag for _, flag in FLAGS}


def test_flags_of_the_repositorys_own_programs() -> None:
    """Benchmarks, recipes and the like: those that a page gives them are in their files."""
    found = 0
    for module, rest in re.findall(r"\bpython (?:-m )?(tests[./][\w./]+)([^\n`]*)", TEXT):
        place = ROOT / (module if module.endswith(".py") else module.replace(".", "/"))
        files = [*place.rglob("*.py")] if place.is_dir() else [place.with_suffix(".py")]
        code = "".join(file.read_text() for file in files)
        for flag in re.findall(r"(?<!\S)--[a-z][a-z-]*", rest):
            assert f'"{flag}"' in code, f"{module} {flag}"
            found += 1
    assert found > 50


def test_examples_are_short_and_all_run() -> None:
    scripts = sorted(ROOT.glob("docs/examples/*.py"))
    assert len(scripts) == 6
    for script in scripts:
        if not script.name.startswith("make_"):
            assert len(script.read_text().splitlines()) <= 40
        if script.name != "make_cricket.py":  # whose result is committed: test_sound.py
            assert any(f"docs/examples/{script.name}" in block.text for block in COMMANDS if block.run), script


class TestBlocks:
    def test_markers_names_and_what_is_printed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("papers.commands.ROOT", tmp_path)
        text = (
            "<!-- run: a -->\n```bash\ntrue\n```\n```\nout\n```\n\n  <!-- needs: gpu, time -->\n  ```bash\n  x\n  ```\n"
        )
        first, second = blocks(write(tmp_path, text))
        assert (first.run, first.text, first.prints, first.line) == ("a", "true", "out", 2)
        assert (second.needs, second.text, second.run, second.prints) == (("gpu", "time"), "x", None, None)

    @pytest.mark.parametrize(
        "text",
        [
            "<!-- run: a -->\n\n```bash\ntrue\n```\n",
            "```bash\ntrue\n",
            "<!-- run: a -->\n```bash\ntrue\n```\n<!-- run: a -->\n```bash\ntrue\n```\n",
        ],
    )
    def test_what_is_amiss_is_an_error(self, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("papers.commands.ROOT", tmp_path)
        with pytest.raises(ValueError, match=r"page\.md"):
            blocks(write(tmp_path, text))


class TestOutput:
    def test_lines_in_their_order(self) -> None:
        assert missing("a\n...\nc", "a\nb\nc\n") is None
        assert missing("c\na", "a\nb\nc\n") == "a"
        assert missing("d", "a\nb\nc\n") == "d"

    @pytest.mark.parametrize(
        ("expected", "printed", "same"),
        [
            ("  0.619  Insect", "  0.620  Insect", True),
            ("  0.619  Insect", "  0.519  Insect", False),
            ("  0.619  Insect", "  0.619  Bird", False),
            ("(81, 224) tiny", "(82, 224) tiny", False),
            ("recordings/07.flac", "recordings/08.flac", False),
            ('{"ms": 500.0, "p": 0.249992}', '{"ms": 500.0, "p": 0.250010}', True),
        ],
    )
    def test_numbers_may_differ_in_their_last_digits(self, expected: str, printed: str, same: bool) -> None:
        assert (missing(expected, printed) is None) == same
