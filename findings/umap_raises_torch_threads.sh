#!/usr/bin/env bash
# umap-learn changes how many threads PyTorch computes with, for the rest of the process.
#
# Versions: umap-learn 0.5.12, pynndescent 0.7.0, numba 0.68.1, torch 2.13.0 (CPU), numpy 2.4.6, Python 3.11, Linux x86-64.
# Behaviour: a program that holds torch to one thread with torch.set_num_threads(1) and then fits a UMAP of a few hundred points
#   finds torch at NUMBA_NUM_THREADS threads, by default one per core. umap-learn and pynndescent run numba's parallel loops, and where
#   numba's layer is OpenMP (its default here), numba's own count becomes that of the OpenMP runtime, which torch shares.
#   Importing umap changes nothing, the first parallel loop does; OMP_NUM_THREADS=1 and n_jobs=1 do not prevent it. Nets
#   of small layers that run after the map can be many times slower for it.
#   What one would try first has the opposite effect of its name: with NUMBA_THREADING_LAYER=omp, torch's count stays,
#   because pynndescent takes another layer (workqueue, or tbb where it is installed) exactly when OpenMP was asked for by name.
# What helps: torch.set_num_threads() again after the fit, or NUMBA_NUM_THREADS=1.
# Output seen:
#   NUMBA_NUM_THREADS=2 NUMBA_THREADING_LAYER=default: layer omp, torch's threads before 1, imported 1, after the fit 2
#   NUMBA_NUM_THREADS=1 NUMBA_THREADING_LAYER=default: layer omp, torch's threads before 1, imported 1, after the fit 1
#   NUMBA_NUM_THREADS=2 NUMBA_THREADING_LAYER=omp: layer workqueue, torch's threads before 1, imported 1, after the fit 1
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q umap-learn==0.5.12 pynndescent==0.7.0 numba==0.68.1 torch==2.13.0 numpy==2.4.6
cat >"$work/try.py" <<'PYTHON'
import warnings

warnings.simplefilter("ignore")
import torch

torch.set_num_threads(1)
before = torch.get_num_threads()
import numba
import numpy as np
import umap

imported = torch.get_num_threads()
points = np.random.default_rng(0).random((300, 20), dtype=np.float32)
umap.UMAP(n_neighbors=10, random_state=0, n_jobs=1).fit_transform(points)
after = torch.get_num_threads()
print(f"layer {numba.threading_layer()}, torch's threads before {before}, imported {imported}, after the fit {after}")
PYTHON
# Two threads, so that a machine with one core shows it as well.
for settings in "NUMBA_NUM_THREADS=2 NUMBA_THREADING_LAYER=default" "NUMBA_NUM_THREADS=1 NUMBA_THREADING_LAYER=default" \
    "NUMBA_NUM_THREADS=2 NUMBA_THREADING_LAYER=omp"; do
    # shellcheck disable=SC2086
    echo "$settings: $(env OMP_NUM_THREADS=1 $settings "$work/venv/bin/python" "$work/try.py")"
done | tee "$work/seen"
sed -n 's/^#   \(NUMBA_.*\)/\1/p' "$0" | diff - "$work/seen" || { echo "this has changed" >&2; exit 1; }
