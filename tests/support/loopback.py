"""Loopback servers: one that speaks the part of the Hugging Face Hub's protocol that is used, and one with plain files.

Neither knows anything of this package. Both write down every request they get.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from huggingface_hub import constants

from hear_edgel3.families import table
from hear_edgel3.families.schema import Checkpoint, HubFile

REVISION = "0123456789abcdef0123456789abcdef01234567"


@dataclasses.dataclass
class Answer:
    """What a server says; `claimed` is the Content-Length where it is not the truth."""

    status: int = 200
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""
    claimed: int | None = None


class Server:
    """A thread with an HTTP server on a free port of 127.0.0.1, from construction to close()."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self.chatter: list[tuple[str, str]] = []  # what huggingface_hub 2 asks on its own account, once a day
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                log = outer.chatter if self.path == "/api/agent-harnesses" else outer.requests
                log.append((self.command, self.path))
                answer = outer.answer(self.command, self.path, body, dict(self.headers))
                self.send_response(answer.status)
                for key, value in answer.headers.items():
                    self.send_header(key, value)
                length = len(answer.body) if answer.claimed is None else answer.claimed
                self.send_header("Content-Length", str(length))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body)

            do_GET = do_HEAD = do_POST = handle_any

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self._open = True

    def answer(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        raise NotImplementedError

    def close(self) -> None:
        """From now on connections are refused."""
        if self._open:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._open = False


class FileServer(Server):
    """Files by name, as a plain web server or raw.githubusercontent.com has them.

    fault: None, "truncated" (the connection ends before the announced length), or a status code to answer.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.fault: str | int | None = None
        super().__init__()

    def answer(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        if isinstance(self.fault, int):
            return Answer(self.fault, body=b"no")
        data = self.files.get(path.lstrip("/"))
        if data is None:
            return Answer(404, body=b"404: Not Found")
        if self.fault == "truncated":
            return Answer(body=data[: len(data) // 3], claimed=len(data))
        return Answer(body=data)


class FakeHub(Server):
    """Repositories, their revisions and files; and creating repositories and commits.

    fault: None; "wrong bytes" (of the right size and ETag); "short file" (GET has less than HEAD said, and says so);
    "connection lost" (the first GET ends in the middle); "no such repository", "no token" and "private" (as the Hub
    words them); "forbidden" (for writes); or a status code for every request.
    """

    _ERRORS: ClassVar = {
        "no such repository": (404, "RepoNotFound", "Repository not found"),
        "no token": (401, "RepoNotFound", "Repository not found"),
        "private": (401, None, "Invalid username or password."),
    }

    def __init__(self) -> None:
        self.files: dict[tuple[str, str], dict[str, bytes]] = {}
        self.fault: str | int | None = None
        self.created: list[str] = []
        self.commits: list[tuple[str, str, str]] = []  # repository, branch, message
        self._lost = False
        super().__init__()

    def put(self, repo_id: str, revision: str, filename: str, data: bytes) -> None:
        self.files.setdefault((repo_id, revision), {})[filename] = data

    def answer(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        if isinstance(self.fault, int):
            return Answer(self.fault, body=b"{}")
        if self.fault in self._ERRORS:
            status, code, message = self._ERRORS[str(self.fault)]
            return Answer(status, {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})})
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._file(*match.groups(), method, headers)
        if method == "POST":
            return self._write(path, body)
        if (match := re.fullmatch(r"/api/models/([^/]+/[^/]+)", path)) and match[1] in self.created:
            return self._json({"id": match[1], "sha": "f" * 40, "siblings": [], "private": False, "tags": []})
        return Answer(404, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})

    def _file(self, repo_id: str, revision: str, filename: str, method: str, headers: dict[str, str]) -> Answer:
        if all(repo_id != known for known, _ in self.files):
            return Answer(404, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        if (repo_id, revision) not in self.files:
            return Answer(404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"})
        data = self.files[repo_id, revision].get(filename)
        if data is None:
            return Answer(404, {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"})
        described = {
            "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
            "X-Repo-Commit": revision,
            "Accept-Ranges": "bytes",
        }
        if method == "HEAD":
            return Answer(200, described, data)
        if self.fault == "wrong bytes":
            data = data[:-4] + bytes(b ^ 0xFF for b in data[-4:])
        if self.fault == "short file":
            data = data[: len(data) // 2]
        if (span := re.fullmatch(r"bytes=(\d+)-", headers.get("Range", headers.get("range", "")))) is not None:
            start = int(span[1])
            described["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            return Answer(206, described, data[start:])
        if self.fault == "connection lost" and not self._lost:
            self._lost = True
            return Answer(200, described, data[: len(data) // 2], claimed=len(data))
        return Answer(200, described, data)

    def _write(self, path: str, body: bytes) -> Answer:
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if self.fault == "forbidden":
            message = "You don't have the rights to write under this namespace"
            return Answer(403, {"X-Error-Message": message}, json.dumps({"error": message}).encode())
        if path == "/api/repos/create":
            asked = json.loads(body)
            repo_id = f"{asked['organization']}/{asked['name']}"
            if repo_id in self.created:
                answer = self._json({"error": "You already created this model repo", "url": f"{self.url}/{repo_id}"})
                return dataclasses.replace(answer, status=409)
            self.created.append(repo_id)
            return self._json({"url": f"{self.url}/{repo_id}"})
        match = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/([^/?]+)", path)
        if match is None or match[1] not in self.created:
            return Answer(404, {"X-Error-Code": "RepoNotFound"})
        repo_id, action, branch = match.groups()
        if action == "preupload":
            names = [file["path"] for file in json.loads(body)["files"]]
            return self._json(
                {"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]}
            )
        lines = [json.loads(line) for line in body.splitlines()]
        revision = hashlib.sha1(body).hexdigest()
        for line in lines[1:]:
            assert line["key"] == "file"
            assert line["value"]["encoding"] == "base64"
            self.put(repo_id, revision, line["value"]["path"], base64.b64decode(line["value"]["content"]))
        self.commits.append((repo_id, branch, lines[0]["value"]["summary"]))
        return self._json({"commitUrl": f"{self.url}/{repo_id}/commit/{revision}", "commitOid": revision})

    @staticmethod
    def _json(value: object) -> Answer:
        return Answer(200, {"Content-Type": "application/json"}, json.dumps(value).encode())


def use_hub(monkeypatch: pytest.MonkeyPatch, url: str, cache: object, offline: bool = False) -> None:
    """Points the huggingface_hub that is already imported at a server and an empty cache, with no token of anyone's."""
    for name, value in {
        "ENDPOINT": url,
        "HUGGINGFACE_CO_URL_TEMPLATE": url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(cache),
        "HF_HUB_OFFLINE": offline,
        "HF_HUB_DISABLE_XET": True,
        "HF_TOKEN_PATH": f"{cache}/no-token",
    }.items():
        monkeypatch.setattr(constants, name, value)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """huggingface_hub waits 1, 2, 4, 8, 8 s between attempts; the attempts remain, the waits go."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def on_hub(row: Checkpoint, data: bytes) -> Checkpoint:
    """The row as it would be after `data` was published."""
    sha256 = hashlib.sha256(data).hexdigest()
    hub = HubFile(row.hub.repo_id, row.hub.filename, revision=REVISION, sha256=sha256, size=len(data))
    return dataclasses.replace(row, hub=hub)


def from_upstream(row: Checkpoint, data: bytes) -> Checkpoint:
    """The row as if `data` were the file its authors published."""
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    return dataclasses.replace(row, upstream=dataclasses.replace(row.upstream, git_blob=blob, sha256=None, md5=None))


def put_in_table(monkeypatch: pytest.MonkeyPatch, row: Checkpoint) -> Checkpoint:
    """Makes the registry answer with this row for the rest of a test."""
    family = table.FAMILIES[row.family]
    rows = tuple(row if other.name == row.name else other for other in family.rows)
    monkeypatch.setitem(table.FAMILIES, row.family, dataclasses.replace(family, rows=rows))
    return row


# The same in a process of its own: `python -c` with this before the statement under test.
SUBPROCESS = """
import dataclasses
from hear_edgel3.families import table
def change(name, part, **values):
    for family in list(table.FAMILIES.values()):
        rows = list(family.rows)
        for i, row in enumerate(rows):
            if row.name == name:
                rows[i] = dataclasses.replace(row, **{part: dataclasses.replace(getattr(row, part), **values)})
        table.FAMILIES[family.name] = dataclasses.replace(family, rows=tuple(rows))
"""
