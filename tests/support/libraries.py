"""What exported C libraries are made of, say of themselves, and compute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hear_edgel3.exporting import c as target
from hear_edgel3.exporting.folders import read_folder_facts
from hear_edgel3.exporting.program import Program, length_in_samples, program_of
from hear_edgel3.extractor.extractor import Extractor
from support.compiling import run


def memory_of(folder: Path, place: Path) -> tuple[int, int]:
    """Bytes of working memory for one and for two seconds as the header states them, which are enough for all lengths.

    They are constants: the sizes of arrays.
    """
    prefix = read_folder_facts(folder)["prefix"]
    upper = prefix.upper()
    text = f"""
#include <stdio.h>
#include "{prefix}.h"
static unsigned char one[{upper}_MEMORY({upper}_SAMPLE_RATE)], two[{upper}_MEMORY(2 * {upper}_SAMPLE_RATE)];
int main(void) {{
    size_t n;
    for (n = 1; n <= {upper}_LONGEST; n += n < 100000 ? 61 : 100003) {{
        if ({prefix}_memory(n) == 0 || {prefix}_memory(n) > {upper}_MEMORY(n)) return 1;
        if ({prefix}_memory(n) * 1.02 + 16000 < {upper}_MEMORY(n)) return 2;
        if ({prefix}_stream_memory(n) > {upper}_STREAM_MEMORY(n)) return 3;
    }}
    if ({prefix}_memory(0) || {prefix}_memory({upper}_LONGEST + 1)) return 4;
    printf("%lu %lu\\n", (unsigned long)sizeof one, (unsigned long)sizeof two);
    return 0;
}}
"""
    (place / "memory.c").write_text(text)
    made = place / "memory"
    run(["gcc", f"-I{folder}", "-o", str(made), str(place / "memory.c"), str(folder / f"{prefix}.c"), "-lm"])
    one, two = run([str(made)]).stdout.split()
    return int(one), int(two)


@contextmanager
def program(extractor: Extractor) -> Iterator[Program]:
    """A whole extractor, of clips of any length, as what writes a library takes it."""
    row = extractor.configuration.checkpoint
    with program_of(extractor, "whole", length_in_samples(row, None), target.FLOAT64) as found:
        yield found


def check(session: Any, made: Program, x: np.ndarray) -> None:
    """Each feature against PyTorch in float64, as a fraction of its peak; observed 7e-6 at most."""
    expected = dict(zip(made.outputs, (y.numpy() for y in made.reference(torch.from_numpy(x))), strict=True))
    found = session(x)
    assert found.keys() == expected.keys()
    ends = np.cumsum([*made.card["features"].values()])[:-1]
    for name, values in expected.items():
        parts = [*made.card["features"]] if name == "embedding" else [name]
        at = ends if name == "embedding" else []
        for part, one, other in zip(
            parts, np.split(found[name], at, axis=1), np.split(values, at, axis=1), strict=True
        ):
            peak = max(np.abs(other).max(), 1.0) if name == "probabilities" else np.abs(other).max()
            np.testing.assert_allclose(one, other, rtol=0, atol=2e-5 * peak, err_msg=f"{part} of {x.shape[1]} samples")
