// The public ops. A signature here is the whole contract: the N-API binding reads it by type traits, and
// lib/native.d.ts is printed from it. Ops check, allocate and enqueue; they return at once.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "compressed_options.h"
#include "hashed_options.h"
#include "linear_options.h"
#include "option_types.h"

namespace longspan {

struct PatternSpec {  // what lib/patterns builds; concrete once the lengths are known (concrete_pattern.cc)
  static constexpr const char* typeName = "PatternSpec";
  std::string kind;
  std::optional<int64_t> before, after, tokens, size, shift, rate, skip, period, first, end;
  std::optional<int64_t> blockQ, blockKV, firstRow, firstQuery, firstKey;
  bool causal = false, zeroPadding = false;
  std::vector<int64_t> segments, rates;
  std::string headOffset = "mod";
  std::optional<Integers> bounds, rowStart;
  std::optional<Tensor> columns, mask;
  std::vector<PatternSpec> of;
  static constexpr auto fields = std::tuple{
      field("kind", &PatternSpec::kind, "full, causal, window, sinks, prefix, chunks … (csrc/ops/concrete_pattern.cc)"),
      field("before", &PatternSpec::before, "keys before the own position; chunks: whole chunks"),
      field("after", &PatternSpec::after, "keys after the own position; chunks: whole chunks"),
      field("tokens", &PatternSpec::tokens, "sinks, prefix: first tokens that stay visible; augmented: last keys"),
      field("size", &PatternSpec::size,
            "chunks: positions in a chunk; diagonals: blocks that lines are rounded out to"),
      field("shift", &PatternSpec::shift, "chunks: by how much the first one is shorter"),
      field("rate", &PatternSpec::rate, "dilatedWindow: distance from a visible key to the next"),
      field("skip", &PatternSpec::skip, "dilatedWindow: nearest keys that are left out, in rates"),
      field("period", &PatternSpec::period, "residues: keys with key % period in [first, end)"),
      field("first", &PatternSpec::first,
            "residues: the first remainder; distances: the least of query − key; chunkDistances: of their chunks"),
      field("end", &PatternSpec::end, "residues, distances, chunkDistances: behind the last one"),
      field("blockQ", &PatternSpec::blockQ, "blocks: positions in a row of blocks"),
      field("blockKV", &PatternSpec::blockKV, "blocks: keys in a column of blocks"),
      field("firstRow", &PatternSpec::firstRow, "blocks: the row of blocks the lists begin with"),
      field("firstQuery", &PatternSpec::firstQuery, "elements: position of the mask's first row"),
      field("firstKey", &PatternSpec::firstKey, "elements: position of the mask's first column"),
      field("causal", &PatternSpec::causal, "chunks, documents, longnet: no later key"),
      field("segments", &PatternSpec::segments, "longnet: segment lengths"),
      field("rates", &PatternSpec::rates, "longnet: dilation of each segment length"),
      field("headOffset", &PatternSpec::headOffset, "longnet: \"mod\" (the paper) or \"block\" (torchscale)"),
      field("zeroPadding", &PatternSpec::zeroPadding,
            "longnet: segments are filled up with keys of zeros (torchscale)"),
      field("bounds", &PatternSpec::bounds, "documents: where each begins; keys, queries: begin and end of each span"),
      field("rowStart", &PatternSpec::rowStart, "blocks: where each row's list begins in columns"),
      field("columns", &PatternSpec::columns,
            "blocks: [entries] int32 with rowStart, or [batch, heads, rows, perRow], rows ending in −1; diagonals: "
            "[batch, heads, 1, count], distances before a query"),
      field("mask", &PatternSpec::mask, "elements: [rows, columns] uint8"),
      field("of", &PatternSpec::of, "union, intersect, sum, perHead, augmented, blocks (within): the parts"),
  };
};

struct FlashAttentionOptions {
  bool causal = false;
  std::optional<WindowSpec> window;
  std::optional<PatternSpec> pattern;
  std::optional<double> scale, softcap;
  std::optional<Tensor> alibiSlopes, bias, sinkLogits;
  std::optional<Tensor> queryScale, distanceBias, expireSpans;
  int64_t firstDistance = 0;
  double expireRamp = 32;
  std::optional<Integers> cuSeqLensQ, cuSeqLensKV, seqLensKV;
  std::optional<Tensor> blockTable;
  bool returnLse = false;
  static constexpr auto fields = std::tuple{
      field("causal", &FlashAttentionOptions::causal,
            "a query sees no later key; the last query is aligned with the last key"),
      field("window", &FlashAttentionOptions::window,
            "keys before (and after) the own position that a query sees; n means {before: n, after: causal ? 0 : n}"),
      field("pattern", &FlashAttentionOptions::pattern, "which keys a query sees; instead of causal and window"),
      field("scale", &FlashAttentionOptions::scale, "factor on q·k; headDim ** -0.5 if absent"),
      field("softcap", &FlashAttentionOptions::softcap, "scores become softcap · tanh(score / softcap)"),
      field("alibiSlopes", &FlashAttentionOptions::alibiSlopes,
            "[numHeads] float32: slope · |key position − query position| is taken from the scores"),
      field("bias", &FlashAttentionOptions::bias,
            "broadcastable to [batch, numHeads, seqLenQ, seqLenKV], added to the scores"),
      field("sinkLogits", &FlashAttentionOptions::sinkLogits,
            "[numHeads] float32: one more logit per head in the softmax, without a value (gpt-oss)"),
      field("queryScale", &FlashAttentionOptions::queryScale,
            "broadcastable to [batch, numHeads, seqLenQ]: factor on a query's scores (by head, by log n)"),
      field("distanceBias", &FlashAttentionOptions::distanceBias,
            "[numHeads or 1, distances], added to the scores by query position − key position; beyond the table its "
            "ends"),
      field("firstDistance", &FlashAttentionOptions::firstDistance, "the distance of distanceBias[…, 0]; 0 if absent"),
      field("expireSpans", &FlashAttentionOptions::expireSpans,
            "[batch, seqLenKV]: a key is seen in full to this distance (Expire-Span)"),
      field("expireRamp", &FlashAttentionOptions::expireRamp, "over how many positions its weight then falls to 0; 32"),
      field("cuSeqLensQ", &FlashAttentionOptions::cuSeqLensQ,
            "[sequences + 1]: sequences behind each other in q; row r of sequence s is cuSeqLensQ[s] + r"),
      field("cuSeqLensKV", &FlashAttentionOptions::cuSeqLensKV, "the same for k and v; cuSeqLensQ if absent"),
      field("seqLensKV", &FlashAttentionOptions::seqLensKV, "[batch]: only so many keys of each sequence are there"),
      field("blockTable", &FlashAttentionOptions::blockTable,
            "[batch, blocks] int32: k and v are pages [numPages, pageSize, numKVHeads, dim]; block b of a sequence is "
            "page blockTable[sequence, b]"),
      field("returnLse", &FlashAttentionOptions::returnLse,
            "also give lse [batch, numHeads, seqLenQ] float32, natural log"),
  };
};
struct AttentionOutput {  // a Tensor when lse was not asked for
  Tensor out;
  std::optional<Tensor> lse;
};
struct AttentionPart {
  Tensor out, lse;
  static constexpr auto fields = std::tuple{
      field("out", &AttentionPart::out, "[batch, seqLenQ, numHeads, valueDim]"),
      field("lse", &AttentionPart::lse, "[batch, numHeads, seqLenQ] float32"),
  };
};

struct AttentionPartPlan {  // how one part of a pattern will run
  std::string pattern, kernel, product;
  int64_t queriesPerItem = 0, headsPerItem = 0, keysPerTile = 0, items = 0, keyParts = 0, scratchBytesPerThread = 0;
  double allowedPairs = 0;
  static constexpr auto fields = std::tuple{
      field("pattern", &AttentionPartPlan::pattern, "the struct that is walked"),
      field("kernel", &AttentionPartPlan::kernel, "flash attention or decode attention"),
      field("product", &AttentionPartPlan::product, "dtype that the products multiply; sums are float32"),
      field("queriesPerItem", &AttentionPartPlan::queriesPerItem, "positions of a work item"),
      field("headsPerItem", &AttentionPartPlan::headsPerItem, "query heads that share its keys"),
      field("keysPerTile", &AttentionPartPlan::keysPerTile, "keys in a tile"),
      field("items", &AttentionPartPlan::items, "work items"),
      field("keyParts", &AttentionPartPlan::keyParts, "in how many parts of the keys an item is cut"),
      field("scratchBytesPerThread", &AttentionPartPlan::scratchBytesPerThread, "memory beside inputs and outputs"),
      field("allowedPairs", &AttentionPartPlan::allowedPairs, "query-key pairs, over all sequences and query heads"),
  };
};
struct AttentionExplanation {
  std::string isa;
  double flops = 0, bytes = 0;
  std::vector<AttentionPartPlan> parts;
  static constexpr auto fields = std::tuple{
      field("isa", &AttentionExplanation::isa, "instruction set of the kernels"),
      field("flops", &AttentionExplanation::flops, "2 · (headDim + valueDim) for each allowed pair"),
      field("bytes", &AttentionExplanation::bytes, "inputs read once, the output written once"),
      field("parts", &AttentionExplanation::parts, "what is summed; one for a pattern that is no sum"),
  };
};

struct RopeOptions {
  std::optional<Numbers> frequencies;
  double attentionScale = 1, positionStep = 1, positionOffset = 0;
  std::string layout = "half";
  static constexpr auto fields = std::tuple{
      field("frequencies", &RopeOptions::frequencies,
            "[rotaryDim / 2] radians per position; dims beyond rotaryDim pass through"),
      field("attentionScale", &RopeOptions::attentionScale, "factor on the rotated dims"),
      field("layout", &RopeOptions::layout,
            "\"half\" pairs dim i with i + rotaryDim / 2, \"interleaved\" pairs 2i with 2i + 1"),
      field("positionStep", &RopeOptions::positionStep,
            "a position p counts as p · positionStep + positionOffset, which may be a fraction; 1 if absent"),
      field("positionOffset", &RopeOptions::positionOffset, "0 if absent"),
  };
};

struct NormOptions {
  double epsilon = 1e-5;
  static constexpr auto fields = std::tuple{field("epsilon", &NormOptions::epsilon, "added to the variance")};
};

struct PackedMatrix {  // a weight [outFeatures, inFeatures] in panels
  std::shared_ptr<Storage> storage;
  DType dtype = DType::Float32;
  int64_t outFeatures = 0, inFeatures = 0;
};
struct PackOptions {
  std::optional<std::string> dtype;
  static constexpr auto fields = std::tuple{
      field("dtype", &PackOptions::dtype, "of the panels: a float dtype, or q8_0 or q4_0; the weight's own if absent")};
};
struct MatmulOptions {
  std::optional<Tensor> bias, residual;
  std::string activation = "none";
  bool transposeB = false;
  static constexpr auto fields = std::tuple{
      field("bias", &MatmulOptions::bias, "[n], added to every row"),
      field("residual", &MatmulOptions::residual, "[..., m, n], added after the activation"),
      field("activation", &MatmulOptions::activation, "none, silu, gelu, geluTanh or relu, after the bias"),
      field("transposeB", &MatmulOptions::transposeB, "b is [n, k] instead of [k, n]"),
  };
};

struct GatedOptions {
  std::string activation = "silu";
  static constexpr auto fields =
      std::tuple{field("activation", &GatedOptions::activation, "silu, gelu (erf), geluTanh or relu")};
};

struct TopKOptions {
  int64_t k = 1;
  static constexpr auto fields = std::tuple{field("k", &TopKOptions::k, "how many")};
};
struct TopKOutput {
  Tensor values, indices;
  static constexpr auto fields = std::tuple{
      field("values", &TopKOutput::values, "[..., k] float32, descending"),
      field("indices", &TopKOutput::indices, "[..., k] int32"),
  };
};

AttentionOutput flashAttention(const Tensor& q, const Tensor& k, const Tensor& v, const FlashAttentionOptions& options);
HashedAttentionOutput lshAttention(const Tensor& qk, const Tensor& v, const LshAttentionOptions& options);
HashedAttentionOutput lshDecodeAttention(const Tensor& qk, const Tensor& v, const Tensor& buckets,
                                         const LshDecodeAttentionOptions& options);
AttentionOutput hashSparseAttention(const Tensor& q, const Tensor& k, const Tensor& v,
                                    const HashSparseAttentionOptions& options);
AttentionOutput qkSparseAttention(const Tensor& q, const Tensor& k, const Tensor& v,
                                  const QkSparseAttentionOptions& options);
Tensor routingAttention(const Tensor& q, const Tensor& k, const Tensor& v, const RoutingAttentionOptions& options);
// Questions about a pattern at given lengths: one pair, and how many pairs in all.
struct PatternPlace {
  int64_t seqLenQ = 0, seqLenKV = 0, batch = 0, head = 0;
  std::optional<int64_t> numHeads, batches;
  static constexpr auto fields = std::tuple{
      field("seqLenQ", &PatternPlace::seqLenQ, "queries"),
      field("seqLenKV", &PatternPlace::seqLenKV, "keys"),
      field("batch", &PatternPlace::batch, "which sequence of the batch"),
      field("head", &PatternPlace::head, "which query head"),
      field("numHeads", &PatternPlace::numHeads, "query heads; head + 1 if absent"),
      field("batches", &PatternPlace::batches, "sequences in the batch; batch + 1 if absent"),
  };
};
// What the same call of flashAttention would do.
AttentionExplanation explainAttention(const Tensor& q, const Tensor& k, const Tensor& v,
                                      const FlashAttentionOptions& options);
// In how many parts of the sum does query q see key kv? 0: it does not.
int64_t patternMultiplicity(const PatternSpec& spec, int64_t q, int64_t kv, const PatternPlace& place);
// Runs of keys of equal multiplicity above 0, for `count` queries: query, begin, end, multiplicity of each.
std::vector<double> patternRuns(const PatternSpec& spec, int64_t firstQuery, int64_t count, const PatternPlace& place);
double patternAllowedPairs(const PatternSpec& spec, const PatternPlace& place);
Tensor linformerAttention(const Tensor& q, const Tensor& k, const Tensor& v, const LinformerOptions& options);
LunaOutput lunaAttention(const Tensor& q, const Tensor& k, const Tensor& v, const LunaOptions& options);
Tensor hierarchicalAttention(const Tensor& q, const Tensor& k, const Tensor& v, const HierarchicalOptions& options);
Tensor landmarkAttention(const Tensor& q, const Tensor& k, const Tensor& v, const LandmarkOptions& options);
Tensor copeAttention(const Tensor& q, const Tensor& k, const Tensor& v, const CopeOptions& options);
AttentionPart mergeAttention(const std::vector<AttentionPart>& parts);
StatefulOutput<LinearState> linearAttention(const Tensor& q, const Tensor& k, const Tensor& v,
                                            const LinearAttentionOptions& options);
StatefulOutput<LinearState> performerAttention(const Tensor& q, const Tensor& k, const Tensor& v,
                                               const PerformerAttentionOptions& options);
Tensor performerProjection(const PerformerProjectionOptions& options);
Tensor scatterbrainAttention(const Tensor& q, const Tensor& k, const Tensor& v,
                             const ScatterbrainAttentionOptions& options);
StatefulOutput<Tensor> retention(const Tensor& q, const Tensor& k, const Tensor& v, const RetentionOptions& options);
StatefulOutput<Tensor> gatedLinearAttention(const Tensor& q, const Tensor& k, const Tensor& v,
                                            const GatedLinearAttentionOptions& options);
StatefulOutput<Tensor> deltaNet(const Tensor& q, const Tensor& k, const Tensor& v, const DeltaNetOptions& options);
Tensor rope(const Tensor& x, const Integers& positions, const RopeOptions& options);
Tensor rmsNorm(const Tensor& x, const std::optional<Tensor>& weight, const NormOptions& options);
Tensor layerNorm(const Tensor& x, const std::optional<Tensor>& weight, const std::optional<Tensor>& bias,
                 const NormOptions& options);
Tensor matmul(const Tensor& a, const Tensor& b, const MatmulOptions& options);
Tensor linear(const Tensor& x, const PackedMatrix& weight, const MatmulOptions& options);
PackedMatrix packWeight(const Tensor& weight, const PackOptions& options);
Tensor embedding(const Integers& ids, const Tensor& weight);
Tensor gatedActivation(const Tensor& gate, const std::optional<Tensor>& up, const GatedOptions& options);
Tensor add(const Tensor& a, const Tensor& b);
Tensor multiply(const Tensor& a, const Tensor& b);
Tensor softmax(const Tensor& x);
Tensor argmax(const Tensor& x);
TopKOutput topK(const Tensor& x, const TopKOptions& options);
Tensor nll(const Tensor& logits, const Integers& targets);
Tensor nllOfChosen(const Tensor& logits, const Integers& targets);

// Views share memory; reshape copies only where strides demand it.
Tensor reshape(const Tensor& tensor, const std::vector<int64_t>& shape);
Tensor transpose(const Tensor& tensor, int64_t a, int64_t b);
Tensor slice(const Tensor& tensor, const std::vector<int64_t>& starts, const std::vector<int64_t>& ends);
Tensor narrow(const Tensor& tensor, int64_t axis, int64_t start, int64_t length);
Tensor cast(const Tensor& tensor, const std::string& dtype);
Tensor toDevice(const Tensor& tensor, const std::string& device);
Tensor contiguous(const Tensor& tensor);
Tensor concatenate(const std::vector<Tensor>& tensors, int64_t axis);
DType parseDType(const std::string& name, const char* op);
DType parsePackedDType(const std::string& name, const char* op);  // also those that only packed weights have

// --- the key/value cache of a model: one length per layer, lane layout (core/kv_cache_view.h)
struct KVCacheOptions {
  int64_t numLayers = 0, numKVHeads = 0, headDim = 0;
  std::optional<int64_t> valueDim;
  std::string dtype = "float32";
  int64_t keySets = 1;
  std::optional<std::string> device;
  static constexpr auto fields = std::tuple{
      field("numLayers", &KVCacheOptions::numLayers, "layers that keep keys and values"),
      field("numKVHeads", &KVCacheOptions::numKVHeads, "key/value heads of a layer"),
      field("headDim", &KVCacheOptions::headDim, "width of a key"),
      field("valueDim", &KVCacheOptions::valueDim, "width of a value; headDim if absent"),
      field("dtype", &KVCacheOptions::dtype,
            "float32 or bfloat16; on a CUDA device also int8 or float8 (e4m3), with a scale for each row"),
      field("device", &KVCacheOptions::device, "where it is kept; LONGSPAN_DEVICE, else cpu, if absent"),
      field("keySets", &KVCacheOptions::keySets, "1, or 2: the same keys turned in two ways, beside one set of values"),
  };
};
struct KVCacheStorage;
struct KVCache {
  std::shared_ptr<KVCacheStorage> storage;
};
KVCache createKVCache(const KVCacheOptions& options);
void cacheAppend(const KVCache& cache, int64_t layer, const Tensor& k, const Tensor& v,
                 const std::optional<Tensor>& k2);
// Appends k, turned, and v; q turned. For caches with one set of keys.
Tensor ropeAppend(const KVCache& cache, int64_t layer, const Tensor& q, const Tensor& k, const Tensor& v,
                  const Integers& positions, const RopeOptions& options);
AttentionOutput cacheAttention(const Tensor& q, const KVCache& cache, int64_t layer,
                               const FlashAttentionOptions& options, const std::optional<int64_t>& keySet);
struct RecordingStorage;
struct Recording {  // of the ops of one token's pass (recording.h)
  std::shared_ptr<RecordingStorage> storage;
};
// From here on ops of this thread are kept, not enqueued; ropeAppend, cacheAppend and cacheAttention work at the
// position in step[1].
void beginRecording(const Tensor& step);
Recording endRecording();
void dropRecording();
Tensor isCaptured(const Recording& recording);  // [1] int32: 1, or 0 where the device could not
// Runs it with this token and position, which must be the cache's length; false where the cache's memory has changed.
bool replay(const Recording& recording, const KVCache& cache, int64_t token, int64_t position);
void cacheTruncate(const KVCache& cache, int64_t length);
int64_t cacheLength(const KVCache& cache, int64_t layer);
int64_t cacheBytes(const KVCache& cache);

}  // namespace longspan
