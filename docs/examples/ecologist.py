"""For an ecologist with a folder of recordings: embed all, find those like a given call, and copies.

python docs/examples/ecologist.py RECORDINGS CALL

RECORDINGS is your folder, or one that docs/examples/make_recordings.py has made; CALL is a file with a call.
"""

import sys
from collections import Counter

import hear_edgel3
from hear_edgel3.search import SoundSearch, find_duplicates


def main() -> None:
    """Run it again when recordings have come in: only the new ones are embedded."""
    recordings, call = sys.argv[1:3]
    dataset = recordings.rstrip("/") + ".embeddings"
    summary = hear_edgel3.extract(recordings, dataset, workers=1)
    print(f"{summary.files} new recordings, {summary.seconds / 60:.1f} minutes, {summary.failed} could not be read")

    print(f"most like {call}:")
    matches = SoundSearch(dataset).query(call, top=5)
    for match in matches:
        print(f"  {match.similarity:.2f}  {match.file}")

    print("probably copies:")
    for group in find_duplicates(dataset):
        print("  " + ", ".join(group.files))

    tagger = hear_edgel3.Tagger()
    heard = Counter(tagger.tag_file(match.file).top(1)[0].label for match in matches)
    print("heard in the matches:", ", ".join(f"{label} ({n})" for label, n in heard.most_common()))


if __name__ == "__main__":  # `extract` may start worker processes
    main()
