// One table of kernels per backend and ISA: what ops call, what cpu/ and cuda/ fill. An empty row means: no kernel.
// Arguments are plain data; ops have checked every shape, dtype and option before a kernel sees them.
#pragma once
#include "../attention/pattern.h"
#include "kv_cache_view.h"
#include "parallel.h"
#include "select_args.h"
#include "tensor_view.h"

namespace longspan {

struct CopyArgs {  // out[...] = in[...] with dtype conversion; same shape, any strides
  TensorView in, out;
};

struct EmbeddingArgs {
  TensorView ids;     // [n] int32
  TensorView weight;  // [vocabSize, hiddenSize] float32, float16 or bfloat16
  TensorView out;     // [n, hiddenSize] float32, float16 or bfloat16
  int64_t* badIndex;  // −1 before; after: the lowest place in ids that holds no id. Its row is zero; the op fails.
                      // On a device it may be null: nobody asks
};

struct NormArgs {  // rmsNorm: bias absent and centre false; layerNorm: centre true. Over the last axis.
  TensorView x, weight, bias, out;  // weight and bias may be absent; statistics in float32
  float epsilon;
  bool centre;
};

struct RopeArgs {
  TensorView x;                 // [batch, seqLen, numHeads, headDim]
  TensorView positions;         // [seqLen] or [batch, seqLen], int32
  const double* frequencies64;  // [numFrequencies] radians per position, kept alive by the op
  int64_t numFrequencies;       // the first 2 numFrequencies dims turn, the others are copied
  float attentionScale;
  bool interleaved;
  double positionStep, positionOffset;  // a position p counts as p · step + offset
  TensorView out;                       // x's dtype; may be x
};

enum class Activation : uint8_t { None, Silu, Gelu, GeluTanh, Relu };

struct GatedArgs {  // out = activation(gate) * up; up absent: activation(gate)
  TensorView gate, up, out;
  Activation activation;
};

enum class BinaryOp : uint8_t { Add, Mul };
struct BinaryArgs {  // broadcast over leading axes of b is resolved by zero strides
  TensorView a, b, out;
  BinaryOp op;
};

struct SoftmaxArgs {  // over the last axis
  TensorView x, out;
};
struct NllArgs {       // out[i] = logsumexp(logits[i]) - logits[i][targets[i]]
  TensorView logits;   // [n, vocabSize] float32, float16 or bfloat16
  TensorView targets;  // [n] int32
  TensorView out;      // [n] float32
  int64_t* badIndex;   // as in EmbeddingArgs, null on any device; out is NaN there
};
struct TopKArgs {  // the k largest of the last axis, descending; ties: the lower index first; NaN last. argmax is k = 1
  TensorView x;    // [rows, n] float32, float16 or bfloat16
  TensorView values;   // [rows, k] any float dtype, may be absent
  TensorView indices;  // [rows, k] int32
};

// Weights are packed once, at load, the same way for every CPU: panels of 64 output features, zero-padded to 64,
// ascending in memory in the order in which a product reads them:
//   float32, float16 [outFeatures / 64][inFeatures][64]      bfloat16 [outFeatures / 64][inFeatures / 2][64][2]
//   quantised (csrc/quant) [outFeatures / 64][inFeatures / 32]{float16 scales [64]; bytes [32][64] or words [bits][64]}
inline constexpr int64_t panelWidth = 64;
// inFeatures with what pads it
[[gnu::always_inline]] constexpr int64_t packedDepth(int64_t inFeatures, DType dtype) {
  const int64_t together = dtype == DType::BFloat16 ? 2 : info(dtype).blockSize;
  return (inFeatures + together - 1) / together * together;
}
// Bytes of a packed weight; the memory must be aligned to 64.
[[gnu::always_inline]] constexpr size_t packedBytes(int64_t outFeatures, int64_t inFeatures, DType dtype) {
  const int64_t panels = (outFeatures + panelWidth - 1) / panelWidth;
  return size_t(panels * panelWidth * packedDepth(inFeatures, dtype) / info(dtype).blockSize * sizeOf(dtype));
}
struct PackArgs {
  TensorView weight;  // [outFeatures, inFeatures], any strides, float32, float16 or bfloat16
  void* packed;       // packedBytes(...) bytes
  DType dtype;        // of the panels: float32, float16, bfloat16, or quantised
};
struct PackedWeight {
  const void* data = nullptr;
  DType dtype = DType::Float32;
  int64_t outFeatures = 0, inFeatures = 0;
};
// out[m, n] = activation(x[m, k] w[n, k]^T + bias) + residual. Rows may lie anywhere, values of a row are contiguous.
// bfloat16 x on bfloat16 panels: products of pairs, summed in float32; all other pairs of dtypes: widened exactly.
struct MatmulArgs {
  TensorView x;  // [m, k] float32 or bfloat16
  PackedWeight weight;
  TensorView bias;      // [n] float32, may be absent
  TensorView residual;  // [m, n] float32 or bfloat16, may be absent, may be out itself
  TensorView out;       // [m, n] float32 or bfloat16
  Activation activation = Activation::None;
};

struct SequenceView {         // one sequence of a packed, padded or paged batch
  int64_t q, k, v, out, lse;  // where its rows begin, in elements
  int offset;                 // position of its first query among its keys
  const int* pages;           // pages[i] holds keys [i · pageSize, …): row i of k and v is then a page; or null
};

struct AttentionArgs {
  TensorView q;       // [batch, seqLenQ, numHeads, headDim]
  TensorView k;       // [batch, seqLenKV, numKVHeads, headDim]
  TensorView v;       // [batch, seqLenKV, numKVHeads, valueDim]
  TensorView out;     // [batch, seqLenQ, numHeads, valueDim]
  TensorView lse;     // [batch, numHeads, seqLenQ] float32, may be absent
  KVCacheView cache;  // instead of k and v when cache.slabs is set
  float scale;
  float softcap;           // 0: none
  TensorView alibiSlopes;  // [numHeads] float32, may be absent
  TensorView bias;         // [batch, numHeads, seqLenQ, seqLenKV] with zero strides where broadcast, may be absent
  TensorView sinkLogits;   // [numHeads] float32, may be absent
  const Pattern* pattern;
  TensorView queryScale;    // [batch, numHeads, seqLenQ] float32 factor on a query's scores, may be absent
  TensorView distanceBias;  // [numHeads, distances] float32, may be absent: by query − key − firstDistance, ends held
  int firstDistance;
  TensorView expireSpans;  // [batch, seqLenKV] float32, may be absent: how long a key is seen
  float expireRamp;        // over how many positions its weight falls then
  int offset;       // position of query 0 among the keys: seqLenKV − seqLenQ, or where a slice of the queries begins
  bool accumulate;  // out (float32) and lse hold another part: this one is merged into them, sink logits aside
  // Instead of strides over the batch: q, k, v, out and lse have batch = sequences of at most shape[1] rows; the
  // pattern has one entry a sequence, with its own lengths.
  const SequenceView* sequences;
  int pageSize;
  // Shared query-key attention, with patterns of gathered rows (Buckets):
  bool normaliseKeys;  // keys become length 1; rows of zeros stay
  float selfScore;     // not 0: the score of a query's own position
};
// bucket = Σ argmax of the products with the directions of factor i · Π factors before i, for each round
struct BucketHashArgs {
  TensorView x;             // [batch, seqLen, heads, headDim]; heads and directionHeads divide numHeads
  const float* directions;  // [rounds][directionHeads][columns][headDim], and spareDirections rows of anything
  int rounds, numHeads, directionHeads;
  bool bothSigns;  // R and −R: a factor has half as many columns
  const int* factors;
  int numFactors;
  int* out;  // [rounds][batch][numHeads][seqLen]
};
// The tokens of each list by bucket, then by place; around them the last `before` and the first `after` once more.
struct SortTokensArgs {
  const int* buckets;  // [lists][seqLen], not negative
  int* order;          // [lists][before + seqLen + after]
  int* chunkOf;        // [lists][seqLen]: of a token, its row in the order / chunk
  int64_t lists;
  int seqLen, chunk, before, after;
};
struct SimilarityArgs {     // x · direction / |x|; zeros give 0
  TensorView x;             // [seqLen, headDim]
  const float* directions;  // [count][headDim], and spareDirections rows of anything
  int count;
  float* out;  // [count][seqLen]
};
inline constexpr int spareDirections = 8;
struct AverageRowsArgs {  // out[b, q, h] = the mean of the rows that a query has, 0 where it has none
  TensorView rows;        // [batch, numRows, numHeads, valueDim] float32
  const int* begin;       // [batch][numHeads][seqLenQ + 1] into lists
  const int* lists;       // [batch][numHeads][numRows]
  TensorView out;         // [batch, seqLenQ, numHeads, valueDim]
};
struct AttentionPlan {  // how a call of attention will run
  const char* kernel;   // "flash attention" or "decode attention"
  const char* product;  // what its products multiply: "float32" or "bfloat16"
  int queriesPerItem, headsPerItem, keysPerTile;
  int64_t items, keyParts;  // work items, and in how many parts each cuts the keys
  int64_t scratchBytesPerThread;
};
struct MergeArgs {  // parts of attention over disjoint key sets
  int parts;
  const TensorView* outs;  // [batch, seqLenQ, numHeads, valueDim]
  const TensorView* lses;  // [batch, numHeads, seqLenQ]
  TensorView out, lse;
};

// What q and k become before they meet. Plain maps work on the headDim values of a row; the two of random features
// (Choromanski et al. 2021) on its products with a projection: e^(w·x − |x|²/2), or max(w·x, 0) + epsilon.
enum class FeatureMap : uint8_t { Identity, Elu, Relu, RandomExp, RandomRelu };

struct LinearStateView {  // all float32, absent: zeros or not asked for
  TensorView values;      // [batch, numHeads, features, valueDim] Σ key featuresᵀ value
  TensorView keys;        // [batch, numHeads, features] Σ key features, where outputs are normalised
  TensorView logScale;    // [batch, numHeads] both are to be multiplied by e^logScale, for RandomExp
};
// S = decay · S + features(k)ᵀ v; out = features(q) S, normalised by features(q) · Σ features(k) + epsilon or not.
// Causal: query i reads what keys ≤ i + offset left behind; else all queries read the sum over all keys.
struct LinearAttentionArgs {
  TensorView q;    // [batch, seqLenQ, numHeads, headDim]
  TensorView k;    // [batch, seqLenKV, numKVHeads, headDim]
  TensorView v;    // [batch, seqLenKV, numKVHeads, valueDim]
  TensorView out;  // [batch, seqLenQ, numHeads, valueDim]
  TensorView lse;  // [batch, numHeads, seqLenQ] float32, may be absent: log of the mean denominator of RandomExp
  FeatureMap map;
  float scaleQ, scaleK;     // factors on q and k before the map
  PackedWeight projection;  // [count, headDim] float32 panels, for random features
  bool hyperbolic;          // RandomExp of x and of −x
  float mapEpsilon;         // of RandomRelu
  const double* gammas;     // [numHeads] decay of each step, or null
  TensorView gates;         // [batch, seqLenKV, numHeads or numKVHeads, headDim] log of the decay, may be absent
  bool normalise;
  float epsilon;
  bool causal;
  int64_t offset;
  LinearStateView before, after;
};
// S += beta kᵀ (v − k S); out = scale · q S (Schlag et al. 2021; Yang et al. 2024), causal as above
struct DeltaRuleArgs {
  TensorView q, k, v, out;  // as in LinearAttentionArgs
  TensorView beta;          // [batch, seqLenKV, numHeads or numKVHeads]
  float scale;
  int64_t offset;
  TensorView before, after;  // [batch, numHeads, headDim, valueDim] float32, may be absent
};
struct ProjectTokensArgs {  // out[b, r, h] = Σ over tokens of projection[h, token, r] · x[b, token, h]
  TensorView x;             // [batch, seqLen, heads, dim]
  TensorView projection;    // [heads, at least seqLen, rows], any float dtype and strides
  TensorView out;           // [batch, rows, heads, dim] float32
};
// Of these ops q, k, v and out have one dtype and a dense last axis; shapes as in AttentionArgs.
struct LunaArgs {  // causal; queries are the last of the keys' positions
  TensorView q, k, v, out;
  TensorView extra;                     // [batch, extraLen, heads, headDim]; numKVHeads divides heads divides numHeads
  TensorView keySums, valueSums;        // [batch, heads, headDim, extraLen], [batch, heads, extraLen, valueDim] float32
  TensorView newKeySums, newValueSums;  // the same after the last key; all four may be absent
  int64_t positions;                    // before the first key
  float scale;
};
struct HierarchicalArgs {
  TensorView q, k, v, out;
  float scale;
  int64_t blockSize;  // 1 to 512
  bool causal, coarsenQueries;
};
inline constexpr int64_t maxLandmarkBlock = 512;
struct LandmarkArgs {
  TensorView q, k, v, out;
  float scale;
  int64_t blockSize;  // 2 to maxLandmarkBlock, the landmark included
  int64_t topK;       // −1: all
};
inline constexpr int64_t maxCopePositions = 1 << 15;
struct CopeArgs {  // causal
  TensorView q, k, v, out;
  TensorView embeddings;                  // [numHeads, positions, headDim] float32
  float scale, gateScale, positionScale;  // of q·k, of q·k in a gate, of q·embedding
};
struct CacheAppendArgs {
  KVCacheView cache;
  int64_t position;  // of the first new key
  TensorView k, v;   // [1, n, numKVHeads, headDim]
  TensorView k2;     // of the second set of keys, where the cache has one
};
struct RopeAppendArgs {  // q turned, and behind the keys of a cache with one set of them k, turned alike, and v
  RopeArgs q;
  CacheAppendArgs append;  // of k as it was
};

struct Ceilings {  // what this machine can do, measured now with this ISA; for bench and doctor
  double float32FlopsPerSecond, bfloat16FlopsPerSecond, readBytesPerSecond;
};

struct ReadArgs {  // a plain read of memory: what a kernel bound by bandwidth is measured against
  const void* data;
  int64_t bytes;
};

struct Backend {
  const char* name;       // "avx512bf16", "cuda", ...
  bool (*isSupported)();  // by the processor we run on
  bool nativeBFloat16;    // bfloat16 products without widening
  void (*copy)(const CopyArgs&, Parallel&);
  void (*embedding)(const EmbeddingArgs&, Parallel&);
  void (*norm)(const NormArgs&, Parallel&);
  void (*rope)(const RopeArgs&, Parallel&);
  void (*gated)(const GatedArgs&, Parallel&);
  void (*binary)(const BinaryArgs&, Parallel&);
  void (*softmax)(const SoftmaxArgs&, Parallel&);
  void (*nll)(const NllArgs&, Parallel&);
  void (*topK)(const TopKArgs&, Parallel&);
  void (*pack)(const PackArgs&, Parallel&);
  void (*matmul)(const MatmulArgs&, Parallel&);
  void (*attention)(const AttentionArgs&, Parallel&);
  void (*planAttention)(const AttentionArgs&, AttentionPlan&);
  void (*mergeAttention)(const MergeArgs&, Parallel&);
  void (*bucketHash)(const BucketHashArgs&, Parallel&);
  void (*sortTokens)(const SortTokensArgs&, Parallel&);  // null on CPUs: ops/bucket_order.h
  void (*similarity)(const SimilarityArgs&, Parallel&);
  void (*averageRows)(const AverageRowsArgs&, Parallel&);
  void (*linearAttention)(const LinearAttentionArgs&, Parallel&);
  void (*deltaRule)(const DeltaRuleArgs&, Parallel&);
  void (*projectTokens)(const ProjectTokensArgs&, Parallel&);
  void (*lunaAttention)(const LunaArgs&, Parallel&);
  void (*hierarchicalAttention)(const HierarchicalArgs&, Parallel&);
  void (*landmarkAttention)(const LandmarkArgs&, Parallel&);
  void (*copeAttention)(const CopeArgs&, Parallel&);
  void (*cacheAppend)(const CacheAppendArgs&, Parallel&);
  void (*ropeAppend)(const RopeAppendArgs&, Parallel&);  // null on CPUs: ops/kv_cache.cc
  void (*summarise)(const SummariseArgs&, Parallel&);
  void (*selectBlocks)(const SelectBlocksArgs&, Parallel&);
  void (*selectByMass)(const SelectByMassArgs&, Parallel&);
  void (*selectLines)(const SelectLinesArgs&, Parallel&);
  void (*ceilings)(Ceilings&, Parallel&);
  void (*read)(const ReadArgs&, Parallel&);
};

}  // namespace longspan
