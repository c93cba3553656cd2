"""A page that listens, in a real browser: a file, a microphone, and what goes wrong.

Skipped where there is no Chromium, or no package onnxruntime-web.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

import hear_edgel3
from hear_edgel3.errors import AudioFileError, AudioWarning
from hear_edgel3.exporting import web_runtime
from hear_edgel3.tagging.tagger import Tagger
from support import chromium, signals
from support.detectors import write_detector
from support.loopback import FileServer
from support.pages import needs_chromium, text
from support.paths import REPOSITORY
from support.served import served

pytestmark = needs_chromium
RATE = 32000
MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
ENGINE = os.environ.get(web_runtime.VARIABLE)


@pytest.fixture
def write_page(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes the page of a net, once for all tests."""
    if ENGINE is None:
        pytest.skip(f"no package onnxruntime-web (set {web_runtime.VARIABLE} to the file that `npm pack` writes)")
    cache = tmp_path_factory.getbasetemp() / "onnxruntime-web"
    monkeypatch.setenv("HEAR_EDGEL3_CACHE", str(cache))
    monkeypatch.setenv(web_runtime.VARIABLE, str(Path(ENGINE).resolve()))

    def write(name: str, net: str | Path, **more: object) -> Path:
        folder = tmp_path_factory.getbasetemp() / f"{name} page"
        if not folder.exists():
            hear_edgel3.export(net, folder, to="web", **more)
        return folder

    return write


@pytest.fixture(scope="session")
def cricket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound at the net's rate, in two channels that differ."""
    samples, rate = soundfile.read(REPOSITORY / "docs/examples/cricket.flac")
    assert rate == RATE
    path = tmp_path_factory.mktemp("sounds") / "a <b>cricket.wav"
    soundfile.write(path, np.stack([samples, 0.5 * samples], axis=1), rate)
    return path


@pytest.fixture(scope="session")
def opened(cricket: Path) -> Iterator[chromium.Chromium]:
    """A browser whose microphone hears the cricket."""
    heard = f"--use-file-for-fake-audio-capture={cricket}"
    # No name but this machine's number leads anywhere.
    with chromium.Chromium(*MICROPHONE, heard, "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1") as browser:
        browser.prefer("light")
        yield browser


def begin(browser: chromium.Chromium, address: str) -> None:
    browser.open(address)
    browser.wait_for("!document.getElementById('welcome').hidden", 60)


def give(browser: chromium.Chromium, path: Path) -> None:
    """Chooses a file, and waits for all of its windows."""
    root = browser.send("DOM.getDocument")["root"]["nodeId"]
    node = browser.send("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    browser.send("DOM.setFileInputFiles", nodeId=node, files=[str(path)])
    listened(browser, path)


def listened(browser: chromium.Chromium, path: Path) -> None:
    browser.wait_for(
        f"document.getElementById('source').textContent === {path.name!r} && "
        "document.getElementById('spectrogram').dataset.done === 'true'",
        60,
    )


def listed(browser: chromium.Chromium, which: str) -> dict[str, float]:
    """The classes of a list and their probabilities, as a pointer over them shows these."""
    titles = browser.run(f"[...document.getElementById('{which}').children].map((item) => item.title)")
    return {label: float(value) for label, _, value in (title.rpartition(": ") for title in titles)}


def check(found: dict[str, float], net: str | Path, sound: Path, off: float = 1e-3) -> None:
    """The same class on top, and probabilities within 1e-3, which are shown to 1e-4."""
    expected = {tag.label: tag.probability for tag in Tagger(net).tag_file(sound).top(527)}
    assert next(iter(found)) == next(iter(expected))
    assert len(found) >= 3
    assert max(abs(value - expected[label]) for label, value in found.items()) < off


def lit(browser: chromium.Chromium, canvas: str) -> int:
    """How many of its pixels are not those of an empty one: of bars, the coloured ones."""
    return browser.run(
        f"""(() => {{
            const canvas = document.getElementById("{canvas}");
            const {{ data }} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            let n = 0;
            for (let i = 0; i < data.length; i += 4) {{
                const most = Math.max(data[i], data[i + 1], data[i + 2]);
                if (most - Math.min(data[i], data[i + 1], data[i + 2]) > 60) n++;
            }}
            return n;
        }})()"""
    )


def test_a_dropped_file(write_page, opened: chromium.Chromium, cricket: Path) -> None:
    """And no request leaves the address, in the worker either, which has the page's policy."""
    browser = opened
    with served(write_page("tiny", "tiny")) as address:
        browser.watch_workers()
        browser.open(address)
        worker = browser.let_worker_run()
        browser.wait_for("!document.getElementById('welcome').hidden", 60)
        assert text(browser, "title") == "tiny listens"
        data = {"items": [], "files": [str(cricket)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            browser.send("Input.dispatchDragEvent", type=kind, x=300, y=300, data=data)
            assert browser.run("document.getElementById('drop').hidden") == (kind == "drop")
        listened(browser, cricket)
        check(listed(browser, "whole"), "tiny", cricket)
        assert len(listed(browser, "now")) == 5
        assert lit(browser, "spectrogram") > 10_000
        assert lit(browser, "lanes") > 1000
        assert browser.run("document.querySelectorAll('b').length") == 0
        asked = {
            event["params"]["request"]["url"]
            for event in browser.events
            if event.get("method") == "Network.requestWillBeSent"
        }
        assert any(url.endswith("ort.wasm.bundle.min.js") for url in asked)  # the worker's are seen
        assert {url for url in asked if not url.startswith((address, f"blob:{address}"))} == set()
        assert browser.complaints == []
        other = FileServer()
        try:
            for session in (None, worker):
                answer = browser.send(
                    "Runtime.evaluate",
                    session=session,
                    expression=f"fetch('{other.url}/x').then(() => 'came', () => 'refused')",
                    awaitPromise=True,
                    returnByValue=True,
                )
                assert answer["result"]["value"] == "refused"
            assert other.requests == []
        finally:
            other.close()
            browser.send("Target.setAutoAttach", autoAttach=False, waitForDebuggerOnStart=False, flatten=True)
        assert any("Content Security Policy" in complaint for complaint in browser.complaints)


def test_a_microphone(write_page, opened: chromium.Chromium) -> None:
    browser = opened
    with served(write_page("tiny", "tiny")) as address:
        begin(browser, address)
        browser.press("m")
        browser.wait_for("document.getElementById('now').children.length > 0")
        assert browser.run("document.getElementById('microphone').ariaPressed") == "true"
        browser.wait_for("document.getElementById('lane-names').children.length > 2")
        # The file goes round and round: the cricket is what is heard, sooner or later.
        browser.wait_for("document.getElementById('now').children[0].textContent.startsWith('Insect')")
        browser.wait_for("document.getElementById('said').textContent.length > 0")
        assert lit(browser, "spectrogram") > 1000
        assert lit(browser, "lanes") > 50
        assert text(browser, "now-heading").startswith("The last 1 s")
        assert browser.run("document.getElementById('player').hidden")
        browser.press("Escape")
        browser.wait_for("document.getElementById('microphone').ariaPressed === 'false'")
        assert text(browser, "source-facts").endswith("stopped")
        assert browser.complaints == []


def test_a_file_is_played_and_gone_through(write_page, opened: chromium.Chromium, cricket: Path) -> None:
    browser = opened
    with served(write_page("tiny", "tiny")) as address:
        begin(browser, address)
        give(browser, cricket)
        browser.press("ArrowRight", "ArrowRight")
        assert text(browser, "time") == "0:02.0 / 0:04.0"
        assert text(browser, "now-heading").startswith("Around 0:02.0")
        moment = listed(browser, "now")
        browser.press(" ")
        browser.wait_for("document.getElementById('play').ariaLabel === 'Pause'")
        browser.wait_for("Number(document.getElementById('seek').value) > 0.55")
        browser.press("Escape", "Home")
        assert text(browser, "time") == "0:00.0 / 0:04.0"
        assert listed(browser, "now") != moment
        browser.press("?")
        assert browser.run("document.getElementById('help').open")
        assert browser.complaints == []


def test_longer_than_a_pass(write_page, opened: chromium.Chromium, tmp_path: Path) -> None:
    """The mean of windows, as of `tag`; and of a net of short windows only."""
    long = tmp_path / "long.wav"
    soundfile.write(long, signals.clip(61.3, RATE), RATE)
    with served(write_page("tiny", "tiny")) as address:
        begin(opened, address)
        give(opened, long)
        check(listed(opened, "whole"), "tiny", long)
        assert opened.complaints == []


@pytest.mark.parametrize(("kind", "targets"), [("small_l3", "single"), ("small", "numbers")])
def test_classes_of_somebodys_own(kind: str, targets: str, write_page, opened, tmp_path: Path) -> None:
    """Of classes that exclude each other one is said at most, though all of these reach their thresholds."""
    rate = 8000 if kind == "small_l3" else RATE
    sound, net = tmp_path / "own.wav", tmp_path / "net"
    soundfile.write(sound, signals.clip(2.5, rate), rate)
    write_detector(net, kind, targets=targets, thresholds=None if targets == "numbers" else (1e-6, 1e-6, None))
    with served(write_page(f"{kind} {targets}", net)) as address:
        begin(opened, address)
        give(opened, sound)
        found = listed(opened, "whole")
        assert len(found) == 3
        if targets == "numbers":
            expected = Tagger(net).tag_file(sound).top(3)
            assert max(abs(found[one.label] - one.probability) for one in expected) < 1e-3
            assert opened.run("document.querySelectorAll('.bar').length") == 0
        else:
            check(found, net, sound)
            said = opened.run("[...document.querySelectorAll('#whole .over .label')].map((label) => label.textContent)")
            assert said == [max(found, key=found.__getitem__)]
        assert opened.complaints == []


def test_a_net_without_classes(write_page, opened, weights_folder: Path, cricket: Path) -> None:
    with served(write_page("sea", "sea_64", weights=weights_folder)) as address:
        begin(opened, address)
        give(opened, cricket)
        assert "no classes. Below the spectrogram is its embedding" in text(opened, "now-none")
        assert opened.run("document.getElementById('whole-section').hidden")
        assert lit(opened, "lanes") > 1000
        assert opened.complaints == []


@pytest.mark.parametrize(
    ("name", "text_of_it"),
    [
        ("NotAllowedError", "may not use the microphone: allow it"),
        ("NotFoundError", "No microphone was found"),
        ("NotReadableError", "another program may be using it"),
    ],
)
def test_no_microphone(name: str, text_of_it: str, write_page, opened: chromium.Chromium) -> None:
    with served(write_page("tiny", "tiny")) as address:
        begin(opened, address)
        opened.run(f"navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', '{name}')), 1")
        opened.run("document.getElementById('welcome-microphone').click()")
        opened.wait_for("!document.getElementById('note').hidden")
        assert text_of_it in text(opened, "note")
        assert not opened.run("document.getElementById('welcome').hidden")


def test_what_is_no_sound(write_page, opened: chromium.Chromium, tmp_path: Path, cricket: Path) -> None:
    bad, empty, infinite = (tmp_path / f"{name}.wav" for name in ("bad", "empty", "infinite"))
    bad.write_bytes(b"RIFF no sound at all")
    empty.touch()
    soundfile.write(infinite, np.where(np.arange(RATE) == RATE // 2, np.inf, 0), RATE, subtype="FLOAT")
    with served(write_page("tiny", "tiny")) as address:
        begin(opened, address)
        root = opened.send("DOM.getDocument")["root"]["nodeId"]
        node = opened.send("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
        told = {bad: "cannot decode bad.wav", empty: "empty.wav is empty", infinite: "infinite, at 0.500 s"}
        for path, words in told.items():
            opened.send("DOM.setFileInputFiles", nodeId=node, files=[str(path)])
            opened.wait_for(f"document.getElementById('note').textContent.includes('{words}')")
        give(opened, cricket)
        assert opened.run("document.getElementById('note').hidden")


def test_a_file_that_was_cut_off(write_page, opened: chromium.Chromium, tmp_path: Path, cricket: Path) -> None:
    """As in the package: refused if more than a hundredth is missing; else listened to, and what is missing is said."""
    whole = cricket.read_bytes()
    half, nearly = tmp_path / "half.wav", tmp_path / "nearly.wav"
    half.write_bytes(whole[: len(whole) // 2])
    nearly.write_bytes(whole[: int(0.995 * len(whole))])
    with pytest.raises(AudioFileError) as refused:
        Tagger("tiny").tag_file(half)
    with served(write_page("tiny", "tiny")) as address:
        begin(opened, address)
        root = opened.send("DOM.getDocument")["root"]["nodeId"]
        node = opened.send("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
        opened.send("DOM.setFileInputFiles", nodeId=node, files=[str(half)])
        opened.wait_for("!document.getElementById('note').hidden")
        assert f"{tmp_path}/{text(opened, 'note')}" == f"{refused.value}."
        assert not opened.run("document.getElementById('welcome').hidden")
        give(opened, nearly)
        assert text(opened, "note").startswith("nearly.wav: its end or another part is missing: its header says ")
        with pytest.warns(AudioWarning, match="its end or another part is missing"):
            check(listed(opened, "whole"), "tiny", nearly)


def test_what_is_missing_is_said(write_page, opened: chromium.Chromium, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "page"
    shutil.copytree(write_page("tiny", "tiny"), folder)
    (folder / "model.onnx").unlink()
    with served(folder) as address:
        opened.open(address)
        opened.wait_for("document.getElementById('starting-text').textContent.includes('model.onnx')")
        assert "the server answered 404" in text(opened, "starting-text")
        (folder / "model.onnx").write_bytes(b"of another size")
        opened.open(address)
        opened.wait_for("document.getElementById('starting-text').textContent.includes('do not belong together')")
        (folder / "model.onnx").write_bytes(bytes((write_page("tiny", "tiny") / "model.onnx").stat().st_size))
        os.utime(folder / "model.onnx", (2e9, 2e9))  # later: servers tell changes by the second
        opened.open(address)
        opened.wait_for("document.getElementById('starting-text').textContent.includes('cannot be run here')")
    opened.open(folder / "index.html")  # as a file, which browsers do not run
    opened.wait_for("getComputedStyle(document.getElementById('stuck')).visibility === 'visible'")
    assert "python3 -m http.server" in text(opened, "serve")


def test_the_parts_of_the_page(write_page, opened: chromium.Chromium) -> None:
    """The resampler for browsers that give a microphone at its own rate, and the picture's frequencies."""
    with served(write_page("tiny", "tiny")) as address:
        begin(opened, address)
        for old in (48000, 44100, 16000):
            off = opened.run(
                f"""import("./resample.js").then(({{ Resampler }}) => {{
                    const resampler = new Resampler({old}, 32000), found = [];
                    for (let at = 0; at < {old}; at += 999) {{
                        const block = Float32Array.from({{ length: 999 }}, (_, i) =>
                            Math.sin((2 * Math.PI * 1000 * (at + i)) / {old}));
                        found.push(...resampler.push(block));
                    }}
                    let off = 0;
                    for (let k = 2000; k < 30000; k++)
                        off = Math.max(off, Math.abs(found[k] - Math.sin((2 * Math.PI * 1000 * k) / 32000)));
                    return off;
                }})"""
            )
            assert off < 2e-3
        band, expected, columns = opened.run(
            """import("./spectrogram.js").then(({ Spectrogram, BANDS, melOf }) => {
                const tone = Float32Array.from({ length: 32000 }, (_, i) => Math.sin((2 * Math.PI * 2000 * i) / 32000));
                const all = new Spectrogram(32000).push(tone);
                const column = [...all.slice(20 * BANDS, 21 * BANDS)];
                const expected = (melOf(2000) / melOf(16000)) * (BANDS + 1) - 1;
                return [column.indexOf(Math.max(...column)), expected, all.length / BANDS];
            })"""
        )
        assert abs(band - expected) <= 1
        assert abs(columns - 50) <= 1
