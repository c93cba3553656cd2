"""Ray on two nodes of this machine, one of which is killed in the middle, and then the driver: the rows are the same.

    python -m tests.benchmarks.ray_nodes

It takes a minute or more, so it is no part of the tests.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import soundfile

import hear_edgel3
from hear_edgel3.dataset.dataset import Dataset

_FILES = 160
_SECONDS = 6.0
_PER_PART = 4
_DRIVER = """
import sys, hear_edgel3
s = hear_edgel3.extract("in", sys.argv[1], files_per_part=4, runner="ray")
print(s.files, s.failed, s.parts_done, s.parts_kept)
"""


def main() -> int:
    """Runs it; says what it saw."""
    begun = time.monotonic()
    # Ray lets nobody join a cluster without its token; this one has a token of its own.
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    # And a folder, since a node that is killed leaves its address for the next one that starts without any; its name is
    # short, as those of sockets may not be long.
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as place:
        os.environ["RAY_TMPDIR"] = place
        os.chdir(folder)
        Path("in").mkdir()
        noise = np.random.RandomState(0)
        for i in range(_FILES):
            soundfile.write(f"in/{i:03d}.flac", 0.1 * noise.randn(int(_SECONDS * 32000)), 32000)
        hear_edgel3.extract("in", "expected", files_per_part=_PER_PART, workers=1)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        address = f"127.0.0.1:{port}"
        head = _node("--head", f"--port={port}", "--include-dashboard=false")
        time.sleep(12)
        other = _node(f"--address={address}")
        environment = {**os.environ, "RAY_ADDRESS": address}
        try:
            _wait_for_nodes(environment, 2)
            driver = _driver("node", environment)
            _wait_for_parts("node", 3, driver)
            os.killpg(other.pid, signal.SIGKILL)
            out, _ = driver.communicate(timeout=300)
            assert driver.returncode == 0, out
            print(
                f"a node was killed after {_PER_PART * 3} files or more; files, failed, parts done, kept: {_last(out)}"
            )
            assert _table("node").equals(_table("expected"))

            driver = _driver("driver", environment)
            _wait_for_parts("driver", 3, driver)
            driver.kill()
            driver.communicate()
            left = len(Dataset("driver").parts)
            driver = _driver("driver", environment)
            out, _ = driver.communicate(timeout=300)
            assert driver.returncode == 0, out
            print(f"the driver was killed with {left} parts there; files, failed, parts done, kept: {_last(out)}")
            assert _table("driver").equals(_table("expected"))
            assert not [name for name in os.listdir("driver") if name.startswith(".")]
        finally:
            for node in (other, head):
                if node.poll() is None:
                    os.killpg(node.pid, signal.SIGKILL)
                node.wait()
    print(f"the rows are the same; {time.monotonic() - begun:.0f} s")
    return 0


def _node(*arguments: str) -> subprocess.Popen[bytes]:
    ray = Path(sys.executable).with_name("ray")
    command = [os.fspath(ray), "start", "--block", "--num-cpus=1", "--node-ip-address=127.0.0.1", *arguments]
    return subprocess.Popen(
        [*command, "--object-store-memory=100000000"],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _driver(output: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _DRIVER, output]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def _wait_for_nodes(environment: dict[str, str], count: int) -> None:
    program = "import ray; ray.init(log_to_driver=False); print(sum(n['Alive'] for n in ray.nodes()))"
    for _ in range(20):
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
        )
        if done.stdout.strip() == str(count):
            return
        time.sleep(1)
    raise AssertionError(f"there are not {count} nodes: {done.stdout} {done.stderr[-500:]}")


def _wait_for_parts(output: str, count: int, driver: subprocess.Popen[str]) -> None:
    for _ in range(2400):
        if os.path.isdir(output) and sum(name.startswith("part-") for name in os.listdir(output)) >= count:
            return
        assert driver.poll() is None, driver.stdout and driver.stdout.read()
        time.sleep(0.05)
    raise AssertionError("no parts in two minutes")


def _last(out: str) -> str:
    """What the driver said; Ray says on stdout too that a node was lost."""
    return out.strip().splitlines()[-1]


def _table(folder: str) -> pa.Table:
    return pa.Table.from_batches(Dataset(folder).batches())


if __name__ == "__main__":
    sys.exit(main())
