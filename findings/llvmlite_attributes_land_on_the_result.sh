#!/usr/bin/env bash
# llvmlite 0.43 gives attributes of functions to what they return.
#
# Versions: llvmlite 0.43.0 (which numba 0.60 takes) and 0.50.0, Python 3.11, Linux x86-64.
# Behaviour: ValueRef.add_function_attribute("optsize") of a function in 0.43.0 does not change the function but the value that
#   it returns. For a function that returns an integer, module.verify() then raises; nothing is wrong before it. In 0.50.0 it
#   is the function that has it.
# What helps: adding it to a small module first and verifying that; or llvmlite.ir's Function.attributes, before LLVM parses it.
# Output seen:
#   0.43.0: RuntimeError: Attribute 'optsize' does not apply to function return values
#   0.50.0: define i32 @f() #0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/try.py" <<'PYTHON'
import llvmlite
from llvmlite import binding

if llvmlite.__version__ < "0.45":
    binding.initialize()
module = binding.parse_assembly("define i32 @f() {\n  ret i32 0\n}")
module.get_function("f").add_function_attribute("optsize")
try:
    module.verify()
    said = next(line for line in str(module).splitlines() if line.startswith("define")).removesuffix(" {")
except RuntimeError as error:
    said = f"RuntimeError: {str(error).splitlines()[0]}"
print(f"{llvmlite.__version__}: {said}")
PYTHON
for version in 0.43.0 0.50.0; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install -q "llvmlite==$version"
    "$work/$version/bin/python" "$work/try.py"
done | tee "$work/seen"
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }
