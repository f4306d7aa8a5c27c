// The addon: one line per op. Signatures are printed from the same lines (scripts/types.mjs).
#include "../ops/machine.h"
#include "../ops/select.h"
#include "formats.h"
#include "js_types.h"
#include "tensor_class.h"

namespace longspan::node {
namespace {

void defineOps(Exports& exports) {
  exports.define<flashAttention>(
      "flashAttention", {"q", "k", "v", "options"},
      "softmax(scale · q kᵀ + mask) v in O(seqLen) memory. q [batch, seqLenQ, numHeads, headDim], k [batch, seqLenKV, "
      "numKVHeads, headDim], v [batch, seqLenKV, numKVHeads, valueDim].");
  exports.define<explainAttention>("explainAttention", {"q", "k", "v", "options"},
                                   "What flashAttention would do: kernel, tiles, flops, bytes.");
  exports.define<lshAttention>("lshAttention", {"qk", "v", "options"},
                               "Shared query-key attention among tokens that hash to nearby places (Reformer).");
  exports.define<lshDecodeAttention>("lshDecodeAttention", {"qk", "v", "buckets", "options"},
                                     "The last token's lshAttention over the hashes of those before it.");
  exports.define<hashSparseAttention>("hashSparseAttention", {"q", "k", "v", "options"},
                                      "Attention between queries and keys of equal hash (SCFA).");
  exports.define<qkSparseAttention>("qkSparseAttention", {"q", "k", "v", "options"},
                                    "Attention between kept queries and keys (SCFA).");
  exports.define<routingAttention>("routingAttention", {"q", "k", "v", "options"},
                                   "Attention inside clusters of queries and keys (Routing Transformer).");
  exports.define<patternMultiplicity>("patternMultiplicity", {"pattern", "q", "kv", "place"},
                                      "How many parts of the pattern let query q see key kv; 0: it does not.");
  exports.define<patternRuns>("patternRuns", {"pattern", "firstQuery", "count", "place"},
                              "What `count` queries see: query, begin, end and multiplicity of each run of keys.");
  exports.define<patternAllowedPairs>("patternAllowedPairs", {"pattern", "place"},
                                      "How many pairs are visible, each as often as it is.");
  exports.define<linformerAttention>("linformerAttention", {"q", "k", "v", "options"},
                                     "Attention over keys and values that a projection along the sequence made few.");
  exports.define<lunaAttention>("lunaAttention", {"q", "k", "v", "options"},
                                "Attention by way of an extra sequence of one length.");
  exports.define<hierarchicalAttention>("hierarchicalAttention", {"q", "k", "v", "options"},
                                        "Near keys one by one, far keys as means over powers of two.");
  exports.define<copeAttention>("copeAttention", {"q", "k", "v", "options"},
                                "Causal attention whose positions are counted by gates.");
  exports.define<landmarkAttention>("landmarkAttention", {"q", "k", "v", "options"},
                                    "Attention to earlier blocks by way of a landmark token at their end.");
  exports.define<mergeAttention>("mergeAttention", {"parts"},
                                 "Attention over the union of disjoint key sets, from the parts' out and lse.");
  exports.define<linearAttention>("linearAttention", {"q", "k", "v", "options"},
                                  "φ(q) (Σ φ(k)ᵀ v) / (φ(q) · Σ φ(k) + epsilon), in time linear in the length.");
  exports.define<performerAttention>("performerAttention", {"q", "k", "v", "options"},
                                     "softmax attention estimated by positive orthogonal random features.");
  exports.define<performerProjection>("performerProjection", {"options"},
                                      "[features, headDim] float32: Gaussian rows, orthogonal in blocks of headDim.");
  exports.define<scatterbrainAttention>("scatterbrainAttention", {"q", "k", "v", "options"},
                                        "Exact softmax scores within a window, random features elsewhere.");
  exports.define<retention>("retention", {"q", "k", "v", "options"},
                            "o = q S with S = gamma · S + scale · kᵀ v at each step (RetNet).");
  exports.define<gatedLinearAttention>("gatedLinearAttention", {"q", "k", "v", "options"},
                                       "o = scale · q S with S = diag(e^gate) S + kᵀ v at each step (GLA).");
  exports.define<deltaNet>("deltaNet", {"q", "k", "v", "options"},
                           "o = scale · q S with S += beta · kᵀ (v − k S) at each step (DeltaNet).");
  exports.define<rope>(
      "rope", {"x", "positions", "options"},
      "Rotary position embedding of x [batch, seqLen, numHeads, headDim]; positions [seqLen] or [batch, seqLen].");
  exports.define<rmsNorm>("rmsNorm", {"x", "weight", "options"}, "x / rms(x) · weight over the last axis.");
  exports.define<layerNorm>("layerNorm", {"x", "weight", "bias", "options"},
                            "(x − mean) / std · weight + bias over the last axis.");
  exports.define<matmul>("matmul", {"a", "b", "options"}, "a [..., m, k] times b [k, n] (or [n, k] with transposeB).");
  exports.define<linear>("linear", {"x", "weight", "options"}, "x [..., k] times a packed weight [n, k] transposed.");
  exports.define<packWeight>("packWeight", {"weight", "options"},
                             "A weight [outFeatures, inFeatures] in the panels that linear reads.");
  exports.define<embedding>("embedding", {"ids", "weight"}, "Rows of weight [vocabSize, hiddenSize] by id.");
  exports.define<gatedActivation>("gatedActivation", {"gate", "up", "options"},
                                  "activation(gate) · up; without up activation(gate).");
  exports.define<add>("add", {"a", "b"}, "a + b, broadcast.");
  exports.define<multiply>("multiply", {"a", "b"}, "a · b, broadcast.");
  exports.define<softmax>("softmax", {"x"}, "softmax over the last axis.");
  exports.define<argmax>("argmax", {"x"}, "Index of the largest along the last axis, int32; the first of equals.");
  exports.define<topK>("topK", {"x", "options"}, "The k largest along the last axis, descending.");
  exports.define<nll>("nll", {"logits", "targets"}, "−log softmax(logits)[target] of each row, float32.");
  exports.define<nllOfChosen>("nllOfChosen", {"logits", "targets"},
                              "nll of targets that an op chose: nobody waits to check them.");
}

void defineSelections(Exports& exports) {
  exports.define<selectQuest>("selectQuest", {"q", "k", "options"}, "Pages of keys with the highest bounds on q·k.");
  exports.define<selectMoba>("selectMoba", {"q", "k", "options"}, "Chunks whose mean key scores highest, and the own.");
  exports.define<selectInfLlm>("selectInfLlm", {"q", "k", "options"},
                               "Blocks whose representative keys score highest for blocks of queries.");
  exports.define<selectNsa>("selectNsa", {"q", "k", "options"},
                            "Blocks with the most attention to compressed keys, for each query and key/value head.");
  exports.define<selectMinferenceBlocks>(
      "selectMinferenceBlocks", {"q", "k", "options"},
      "Blocks of keys whose mean scores highest for the mean of a block of queries.");
  exports.define<selectXAttention>("selectXAttention", {"q", "k", "options"},
                                   "The fewest blocks that hold a share of attention, by sums along antidiagonals.");
  exports.define<selectTopKeys>("selectTopKeys", {"q", "k", "options"}, "The keys that score highest for each query.");
  exports.define<selectVerticalSlash>("selectVerticalSlash", {"q", "k", "options"},
                                      "Columns and diagonals that hold most of the attention of the last queries.");
}

void defineViews(Exports& exports) {
  exports.define<reshape>("reshape", {"tensor", "shape"}, "The same elements in another shape; one extent may be −1.");
  exports.define<transpose>("transpose", {"tensor", "a", "b"}, "A view with two axes exchanged.");
  exports.define<slice>("slice", {"tensor", "starts", "ends"},
                        "A view of [starts, ends); negative numbers count from the end.");
  exports.define<narrow>("narrow", {"tensor", "axis", "start", "length"},
                         "A view of one axis' [start, start + length).");
  exports.define<cast>("cast", {"tensor", "dtype"}, "The tensor in another dtype.");
  exports.define<toDevice>("toDevice", {"tensor", "device"}, "The tensor on another device.");
  exports.define<concatenate>("concatenate", {"tensors", "axis"},
                              "Tensors one behind the other along an axis, in memory of their own.");
  exports.define<contiguous>("contiguous", {"tensor"}, "The tensor in dense row-major memory.");
}

void defineCache(Exports& exports) {
  exports.define<createKVCache>("createKVCache", {"options"},
                                "An empty key/value cache that grows as keys are appended.");
  exports.define<cacheAppend>(
      "cacheAppend", {"cache", "layer", "k", "v", "k2"},
      "Appends k [1, seqLen, numKVHeads, headDim], v and, where there are two sets of keys, k2 to a layer.");
  exports.define<ropeAppend>(
      "ropeAppend", {"cache", "layer", "q", "k", "v", "positions", "options"},
      "rope of q and k, and cacheAppend of k and v, in one; gives q. For a cache with one set of keys.");
  exports.define<cacheAttention>("cacheAttention", {"q", "cache", "layer", "options", "keySet"},
                                 "flashAttention of q [1, seqLenQ, numHeads, headDim] over a layer's keys.");
  exports.define<cacheTruncate>("cacheTruncate", {"cache", "length"}, "Forgets all keys from `length` on.");
  exports.define<beginRecording>("beginRecording", {"step"},
                                 "Keeps the ops that follow instead of running them; step [2] is token and position.");
  exports.define<endRecording>("endRecording", "What was kept, as one graph of the device.");
  exports.define<dropRecording>("dropRecording", "Forgets what was kept.");
  exports.define<isCaptured>("isCaptured", {"recording"}, "[1] int32: 0 where the device could not capture it.");
  exports.define<replay>("replay", {"recording", "cache", "token", "position"},
                         "Runs a recording; false where the cache's memory is no longer that of the recording.");
  exports.define<cacheLength>("cacheLength", {"cache", "layer"}, "Keys in a layer.");
  exports.define<cacheBytes>("cacheBytes", {"cache"}, "Bytes held.");
}

void defineMachine(Exports& exports) {
  exports.define<machine>("machine", "Kernels, threads and limits in use.");
  exports.define<cuda>("cuda", "The CUDA plugin: what it found, or why it is not used.");
  exports.define<deviceReason>("deviceReason", {"device"}, "Why a device other than cpu cannot be used.");
  exports.define<requireDevice>(
      "requireDevice", {"op", "device"},
      "The device's name; none given is LONGSPAN_DEVICE, else cpu. Throws unless tensors can live there.");
  exports.define<deviceMemoryOf>("deviceMemory", {"device"}, "The memory of a device.");
  exports.define<memory>("memory", "The memory budget and what is used of it.");
  exports.define<setMemoryBudget>("setMemoryBudget", {"bytes"}, "An own limit besides the system's; 0 for none.");
  exports.define<setQueueBytes>("setQueueBytes", {"bytes"}, "Limit of pending output bytes.");
  exports.define<setThreads>("setThreads", {"threads"}, "Compute threads; 0 for the default.");
  exports.define<plainRead>("plainRead", {"tensor"}, "Reads the tensor's bytes once, to measure against.");
  exports.define<ceilings>("ceilings",
                           "[float32 FLOP/s, bfloat16 FLOP/s, bytes read per second] of this machine, measured now.");
}

}  // namespace

Napi::Object init(Napi::Env env, Napi::Object target) {
  Environment::start(env);
  Exports exports(env, target);
  exports.declare("import type { Tensor } from \"./tensor.js\";");
  for (const char* handle : {"PackedMatrix", "KVCache", "Recording", "SafetensorsFile"})
    exports.declare(concat("declare const is", handle,
                           ": unique symbol;\n/** A native value; let go of it with dispose. */\nexport interface ",
                           handle, " { readonly [is", handle, "]: true }")
                        .c_str());
  exports.declare(
      concat("/** What lib/patterns builds. */\nexport interface PatternSpec ", Js<PatternSpec>::declaration())
          .c_str());
  defineTensorClass(exports);
  defineOps(exports);
  defineSelections(exports);
  defineViews(exports);
  defineCache(exports);
  defineFormats(exports);
  defineMachine(exports);
  target.Set("signatures", exports.signatures());
  return target;
}

NODE_API_MODULE(longspan, init)

}  // namespace longspan::node
