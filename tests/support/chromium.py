"""Drives a headless Chromium over its DevTools pipe, with nothing but the standard library."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PATIENCE_S = 60.0
# The browser expects the pipe at file descriptors 3 and 4.
_WITH_PIPE = """
import fcntl, os, sys
reading, writing = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(reading, 3)
os.dup2(writing, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find() -> str | None:
    """A browser on this machine: ``$HEAR_EDGEL3_CHROMIUM``, or one on the path."""
    given = os.environ.get("HEAR_EDGEL3_CHROMIUM")
    return given or next((path for path in map(shutil.which, _NAMES) if path), None)


class Chromium:
    """A browser with one page. Use it as a context manager."""

    def __init__(self, *flags: str, width: int = 1280, height: int = 800) -> None:
        program = find()
        assert program is not None
        self._profile = tempfile.TemporaryDirectory(prefix="chromium", ignore_cleanup_errors=True)
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        command = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--mute-audio"]
        command += ["--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"]
        command += ["--autoplay-policy=no-user-gesture-required", "--hide-scrollbars", "--remote-debugging-pipe"]
        command += [f"--user-data-dir={self._profile.name}", f"--window-size={width},{height}", *flags, "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", _WITH_PIPE, str(to_read), str(to_write), *command],
            pass_fds=(to_read, to_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        try:
            self._attach()
            self.resize(width, height)
        except BaseException:
            self._end()
            raise

    def _attach(self) -> None:
        target = next(t for t in self.send("Target.getTargets", root=True)["targetInfos"] if t["type"] == "page")
        attached = self.send("Target.attachToTarget", root=True, targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(TimeoutError, OSError, EOFError, subprocess.TimeoutExpired):
            self.send("Browser.close", root=True)
            self._process.wait(20)
        self._end()

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._read)
        os.close(self._write)
        self._profile.cleanup()

    def send(self, method: str, root: bool = False, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """A DevTools command and its answer, of the page or of one of its workers; events on the way are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if not root:
            message["sessionId"] = self._session if session is None else session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        end = time.monotonic() + _PATIENCE_S
        while True:
            answer = self._receive(end)
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _receive(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise TimeoutError("the browser does not answer")
            piece = os.read(self._read, 1 << 20)
            if not piece:
                raise EOFError("the browser has gone")
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def open(self, address: str | Path) -> None:
        """Goes to a page (a file or an address) and waits until it has been loaded."""
        self.events.clear()
        self.send("Page.navigate", url=address.as_uri() if isinstance(address, Path) else address)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        answer = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, f"{script}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def watch_workers(self) -> None:
        """From now on, workers wait until :meth:`let_worker_run`."""
        self.send("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=True, flatten=True)

    def let_worker_run(self, seconds: float = 20.0) -> str:
        """Lets the first worker of the page run, its events among those of the page; returns its session."""
        end = time.monotonic() + seconds
        while True:
            self.run("1")
            for event in self.events:
                if event.get("method") == "Target.attachedToTarget":
                    session: str = event["params"]["sessionId"]
                    for command in (
                        "Network.enable",
                        "Runtime.enable",
                        "Log.enable",
                        "Runtime.runIfWaitingForDebugger",
                    ):
                        self.send(command, session=session)
                    return session
            assert time.monotonic() < end, "no worker was started"
            time.sleep(0.02)

    def wait_for(self, script: str, seconds: float = 20.0) -> None:
        """Waits until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(script):
            assert time.monotonic() < end, f"this never came true: {script}"
            time.sleep(0.02)

    def resize(self, width: int, height: int, ratio: float = 1, mobile: bool = False) -> None:
        """Sets the size of the page in CSS pixels."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=ratio, mobile=mobile
        )

    def prefer(self, scheme: str) -> None:
        """Sets what the system prefers: ``light`` or ``dark``."""
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def press(self, *keys: str) -> None:
        """Presses keys, by their DOM names (``ArrowLeft``, ``Enter``, ``n``)."""
        for key in keys:
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            code = {"Enter": 13, "Escape": 27, "Tab": 9, " ": 32}.get(key, 0)
            self.send("Input.dispatchKeyEvent", type="keyDown", key=key, text=text, windowsVirtualKeyCode=code)
            self.send("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def type(self, text: str) -> None:
        """Types into what has the focus."""
        self.send("Input.insertText", text=text)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """A mouse event: ``mouseMoved``, ``mousePressed``, ``mouseReleased`` or ``mouseWheel``."""
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, x: float, y: float) -> None:
        """Clicks at a place of the page."""
        self.mouse("mouseMoved", x, y)
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=1)

    def screenshot(self, path: Path) -> None:
        """Writes what is seen, as PNG or WebP by the ending of the name."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))).then(() => true)")
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format=path.suffix[1:])["data"]))

    @property
    def complaints(self) -> list[str]:
        """Errors and warnings of the page so far."""
        self.run("1")  # so that pending events have come
        found = []
        for event in self.events:
            details = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(str(details["exceptionDetails"]))
            elif event.get("method") == "Log.entryAdded" and details["entry"]["level"] in ("error", "warning"):
                found.append(details["entry"]["text"])
            elif event.get("method") == "Runtime.consoleAPICalled" and details["type"] in ("error", "warning"):
                found.append(str(details["args"]))
        return found
