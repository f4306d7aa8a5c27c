#!/bin/bash
# build.sh <folder> <arch…>: longspan_cuda.so with nvcc alone, where there is no CMake or Node; flags as in
# tools/cuda.cmake. What ptxas says of each source is in <folder>/<name>.o.log.  JOBS: how many at once.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$1
shift
export NVCC=${NVCC:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
export FLAGS="-std=c++20 -O3 -cudart static -Xcompiler -fPIC,-fvisibility=hidden" GENCODE="" OBJECTS=$folder
for arch in "$@"; do GENCODE+=" -gencode arch=compute_$arch,code=sm_$arch"; done
mkdir -p "$folder"
rm -f "$folder"/*.o "$folder"/*.log

compile() {
  local object
  object=$OBJECTS/$(basename "$1" .cu).o
  # shellcheck disable=SC2086
  if ! $NVCC $FLAGS $GENCODE -Xptxas -v -c "$1" -o "$object" > "$object.log" 2>&1; then
    echo "FAILED $1" && cat "$object.log"
    return 1
  fi
}
export -f compile
# The longest first
ls -S "$root"/cuda/attention_*.cu "$root"/cuda/matmul.cu 2> /dev/null > "$folder/sources" || true
ls -S "$root"/cuda/*.cu >> "$folder/sources"
awk '!seen[$0]++' "$folder/sources" | xargs -P "${JOBS:-$(nproc)}" -I{} bash -c 'compile "{}"'
# shellcheck disable=SC2086
$NVCC $GENCODE -cudart static -shared -Xlinker --exclude-libs,ALL -Xlinker --gc-sections -Xcompiler -static-libstdc++ \
  "$folder"/*.o -o "$folder/longspan_cuda.so"
