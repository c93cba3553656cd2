"""What is asked of the loopback servers, and programs that know what is there."""

from __future__ import annotations

import os
import subprocess
import sys

from support.l3_files import SEA
from support.loopback import REVISION, SUBPROCESS

RESOLVE = f"/{SEA.hub.repo_id}/resolve/{REVISION}/{SEA.hub.filename}"
FETCH = [("HEAD", RESOLVE), ("GET", RESOLVE)]


def python_with_rows(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", SUBPROCESS + code],
        env={**os.environ, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": "", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
