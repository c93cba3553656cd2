"""What exported C libraries say of themselves."""

from __future__ import annotations

from pathlib import Path

from hear_edgel3.exporting.folders import read_folder_facts
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
