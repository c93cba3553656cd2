"""Tables of tags by themselves; tests/cli/test_predict.py has what the commands write."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from hear_edgel3.errors import DatasetError
from hear_edgel3.tagging.outputs import Outputs
from hear_edgel3.tagging.table import TagsTable

pq = pytest.importorskip("pyarrow.parquet")
NUMBERS = TagsTable(["level"], Outputs("numbers"), each=False, clips=False)


def record(name: str, n: int) -> dict[str, Any]:
    return {"file": name, "windows": [{"start": float(i), "end": i + 1.0, "values": [i / 2]} for i in range(n)]}


def test_many_rows_are_written_in_groups_and_found_again(tmp_path: Path) -> None:
    """Groups of at least 4096 rows, cut where a file ends; rows that are there go into another table as they are."""
    records = [record("a", 3000), record("b", 3000), record("c", 5000), record("d", 2)]
    old, new = tmp_path / "old.parquet", io.BytesIO()
    with old.open("wb") as file:
        NUMBERS.write(file, None, records)
    found = [(row["file"], place) for row, place in NUMBERS.places(old)]
    assert found == [("a", (0, 3000)), ("b", (3000, 3000)), ("c", (6000, 5000)), ("d", (11000, 2))]
    # In another order, with a new one between.
    NUMBERS.write(new, old, [found[2][1], record("e", 1), found[0][1], found[1][1]])
    rows = pq.read_table(io.BytesIO(new.getvalue())).to_pylist()
    expected = [row for one in (records[2], record("e", 1), *records[:2]) for row in NUMBERS.rows_of(one)]
    assert rows == expected
    for file, sizes in ((old, [6000, 5000, 2]), (io.BytesIO(new.getvalue()), [5000, 6001])):
        groups = pq.ParquetFile(file).metadata
        assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == sizes


def test_a_table_that_is_damaged_when_rows_are_taken_from_it(tmp_path: Path) -> None:
    old = tmp_path / "old.parquet"
    old.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(DatasetError, match="use another name"):
        NUMBERS.write(io.BytesIO(), old, [(0, 1)])
