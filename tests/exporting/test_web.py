"""A page that listens, without a browser: what is in the folder, where the engine comes from, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.errors import DownloadError, InvalidOption, OutputError, WeightsCorrupt
from hear_edgel3.exporting import onnx, web, web_runtime
from support.loopback import FileServer

ADDRESS = f"onnxruntime-web/-/onnxruntime-web-{web_runtime.VERSION}.tgz"
CONTENTS = {"dist/ort.wasm.bundle.min.mjs": b"export default 1;", "dist/ort-wasm-simd-threaded.wasm": b"\0asm"}


def tarball() -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as package:
        for name, data in {**CONTENTS, "dist/other.js": b"1", "../outside.js": b"2"}.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(data)
            package.addfile(entry, io.BytesIO(data))
    return whole.getvalue()


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A registry that has a package of two small files, which is the one that is expected."""
    data = tarball()
    digest = base64.b64encode(hashlib.sha512(data).digest()).decode()
    monkeypatch.setattr(web_runtime, "INTEGRITY", f"sha512-{digest}")
    files = {
        name: (place, hashlib.sha256(CONTENTS[place]).hexdigest()) for name, (place, _) in web_runtime.FILES.items()
    }
    monkeypatch.setattr(web_runtime, "FILES", files)
    server = FileServer()
    server.files[ADDRESS] = data
    monkeypatch.delenv(web_runtime.VARIABLE, raising=False)
    monkeypatch.setenv(web_runtime.REGISTRY_VARIABLE, server.url + "/")
    yield server
    server.close()


EXPECTED = {name: CONTENTS[place] for name, (place, _) in web_runtime.FILES.items()}


def test_the_engine_is_fetched_once(registry: FileServer) -> None:
    assert web_runtime.runtime_files() == EXPECTED
    registry.close()
    assert web_runtime.runtime_files() == EXPECTED
    assert registry.requests == [("GET", f"/{ADDRESS}")]


def test_a_damaged_file_in_the_cache_is_fetched_again(registry: FileServer, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HEAR_EDGEL3_CACHE", str(tmp_path))
    web_runtime.runtime_files()
    (kept,) = tmp_path.glob("*/*.wasm")
    kept.write_bytes(b"\0asn")
    assert web_runtime.runtime_files() == EXPECTED
    assert len(registry.requests) == 2


def test_the_engine_from_a_file(registry: FileServer, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "it.tgz"
    monkeypatch.setenv(web_runtime.VARIABLE, str(path))
    with pytest.raises(DownloadError, match=r"it\.tgz.*npm pack onnxruntime-web@1\.30\.0"):
        web_runtime.runtime_files()
    path.write_bytes(tarball())
    assert web_runtime.runtime_files() == EXPECTED
    assert registry.requests == []


def test_what_is_not_the_package_is_refused(registry: FileServer, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HEAR_EDGEL3_CACHE", str(tmp_path))
    registry.files[ADDRESS] += b"\0"
    with pytest.raises(WeightsCorrupt, match="is not the package onnxruntime-web"):
        web_runtime.runtime_files()
    assert list(tmp_path.rglob("*.wasm")) == []
    registry.fault = 503
    with pytest.raises(DownloadError, match=r"answered 503.*npm pack"):
        web_runtime.runtime_files()


def test_no_network_is_no_network(registry: FileServer, monkeypatch) -> None:
    monkeypatch.setattr("hear_edgel3.exporting.web_runtime.offline", lambda: True)
    with pytest.raises(DownloadError, match=r"switched off.*npm pack"):
        web_runtime.runtime_files()
    assert registry.requests == []


def test_the_folder(registry: FileServer, here: Path, capsys) -> None:
    assert main(["export", "tiny", "--to", "web"]) == 0
    out = capsys.readouterr().out
    assert "wrote tiny_web\n" in out
    assert out.endswith("--directory tiny_web 8000, and open http://127.0.0.1:8000/\n")
    folder = Path("tiny_web")
    files = {path.name for path in folder.iterdir()}
    page = {path.name for path in resources.files("hear_edgel3.exporting").joinpath("web_page").iterdir()}
    assert files == page | {"model.onnx", "hear_edgel3.json", "LICENCES.txt", *EXPECTED}
    assert [path.name for path in Path().iterdir()] == ["tiny_web"]
    said = json.loads((folder / "hear_edgel3.json").read_text())
    assert said["card"]["labels"][:2] == [label.name for label in hear_edgel3.load("tiny").labels[:2]]
    assert said["facts"] == {
        "onnxruntime_web": web_runtime.VERSION,
        "model_bytes": (folder / "model.onnx").stat().st_size,
    }
    assert onnx.read_card(folder / "model.onnx") == said["card"]
    licences = (folder / "LICENCES.txt").read_text()
    assert "Copyright (c) Microsoft Corporation" in licences
    assert "the net tiny" in licences
    assert main(["info", "tiny_web"]) == 0
    out = capsys.readouterr().out
    assert "527: Speech" in out
    assert "HardSigmoid" in out or "Sigmoid" in out


@pytest.mark.parametrize(
    ("words", "error", "text"),
    [
        ({"part": "net"}, InvalidOption, "has the whole net, the front end in it"),
        ({"output": "nowhere/page"}, OutputError, "does not exist"),
        ({"output": "a file"}, OutputError, "there is a file"),
    ],
)
def test_refused(words: dict, error: type[Exception], text: str, registry: FileServer, here: Path) -> None:
    Path("a file").touch()
    with pytest.raises(error, match=text):
        hear_edgel3.export("tiny", to="web", **words)
    assert [path.name for path in Path().iterdir()] == ["a file"]


def test_every_file_of_the_page_is_in_the_list() -> None:
    page = resources.files("hear_edgel3.exporting").joinpath("web_page")
    assert {path.name for path in page.iterdir()} == set(web.PAGE)
    # What it imports, too.
    for name in web.PAGE:
        text = page.joinpath(name).read_text("utf-8")
        for found in re.findall(r'from "\./([^"]+)"', text):
            assert found in {*web.PAGE, *web_runtime.FILES}


def test_it_has_the_colours_of_the_other_page() -> None:
    def tokens(path: str) -> list[str]:
        text = resources.files("hear_edgel3").joinpath(*path.split("/")).read_text("utf-8")
        return re.findall(r":root[^{]*\{[^}]*--ground[^}]*\}", text)

    ours, theirs = tokens("exporting/web_page/style.css"), tokens("explore/page/page.css")
    assert ours == theirs
    assert len(ours) == 2
    palettes = [
        re.findall(r'"#[0-9a-f]{6}"|"[0-9a-f]{32,}"', resources.files("hear_edgel3").joinpath(path).read_text())
        for path in ("exporting/web_page/colours.js", "explore/page/colours.js")
    ]
    assert set(palettes[0]) <= set(palettes[1])
