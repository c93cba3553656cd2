"""Embeddings of labelled sounds are computed once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

import hear_edgel3
from hear_edgel3.detectors.cache import check_readable, embed_labelled
from hear_edgel3.errors import LabelsError
from hear_edgel3.labels.contents import digests_of
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.lister import list_items
from support.detector_sounds import write_sounds


@pytest.fixture
def some(tmp_path: Path) -> list[Item]:
    folder = write_sounds(tmp_path / "sounds", groups=2, each=1)
    return list_items([str(folder)]).items


def test_they_are_those_of_the_extractor(some: list[Item], tmp_path: Path) -> None:
    found = embed_labelled(some, "tiny", tmp_path / "cache")
    assert (found.new, found.failed) == (6, ())
    samples, rate = soundfile.read(some[3].file, dtype="float32")
    wanted = hear_edgel3.load("tiny", sample_rate=rate).scene_embeddings(samples[None])[0]
    np.testing.assert_allclose(found.vectors[3], wanted, atol=1e-5)


def test_each_is_computed_once_whatever_the_order_and_the_way_it_is_named(
    some: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = embed_labelled(some, "tiny", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    named = [item._replace(file=os.path.relpath(item.file)) for item in reversed([*some, some[0]])]
    again = embed_labelled(named, "tiny", tmp_path / "cache")
    assert (again.new, again.folders) == (0, first.folders)
    np.testing.assert_array_equal(again.vectors, [*first.vectors, first.vectors[0]][::-1])


def test_what_is_new_is_added_and_what_has_changed_is_done_again(some: list[Item], tmp_path: Path) -> None:
    first = embed_labelled(some[:4], "tiny", tmp_path / "cache")
    assert embed_labelled(some, "tiny", tmp_path / "cache").new == 2
    soundfile.write(some[0].file, 0.1 * np.random.default_rng(0).standard_normal(9000), 16000)
    again = embed_labelled(some, "tiny", tmp_path / "cache")
    assert again.new == 4  # the part that it is in
    assert not np.allclose(again.vectors[0], first.vectors[0])
    np.testing.assert_allclose(again.vectors[1], first.vectors[1], atol=1e-5)


def test_clips_links_and_members_of_tar_files(some: list[Item], tmp_path: Path) -> None:
    whole = embed_labelled(some[:1], "tiny", tmp_path / "cache").vectors[0]
    link = tmp_path / "sounds" / "link.wav"
    link.symlink_to(some[0].file)
    shard = tmp_path / "sounds" / "all.tar"
    with tarfile.open(shard, "w") as tar:
        tar.add(some[0].file, "a.wav")
    member = list_items([str(shard)]).items[0]
    clip = some[0]._replace(start=0.1, end=0.4)
    found = embed_labelled([clip, Item(str(link), 0), member, some[0]], "tiny", tmp_path / "cache")
    assert not found.failed
    for row in (1, 2, 3):
        np.testing.assert_allclose(found.vectors[row], whole, atol=1e-6)
    assert not np.allclose(found.vectors[0], whole, atol=1e-3)
    digests = digests_of([clip, Item(str(link), 0), member, some[0]])
    assert digests[1] == digests[2] == digests[3] != digests[0]


def test_sounds_that_cannot_be_read_are_named(some: list[Item], tmp_path: Path) -> None:
    Path(some[1].file).write_bytes(b"no sound")
    found = embed_labelled(some, "tiny", tmp_path / "cache")
    assert [row for row, _ in found.failed] == [1]
    assert found.usable.tolist() == [0, 2, 3, 4, 5]
    with pytest.raises(LabelsError, match=rf"1 of 6 sounds cannot be read:\n- .*{Path(some[1].file).name}.*\n.*skip"):
        check_readable(found.failed, len(some), skip=False)
    assert some[1].file in str(check_readable(found.failed, len(some), skip=True))
    for item in some:
        Path(item.file).write_bytes(b"no sound")
    with pytest.raises(LabelsError, match="none of the 6 sounds"):
        check_readable(embed_labelled(some, "tiny", tmp_path / "cache").failed, len(some), skip=True)


def test_another_engine_has_another_folder(some: list[Item], tmp_path: Path, without) -> None:
    """Two engines' last bits differ, so that a detector would depend on what was installed when."""
    numba = embed_labelled(some[:1], "tiny", tmp_path / "c")
    assert embed_labelled(some[:1], "tiny", tmp_path / "c", engine="numba").folders == numba.folders
    without("numba")
    torch = embed_labelled(some[:1], "tiny", tmp_path / "c", workers=1)
    assert torch.new == 1
    assert (numba.folders[0].name[-6:], torch.folders[0].name[-6:]) == ("-numba", "-torch")


def test_another_net_has_another_folder(some: list[Item], tmp_path: Path) -> None:
    tiny = Path(hear_edgel3.__file__).parent / "checkpoints" / "tiny"
    shutil.copytree(tiny, tmp_path / "mine")
    folders = {embed_labelled(some[:1], net, tmp_path / "c").folders for net in ("tiny", "tiny_mel_avgs")}
    assert len(folders) == 2


@pytest.mark.slow
def test_it_goes_on_after_being_killed(tmp_path: Path) -> None:
    folder = write_sounds(tmp_path / "sounds", groups=50, each=4)
    code = (
        "import sys; from hear_edgel3.sources.lister import list_items\n"
        "from hear_edgel3.detectors.cache import embed_labelled\n"
        "embed_labelled(list_items([sys.argv[1]]).items, 'tiny', sys.argv[2], workers=1)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(folder), str(tmp_path / "cache")])
    deadline = time.monotonic() + 120
    while not list((tmp_path / "cache").glob("*/*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    found = embed_labelled(list_items([str(folder)]).items, "tiny", tmp_path / "cache", workers=1)
    assert 0 < found.new < 600
    assert not found.failed
