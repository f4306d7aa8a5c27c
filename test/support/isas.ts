// The instruction sets that kernels are compiled for, the best first: test/isa runs once for each that the machine has.
export const isas = ["avx512bf16", "avx512", "avx2", "baseline", "neon"];
