#!/usr/bin/env bash
# Importing ONNX Runtime or OpenVINO numbers the user's machine in a file, and reports to their makers.
#
# Versions: onnxruntime 1.31.1 and openvino 2026.4.1 with openvino-telemetry 2025.2.0, which it needs, Python 3.11, Linux x86-64.
# Behaviour: `import onnxruntime`, with no model yet, writes an identifier that stays (deviceid) and a database of events below
#   ~/.cache/Microsoft, and a thread then looks up a host of mobile.events.data.microsoft.com. `import openvino` writes an
#   identifier and a count of its uses below ~/intel, and sends an event to www.google-analytics.com from a forked process,
#   for which the end of the program waits up to 3 seconds. Neither says so. onnxruntime's disable_telemetry_events() comes too late: the
#   identifier is there when it can be called. A value of 0 of ORT_DISABLE_TELEMETRY, or none, leaves it on.
# What helps: ORT_DISABLE_TELEMETRY=1 before the first import; for OpenVINO, `openvino_telemetry` made impossible to import while
#   openvino is (sys.modules["openvino_telemetry"] = None), for which it has a stub, or a file ~/intel/openvino_telemetry with
#   a 0 in it. OpenVINO also keeps silent where CI=true.
# Output seen:
#   onnxruntime: .cache/Microsoft/DeveloperTools/.onnxruntime/deviceid .cache/Microsoft/DeveloperTools/.onnxruntime/onnxruntime.db
#   onnxruntime, ORT_DISABLE_TELEMETRY=1:
#   openvino: asks for www.google-analytics.com intel/openvino_ga_cid intel/stats
#   openvino, without openvino_telemetry:
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q onnxruntime==1.31.1 openvino==2026.4.1 openvino-telemetry==2025.2.0
# Names are not looked up: what is asked for is written down instead, in forked processes too, and nothing leaves the machine.
# ONNX Runtime asks from a thread of its own, which no hook of Python's sees; the process ends before it does.
cat >"$work/watch.py" <<'PYTHON'
import os
import sys


def watch(event, arguments):
    if event in ("socket.getaddrinfo", "socket.connect"):
        with open(os.environ["ASKED"], "a") as file:
            file.write(f"asks for {arguments[0]} ")
        raise OSError("watched")


sys.addaudithook(watch)
exec(sys.argv[1])
sys.stdout.flush()
PYTHON
seen() {
    local title=$1 code=$2
    shift 2
    rm -rf "$work/home" "$work/asked"
    mkdir "$work/home"
    : >"$work/asked"
    env -u CI -u TF_BUILD -u JENKINS_URL -u XDG_CACHE_HOME -u ORT_DISABLE_TELEMETRY HOME="$work/home" ASKED="$work/asked" "$@" \
        "$work/venv/bin/python" "$work/watch.py" "$code"
    echo "$title: $(cat "$work/asked")$(cd "$work/home" && find . -type f -printf '%P\n' | sort | xargs)" | sed 's/ $//'
}
{
    seen onnxruntime "import onnxruntime"
    seen "onnxruntime, ORT_DISABLE_TELEMETRY=1" "import onnxruntime" ORT_DISABLE_TELEMETRY=1
    seen openvino "import openvino"
    seen "openvino, without openvino_telemetry" "import sys; sys.modules['openvino_telemetry'] = None; import openvino"
} | tee "$work/seen"
sed -n '/^# Output seen:/,/^set /s/^#   //p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }
