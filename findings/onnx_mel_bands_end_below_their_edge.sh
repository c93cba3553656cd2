#!/usr/bin/env bash
# The bands of ONNX's operator MelWeightMatrix end below the edge that they are asked to end at.
#
# Versions: onnx 1.23.2 (with its reference implementation), onnxruntime 1.32.0, numpy 2.4.6, Python 3.11, Linux x86-64.
# Behaviour: by its description the operator's upper_edge_hertz is where the highest band ends. N bands have N + 2 edges with N + 1 steps
#   between them; both implementations divide the range by N + 2. So every band is narrower and lies lower than it should, the highest
#   one ends a whole step below the edge, and what sounds above that is in no band. Besides, edges are rounded down to whole bins of the
#   DFT. Comparing onnx with onnxruntime shows nothing, for they agree bit by bit. A front end that is exported with this operator, for
#   a net that was trained on mel bands of torchaudio or librosa (HTK's scale, no norm), gives it other numbers, without an error.
# Known: tracel-ai/burn-onnx pull 369 notes both in an implementation of its own.
# What helps: storing the matrix as a constant.
# Output seen:
#   20 bands to 8000 Hz: the highest peaks at 6219 Hz, should at 7016; above 7031 Hz is none, should be none above 8000
#   40 bands to 8000 Hz: the highest peaks at 7000 Hz, should at 7481; above 7469 Hz is none, should be none above 8000
#   128 bands to 8000 Hz: the highest peaks at 7656 Hz, should at 7832; above 7812 Hz is none, should be none above 8000
#   onnx and onnxruntime: the same bits
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat >"$work/try.py" <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

RATE, LENGTH, TOP = 16000, 512, 8000
hertz = np.arange(LENGTH // 2 + 1) * RATE / LENGTH
described = {given.name: given.description for given in onnx.defs.get_schema("MelWeightMatrix").inputs}
assert "top edge" in described["upper_edge_hertz"]


def model(bands):
    given = {"bands": np.int64(bands), "length": np.int64(LENGTH), "rate": np.int64(RATE), "bottom": np.float32(0), "top": np.float32(TOP)}
    node = helper.make_node("MelWeightMatrix", list(given), ["matrix"])
    constants = [numpy_helper.from_array(np.array(value), name) for name, value in given.items()]
    output = helper.make_tensor_value_info("matrix", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "mel", [], [output], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def highest_by_definition(bands):
    edges = 700 * (10 ** np.linspace(0, np.log10(1 + TOP / 700), bands + 2) - 1)
    return edges[-2], edges[-1]


same = True
for bands in 20, 40, 128:
    made = model(bands)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {})
    same &= np.array_equal(found, ReferenceEvaluator(made).run(None, {})[0])
    peak, end = highest_by_definition(bands)
    last = found[:, -1]
    print(
        f"{bands} bands to {TOP} Hz: the highest peaks at {hertz[last.argmax()]:.0f} Hz, should at {peak:.0f}; above "
        f"{hertz[found.any(axis=1)][-1]:.0f} Hz is none, should be none above {end:.0f}"
    )
print(f"onnx and onnxruntime: {'the same bits' if same else 'not the same'}")
PYTHON
ORT_DISABLE_TELEMETRY=1 "$work/venv/bin/python" "$work/try.py" | tee "$work/seen"
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }
