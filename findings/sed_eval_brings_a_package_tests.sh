#!/usr/bin/env bash
# Installing sed_eval hides a project's own folder `tests`, if that has no __init__.py.
#
# Versions: sed_eval 0.2.1 with dcase_util 0.2.20, which it needs, Python 3.11, Linux x86-64.
# Behaviour: dcase_util installs its own tests as a top-level package `tests`. A folder `tests` without __init__.py is a namespace
#   package, and these come last: `python -m tests.score`, run in a project that has tests/score.py, finds dcase_util's package instead
#   and says that there is no such module. Nothing warns, and what ran before sed_eval was installed fails after it.
# What helps: an __init__.py in the folder, or sed_eval in an environment of its own.
# Output seen:
#   before: mine
#   after: No module named tests.score
#   `tests` belongs to dcase_util
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
mkdir -p "$work/project/tests"
echo 'print("mine")' >"$work/project/tests/score.py"
cd "$work/project"
python=$work/venv/bin/python
{
    echo "before: $("$python" -m tests.score 2>&1)"
    "$python" -m pip install -q sed_eval==0.2.1 dcase_util==0.2.20 2>/dev/null
    echo "after: $("$python" -m tests.score 2>&1 | sed 's/.*: //')"
    "$python" -c '
from importlib.metadata import packages_distributions
print("`tests` belongs to", *packages_distributions()["tests"])'
} | tee "$work/seen"
cd - >/dev/null
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }
