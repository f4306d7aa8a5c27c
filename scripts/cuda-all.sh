#!/bin/bash
# The CUDA plugin for every architecture that this nvcc knows, and the compile gate over it.
#   scripts/cuda-all.sh [folder]    longspan_cuda.so and what ptxas said go there, default build/cuda-all
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-build/cuda-all}
nvcc=${NVCC:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
known=$("$nvcc" --list-gpu-arch)
archs=()
for arch in 80 86 89 90a 100 120; do
  grep -qx "compute_${arch%a}" <<< "$known" && archs+=("$arch")
done
echo "for ${archs[*]}"
scripts/cuda/build.sh "$folder" "${archs[@]}"
ls -l "$folder/longspan_cuda.so"
node scripts/cuda-gate.mjs "$folder"
