"""What the licence of a teacher's weights wants to be said wherever a part of them goes."""

from __future__ import annotations

from hear_edgel3.families.schema import Checkpoint, Local, Published
from hear_edgel3.registry.names import find

_MIT = """MIT License

Copyright {holder}

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE."""


def origin_of(row: Checkpoint) -> Published | None:
    """The published checkpoint of which a net is a part: itself, or that which it was pruned from, however often."""
    if isinstance(row, Published):
        return row
    if not isinstance(row, Local) or not row.made.get("notice"):
        return None
    found = find(str(row.made.get("weights_of", row.made.get("teacher"))))
    return found.checkpoint if found is not None and isinstance(found.checkpoint, Published) else None


def notice_of(origin: Published) -> str:
    """Whose weights a part of a checkpoint's are, in a sentence without its full stop."""
    upstream = origin.upstream
    return (
        f"Its weights are a part of those of {origin.name}, {upstream.copyright}, licence {upstream.licence} "
        f"({upstream.project})"
    )


def licence_text(origin: Published) -> str:
    """The notice in full that must go with copies of a checkpoint's weights, and with parts of them.

    Returns:
        The licence, with whose copyright it is; empty for a licence whose text is not known.
    """
    return _MIT.format(holder=origin.upstream.copyright) if origin.upstream.licence == "MIT" else ""
