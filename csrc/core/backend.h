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
  int64_t* badIndex;  // −1 before; after: the lowest place in ids that holds no id. Its row is zero; the op fails
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
  TensorView out;  // x's dtype; may be x
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
  int64_t* badIndex;   // as in EmbeddingArgs; out is NaN there
};
struct TopKArgs {  // the k largest of the last axis, descending; ties: the lower index first; NaN last. argmax is k = 1
  TensorView x;    // [rows, n] float32, float16 or bfloat16
  TensorView values;   // [rows, k] any float dtype, may be absent
  TensorView indices;  // [rows, k] int32
};

// Weights are packed once, at load, the same way for every CPU: panels of 64 output features, zero-padded to 64,
// ascending in memory in the order in which a product reads them:
//   float32, float16 [outFeatures / 64][inFeatures][64]      bfloat16 [outFeatures / 64][inFeatures / 2][64][2]
inline constexpr int64_t panelWidth = 64;
// Bytes of a packed weight; the memory must be aligned to 64.
[[gnu::always_inline]] constexpr size_t packedBytes(int64_t outFeatures, int64_t inFeatures, DType dtype) {
  const int64_t panels = (outFeatures + panelWidth - 1) / panelWidth;
  const int64_t depth = dtype == DType::BFloat16 ? (inFeatures + 1) / 2 * 2 : inFeatures;
  return size_t(panels * panelWidth * depth * sizeOf(dtype));
}
struct PackArgs {
  TensorView weight;  // [outFeatures, inFeatures], any strides, float32, float16 or bfloat16
  void* packed;       // packedBytes(...) bytes
  DType dtype;        // of the panels: float32, float16 or bfloat16
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
  int offset;       // position of query 0 among the keys: seqLenKV − seqLenQ, or where a slice of the queries begins
  bool accumulate;  // out (float32) and lse hold another part: this one is merged into them, sink logits aside
  // Instead of strides over the batch: q, k, v, out and lse have batch = sequences of at most shape[1] rows; the
  // pattern has one entry a sequence, with its own lengths.
  const SequenceView* sequences;
  int pageSize;
};
struct MergeArgs {  // parts of attention over disjoint key sets
  int parts;
  const TensorView* outs;  // [batch, seqLenQ, numHeads, valueDim]
  const TensorView* lses;  // [batch, numHeads, seqLenQ]
  TensorView out, lse;
};
struct CacheAppendArgs {
  KVCacheView cache;
  int64_t position;  // of the first new key
  TensorView k, v;   // [1, n, numKVHeads, headDim]
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
  void (*mergeAttention)(const MergeArgs&, Parallel&);
  void (*cacheAppend)(const CacheAppendArgs&, Parallel&);
  void (*summarise)(const SummariseArgs&, Parallel&);
  void (*selectBlocks)(const SelectBlocksArgs&, Parallel&);
  void (*selectByMass)(const SelectByMassArgs&, Parallel&);
  void (*selectLines)(const SelectLinesArgs&, Parallel&);
  void (*ceilings)(Ceilings&, Parallel&);
  void (*read)(const ReadArgs&, Parallel&);
};

}  // namespace longspan
