#!/usr/bin/env bash
# What a GPU is asked, in under six minutes: its tests, two notebooks, epochs of Scientific's and Office's size by `fit`
# (float32, bfloat16) and by a plain loop. The tests and Scientific were run on an H200 once; the notebooks and Office are
# untried. From the root: bash benchmarks/gpu.sh [OUT]
# Each part has a limit of its own, so that a slow one costs no other; OUT (by default gpu/) gets a log per part.
set -u
OUT=${1:-gpu}
PYTHON=${PYTHON:-.venv/bin/python}
mkdir -p "$OUT"
"$PYTHON" -c 'import torch; assert torch.cuda.is_available(), "no GPU here"; print(torch.cuda.get_device_name())' || exit 1

part() {  # NAME SECONDS COMMAND...
    local name=$1 limit=$2 began=$SECONDS
    shift 2
    timeout "$limit" "$@" >"$OUT/$name.log" 2>&1
    echo "$name: exit $?, $((SECONDS - began)) s of $limit"
    tail -n 1 "$OUT/$name.log"
}

part tests 90 "$PYTHON" -m pytest -q -x tests/test_gpu.py
part notebooks 90 "$PYTHON" -m pytest -q --nbval-lax notebooks/02_ssd.ipynb notebooks/03_decay_masks.ipynb
for form in "--precision 32-true" "--precision bf16-mixed" "--plain"; do
    part "scientific ${form##* }" 20 "$PYTHON" benchmarks/paper_size.py --items 4385 --epoch 34101 $form
done
for form in "--precision 32-true" "--precision bf16-mixed" "--plain"; do
    part "office ${form##* }" 35 "$PYTHON" benchmarks/paper_size.py --items 25986 --epoch 422529 $form
done
