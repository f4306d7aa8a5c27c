#!/bin/bash
# Cross-builds the kernels for arm64 and runs the native tests under qemu. By hand, not in CI:
#   apt-get install -y g++-aarch64-linux-gnu qemu-user && scripts/arm64.sh
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-build/arm64}
cmake -S . -B "$folder" -DCMAKE_TOOLCHAIN_FILE="$PWD/tools/linux-arm64.cmake" -DLONGSPAN_CUDA=OFF -DLONGSPAN_OUTPUT="$folder/out"
cmake --build "$folder" --parallel "${LONGSPAN_BUILD_JOBS:-$(nproc)}"
NM=aarch64-linux-gnu-nm node scripts/isa-symbols.mjs "$folder"
node scripts/native-tests.mjs "$folder"
