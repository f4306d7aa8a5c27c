#!/bin/bash
# On a machine with a GPU, nvcc, g++ and Python with torch: builds the plugin for its GPU, checks every kernel against
# float64, runs the sanitizers, measures. Needs no Node, no CMake and no network.
#   OUT=<folder> scripts/cuda/device.sh [seconds]    all of it within so many seconds (480); logs and JSON in $OUT
# The last line counts the phases that failed; the exit code is that count.
set -uo pipefail
cd "$(dirname "$0")/../.."
export OUT=${OUT:-build/device}
total=${1:-480}
built=build/device-plugin
plugin=$built/longspan_cuda.so
mkdir -p "$OUT"
exec > >(tee "$OUT/device.log") 2>&1
failed=0

left() { echo $((total - SECONDS)); }
# phase <seconds at most> <title> <command…>: what it prints goes to $OUT/<title>.log too
phase() {
  local most=$1 title=$2 status=0 started=$SECONDS
  shift 2
  if (($(left) < 10)); then
    echo "== $title: left out, no time" && failed=$((failed + 1))
    return 1
  fi
  ((most > $(left))) && most=$(left)
  echo "== $title (at most $most s)"
  timeout --kill-after=5 "$most" "$@" 2>&1 | tee "$OUT/$title.log" || status=$?
  ((status)) && failed=$((failed + 1))
  echo "== $title: $([[ $status == 0 ]] && echo ok || echo "FAILED ($status)") in $((SECONDS - started)) s"
  return $status
}
# harness <seconds> <phases> <option…>: ends by itself before the time is up
harness() {
  local most=$1 phases=$2
  shift 2
  phase $((most + 40)) "harness-$phases" "${PYTHON:-python3}" scripts/cuda/harness.py "$plugin" --only "$phases" \
    --time-limit "$most" "$@"
}

command -v nvidia-smi > /dev/null || { echo "no nvidia-smi: is there a GPU?"; exit 1; }
nvidia-smi > "$OUT/nvidia-smi.log"
capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1 | tr -d .)
arch=$capability
((capability == 90)) && arch=90a
mkdir -p "$built" && rm -f "$built/sanitize"
g++ -std=c++20 -O2 -pthread -Icsrc test/cuda/sanitize*.cc -ldl -o "$built/sanitize" > "$OUT/sanitize-build.log" 2>&1 &
cases=$!
phase 200 build scripts/cuda/build.sh "$built" "$arch" || { echo "== 1 phase failed"; exit 1; }
cp "$built"/*.log "$OUT" 2> /dev/null
wait "$cases" || { echo "== the cases do not compile" && cat "$OUT/sanitize-build.log"; }

# Wrong kernels are best known before they are measured
phase 30 cases "$built/sanitize" "$plugin"
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2> /dev/null || true)
reserved=60  # for the cases under compute-sanitizer, and more where it is there
[[ $sanitizer ]] && reserved=125
share=$((($(left) - reserved) * 45 / 100))
harness $((share * 4 / 5)) facts,correctness
harness $((share / 5)) ops
# sanitize <seconds at most> <tool>: machines that virtualise the GPU may refuse it, and the time may be up before all
# cases have run: neither is a fault of ours
sanitize() {
  local tool=$2 before=$failed status=0
  local found='^=+ (Error|Warning): Race|^=+ (Invalid|Misaligned|Uninitialized|Barrier error|Program hit)'
  phase "$1" "$tool" "$sanitizer" --tool "$tool" --error-exitcode 9 "$built/sanitize" "$plugin" || status=$?
  ((failed > before)) && [[ -f $OUT/$tool.log ]] || return 0
  if grep -qiE "device not supported|tool.* not supported|unable to (launch|attach|find)" "$OUT/$tool.log"; then
    echo "== $tool: left out, compute-sanitizer refuses it here" && failed=$before
  elif ((status == 124 || status == 137)) && ! grep -qE "$found|^FAILED" "$OUT/$tool.log"; then
    echo "== $tool: found nothing until the time was up, in $(grep -c 'relative error' "$OUT/$tool.log") comparisons"
    failed=$before
  fi
}
if [[ $sanitizer ]]; then
  sanitize 35 memcheck
  sanitize 25 synccheck
  sanitize 40 racecheck
  sanitize 25 initcheck
else
  echo "== sanitizers: left out, there is no compute-sanitizer"
fi
harness $(($(left) - 45)) bench
echo "== $failed phases failed, $SECONDS s"
exit "$failed"
