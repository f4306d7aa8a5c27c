// The kernels of one ISA, written once, compiled once per isa_*.cc. Order: what a kernel builds on comes before it.
#include "math.inl"
#include "activation.inl"
#include "walk.inl"
#include "convert.inl"
#include "copy.inl"
#include "embedding.inl"
#include "norm.inl"
#include "rope.inl"
#include "elementwise.inl"
#include "softmax.inl"
#include "top_k.inl"
#include "pack.inl"
#include "gemm.inl"
#include "matmul.inl"
#include "linear_attention_state.inl"
#include "linear_attention_keys.inl"
#include "linear_attention.inl"
#include "delta_rule.inl"
#include "select_panels.inl"
#include "select_choice.inl"
#include "select_blocks.inl"
#include "select_mass.inl"
#include "select_lines.inl"
#include "kv_cache.inl"
#include "score_terms.inl"
#include "decode_block.inl"
#include "decode_rows.inl"
#include "decode_plan.inl"
#include "decode_attention.inl"
#include "merge_attention.inl"
#include "ceilings.inl"
#include "flash_attention_products.inl"
#include "flash_attention_plan.inl"
#include "flash_attention_pack.inl"
#include "flash_attention_cache.inl"
#include "flash_attention_softmax.inl"
#include "flash_attention_buckets.inl"
#include "flash_attention.inl"
#include "bucket_hash.inl"
#include "average_rows.inl"
#include "row_tile.inl"
#include "row_sums.inl"
#include "project_tokens.inl"
#include "luna_attention.inl"
#include "hierarchy.inl"
#include "hierarchical_attention.inl"
#include "landmark_rows.inl"
#include "landmark_attention.inl"
#include "cope_attention.inl"

constexpr bool nativeBFloat16 =
#ifdef __AVX512BF16__
    true;
#else
    false;
#endif

#include "attention.inl"

constexpr Backend table = {
    .name = isaName,
    .isSupported = isSupported,
    .nativeBFloat16 = nativeBFloat16,
    .copy = copy,
    .embedding = embedding,
    .norm = norm,
    .rope = rope,
    .gated = gated,
    .binary = binary,
    .softmax = softmax,
    .nll = nll,
    .topK = topK,
    .pack = pack,
    .matmul = matmul,
    .attention = attention,
    .planAttention = planAttention,
    .mergeAttention = mergeAttention,
    .bucketHash = bucketHash,
    .similarity = similarity,
    .averageRows = averageRows,
    .linearAttention = linearAttention,
    .deltaRule = deltaRule,
    .projectTokens = projectTokens,
    .lunaAttention = lunaAttention,
    .hierarchicalAttention = hierarchicalAttention,
    .landmarkAttention = landmarkAttention,
    .copeAttention = copeAttention,
    .cacheAppend = cacheAppend,
    .summarise = summarise,
    .selectBlocks = selectBlocks,
    .selectByMass = selectByMass,
    .selectLines = selectLines,
    .ceilings = ceilings,
    .read = read,
};
