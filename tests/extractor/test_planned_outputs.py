"""Names of results: different ones for different inputs, whatever they are called."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hear_edgel3.errors import InvalidOption
from hear_edgel3.extractor.npz import output_path, plan_outputs

FOLDERS = st.sampled_from(["", "x", "y", "x/y", "x_y", "X", "y/x"])
STEMS = st.sampled_from(["a", "A", "a_1", "a_2", "a_wav", "x_a", "a_s", "a.b", "y_x_a_wav", ".a"])
ENDINGS = st.sampled_from([".wav", ".WAV", ".flac", ".b.wav", ""])
PATHS = st.builds(lambda folder, stem, ending: Path(folder) / (stem + ending), FOLDERS, STEMS, ENDINGS)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(PATHS, unique=True, min_size=1, max_size=12),
    st.sampled_from([None, "s", ".s", "1"]),
    st.sampled_from([None, "out", ""]),
)
def test_planned_outputs(inputs: list[Path], suffix: str | None, folder: str | None) -> None:
    planned = plan_outputs(inputs, suffix, folder)
    assert planned == plan_outputs(list(inputs), suffix, folder)
    assert len(planned) == len(inputs)
    # different even where upper and lower case are the same
    assert len({os.path.abspath(p).lower() for p in planned}) == len(inputs)
    plain = [output_path(p, suffix, folder) for p in inputs]
    shared = [os.path.abspath(p).lower() for p in plain]
    for source, found, simple, key in zip(inputs, planned, plain, shared, strict=True):
        assert found.suffix == ".npz"
        assert found.parent == (source.parent if folder is None else Path(folder))
        if shared.count(key) == 1:
            assert found == simple


@pytest.mark.parametrize("suffix", ["a\0b", "\0", f"a{os.sep}b"])
def test_suffixes_that_are_no_part_of_a_name(suffix: str) -> None:
    with pytest.raises(
        InvalidOption, match=f"^a suffix is part of a file name and cannot be {re.escape(repr(suffix))}$"
    ):
        output_path("a.wav", suffix)
