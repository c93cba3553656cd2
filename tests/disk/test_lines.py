"""Lines that are there as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from hear_edgel3.disk.lines import Lines
from hear_edgel3.errors import OutputError
from support.full_disk import files_of_at_most


def test_a_full_disk_costs_the_line_that_it_did_not_take(here: Path) -> None:
    lines = Lines(here / "lines", "output")
    places = [lines.append({"number": number}) for number in range(3)]
    before = (here / "lines").read_bytes()
    with files_of_at_most(len(before) + 5), pytest.raises(OutputError, match=r"File too large; what was computed bef"):
        lines.append({"number": 3})
    assert (here / "lines").read_bytes() == before
    assert [place for place, _ in lines] == places
    assert lines.append({"number": 3}).start == len(before)
    assert lines.read(places[1]) == b'{"number": 1}\n'
    lines.close()


def test_a_line_without_an_end_is_none(here: Path) -> None:
    (here / "lines").write_bytes(b"1\n2\n3")
    lines = Lines(here / "lines", "output")
    assert [line for _, line in lines] == [b"1\n", b"2\n"]
    with pytest.raises(OutputError, match="another process is writing output; wait for its end"):
        Lines(here / "lines", "output")
    lines.close()
    lines = Lines(here / "lines", "output", anew=True)
    assert (lines.size, [*lines]) == (0, [])
    lines.close()
