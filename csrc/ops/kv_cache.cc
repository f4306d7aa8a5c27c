// The key/value cache: append, attend, truncate. Memory is taken when keys are appended, never for a length promised.
#include "kv_cache.h"

#include <algorithm>

#include "attention_call.h"
#include "machine.h"
#include "recording.h"
#include "rope.h"

namespace longspan {
namespace {

struct LayerSnapshot {  // what a task needs, unaffected by later appends
  std::vector<std::shared_ptr<void>> slabs;
  std::vector<void*> addresses;
  KVCacheView view;
};

int64_t roomOf(const KVCacheStorage::Layer& layer) { return int64_t(layer.slabs.size()) * KVCacheView::keysPerSlab; }

LayerSnapshot snapshot(const KVCacheStorage& storage, const KVCacheStorage::Layer& layer,
                       const RecordingStorage* recording = nullptr) {
  LayerSnapshot shot;
  shot.slabs = layer.slabs;
  for (const auto& slab : layer.slabs) shot.addresses.push_back(slab.get());
  shot.view.dtype = storage.dtype;
  shot.view.coding = storage.coding;
  shot.view.numKVHeads = int(storage.numKVHeads);
  shot.view.headDim = int(storage.headDim);
  shot.view.valueDim = int(storage.valueDim);
  shot.view.length = layer.length;
  shot.view.keySets = storage.keySets;
  if (recording) {
    shot.view.length = roomOf(layer);
    shot.view.lengthAt = recording->position();
  }
  return shot;
}

// Recorded attention works out what the queries see when it runs, for patterns that are known by their lengths alone.
void requireRecordable(const AttentionCall& call) {
  const Pattern& pattern = call.pattern->parts[0];
  const bool simple = pattern.kind == Pattern::Kind::Full || pattern.kind == Pattern::Kind::Window;
  if (call.pattern->parts.size() == 1 && !pattern.each && simple && !call.bias && !call.queryScale) return;
  throw Error(Code::Unsupported, concat(call.op, ": only full, causal and window attention can be recorded"))
      .with("feature", "recording this pattern")
      .with("known", "full, causal, window");
}

KVCacheStorage::Layer& layerOf(const char* op, const KVCache& cache, int64_t layer) {
  auto& layers = cache.storage->layers;
  if (layer < 0 || layer >= int64_t(layers.size()))
    badArgument(op, "layer", concat("layer must be in [0, ", layers.size(), "), got ", layer));
  return layers[layer];
}

std::shared_ptr<Storage> newOrder(const KVCacheStorage& storage) {
  auto order = std::make_shared<Storage>();
  order->device = storage.device;
  return order;
}

Tensor orderOf(const KVCacheStorage::Layer& layer) {
  Tensor tensor;
  tensor.storage = layer.order;
  return tensor;
}

void requireSize(const char* op, const char* name, int64_t value, int64_t limit) {
  if (value < 1 || value > limit) badArgument(op, name, concat(name, " must be in [1, ", limit, "], got ", value));
}

void setDType(const char* op, const std::string& name, KVCacheStorage& storage) {
  storage.dtype = DType::Float32;
  storage.coding = name == "int8" ? KVCoding::Int8 : name == "float8" ? KVCoding::Float8 : KVCoding::Plain;
  if (storage.coding != KVCoding::Plain) {
    if (!storage.device.isCpu()) return;
    throw Error(Code::Unsupported, concat(op, ": a key/value cache in ", name,
                                          " needs a CUDA device; on the CPU it is float32 or bfloat16"))
        .with("feature", concat("a key/value cache in ", name, " on the CPU"))
        .with("known", "float32, bfloat16");
  }
  if (name == "float32") return;
  storage.dtype = DType::BFloat16;
  if (name == "bfloat16") return;
  const char* expected = "float32, bfloat16, int8 or float8";
  throw Error(Code::DType, concat(op, ": dtype must be ", expected, ", got ", name))
      .with("op", op)
      .with("argument", "dtype")
      .with("expected", expected)
      .with("actual", name);
}

// k [1, seqLen, numKVHeads, headDim] and v [1, seqLen, numKVHeads, valueDim] as the cache was made for them
void requireRows(const char* op, Dims& dims, const KVCacheStorage& storage, const Tensor& k, const Tensor& v) {
  auto [batch, seqLen, numKVHeads, headDim] = dims.bind<4>(k, "k", "[batch, seqLen, numKVHeads, headDim]");
  const int64_t valueDim = dims.bind<4>(v, "v", "[batch, seqLen, numKVHeads, valueDim]")[3];
  dims.require(batch == 1 && numKVHeads == storage.numKVHeads && headDim == storage.headDim, "k",
               concat("k must be [1, seqLen, ", storage.numKVHeads, ", ", storage.headDim, "] as the cache was made"),
               toString(k.shape));
  dims.require(valueDim == storage.valueDim, "v",
               concat("valueDim must be ", storage.valueDim, " as the cache was made"), toString(v.shape));
  requireDType(op, "k", k, floatDTypes);
  requireDType(op, "v", v, floatDTypes);
}

struct Append {  // of rows for which there is room
  LayerSnapshot shot;
  int64_t position, length;  // of the layer, before and after

  CacheAppendArgs arguments(const Tensor& k, const Tensor& v, const Tensor& k2) const {
    KVCacheView view = shot.view;
    view.slabs = shot.addresses.data();
    return {view, position, k.view(), v.view(), k2.view()};
  }
};

Append prepare(const KVCacheStorage& storage, KVCacheStorage::Layer& layer, int64_t rows) {
  Append append{{}, layer.length, layer.length + rows};
  const size_t slabBytes = size_t(snapshot(storage, layer).view.slabBytes());
  while (roomOf(layer) < append.length)
    layer.slabs.push_back(allocate(storage.device, slabBytes, "the key/value cache", true));
  append.shot = snapshot(storage, layer, currentRecording());
  return append;
}

// It is enqueued.
void commit(const Append& append, KVCacheStorage::Layer& layer) {
  if (RecordingStorage* recording = currentRecording())
    recording->slabs.push_back(layer.slabs);
  else
    layer.length = append.length;
}

bool canRopeAppend(const Backend& table) {
  return table.ropeAppend || hasRows<&Backend::rope, &Backend::cacheAppend>(table);
}

}  // namespace

KVCache createKVCache(const KVCacheOptions& options) {
  const char* op = "createKVCache";
  requireSize(op, "numLayers", options.numLayers, 4096);
  requireSize(op, "numKVHeads", options.numKVHeads, 65536);
  requireSize(op, "headDim", options.headDim, 256);
  requireSize(op, "valueDim", options.valueDim.value_or(options.headDim), 256);
  requireSize(op, "keySets", options.keySets, 2);
  auto storage = std::make_shared<KVCacheStorage>();
  storage->device = parseDevice(requireDevice(op, options.device), op);
  setDType(op, options.dtype, *storage);
  storage->numKVHeads = options.numKVHeads;
  storage->headDim = options.headDim;
  storage->valueDim = options.valueDim.value_or(options.headDim);
  storage->keySets = int(options.keySets);
  storage->layers.resize(options.numLayers);
  for (auto& layer : storage->layers) layer.order = newOrder(*storage);
  return {storage};
}

void cacheAppend(const KVCache& cache, int64_t layerIndex, const Tensor& k, const Tensor& v,
                 const std::optional<Tensor>& k2) {
  const char* op = "cacheAppend";
  KVCacheStorage& storage = *cache.storage;
  auto& layer = layerOf(op, cache, layerIndex);
  Dims dims(op);
  requireRows(op, dims, storage, k, v);
  if (k2.has_value() != (storage.keySets == 2))
    badArgument(op, "k2", concat("the cache was made with keySets = ", storage.keySets));
  if (k2) {
    dims.require(k2->shape == k.shape, "k2", concat("k2 must be as k, ", toString(k.shape)), toString(k2->shape));
    requireDType(op, "k2", *k2, floatDTypes);
  }
  const Tensor second = k2.value_or(k);
  const Append append = prepare(storage, layer, k.shape[1]);
  Tensor order = orderOf(layer);
  enqueue(op, hasRows<&Backend::cacheAppend>, {&k, &v, &second, &order}, {&order},
          [append, k, v, second](const Backend& table, Parallel& parallel) {
            table.cacheAppend(append.arguments(k, v, second), parallel);
          });
  commit(append, layer);
}

Tensor ropeAppend(const KVCache& cache, int64_t layerIndex, const Tensor& q, const Tensor& k, const Tensor& v,
                  const Integers& positions, const RopeOptions& options) {
  const char* op = "ropeAppend";
  KVCacheStorage& storage = *cache.storage;
  auto& layer = layerOf(op, cache, layerIndex);
  if (storage.keySets != 1) badArgument(op, "cache", "the cache has two sets of keys: turn them, then append both");
  Dims dims(op);
  const int64_t headDim = dims.bind<4>(q, "q", "[batch, seqLen, numHeads, headDim]")[3];
  requireDType(op, "q", q, floatDTypes);
  requireRows(op, dims, storage, k, v);
  const Rotation rotation = rotationOf(op, dims, headDim, positions, options, q.device());
  Tensor out = newOutput(op, q.dtype, q.shape, q.device()), order = orderOf(layer);
  std::vector<Tensor*> outputs = {&out, &order};
  std::optional<Tensor> turned;  // keys on their way, where no kernel does all
  if (!backendOf(q.device()).ropeAppend)
    outputs.push_back(&turned.emplace(newOutput(op, k.dtype, k.shape, k.device())));
  const Append append = prepare(storage, layer, k.shape[1]);
  Work work = [=](const Backend& table, Parallel& parallel) {
    const std::vector<double> frequencies = rotation.readFrequencies(parallel);
    const RopeArgs queries = rotation.arguments(q, out, frequencies);
    if (table.ropeAppend) return table.ropeAppend({queries, append.arguments(k, v, k)}, parallel);
    table.rope(queries, parallel);
    table.rope(rotation.arguments(k, *turned, frequencies), parallel);
    table.cacheAppend(append.arguments(*turned, v, *turned), parallel);
  };
  enqueue(op, canRopeAppend, {&q, &k, &v, &rotation.positions, &order}, outputs, std::move(work), rotation.lists());
  commit(append, layer);
  return out;
}

AttentionOutput cacheAttention(const Tensor& q, const KVCache& cache, int64_t layerIndex,
                               const FlashAttentionOptions& options, const std::optional<int64_t>& keySet) {
  const char* op = "cacheAttention";
  KVCacheStorage& storage = *cache.storage;
  auto& layer = layerOf(op, cache, layerIndex);
  Dims dims(op);
  auto [batch, seqLenQ, numHeads, headDim] = dims.bind<4>(q, "q", "[batch, seqLenQ, numHeads, headDim]");
  dims.require(batch == 1 && headDim == storage.headDim, "q",
               concat("q must be [1, seqLenQ, numHeads, ", storage.headDim, "] as the cache was made"),
               toString(q.shape));
  requireDType(op, "q", q, floatDTypes);
  const int set = int(keySet.value_or(0));
  if (set < 0 || set >= storage.keySets)
    badArgument(op, "keySet", concat("keySet must be in [0, ", storage.keySets, "), got ", *keySet));
  RecordingStorage* recording = currentRecording();
  AttentionCall call = attentionCall(op, dims, q, recording ? roomOf(layer) : layer.length, storage.numKVHeads,
                                     storage.valueDim, options);
  if (recording) requireRecordable(call);
  allocateOutputs(call, options.returnLse);
  if (hasSequences(options)) badArgument(op, "seqLensKV", "a cache holds one sequence: it takes no lists of lengths");
  std::vector<Tensor*> outputs = {&call.out};
  if (call.lse) outputs.push_back(&*call.lse);
  Tensor order = orderOf(layer);
  std::vector<const Tensor*> inputs = call.inputs();
  inputs.push_back(&order);
  Work work = [call, set, shot = snapshot(storage, layer, recording)](const Backend& table, Parallel& parallel) {
    AttentionArgs args = argumentsOf(call);
    args.cache = shot.view;
    args.cache.slabs = shot.addresses.data();
    args.cache.keySet = set;
    runAttention(call, args, table, parallel);
  };
  enqueue(op, hasRows<&Backend::attention>, inputs, outputs, std::move(work), call.lists());
  return outputOf(call);
}

void cacheTruncate(const KVCache& cache, int64_t length) {
  if (length < 0) badArgument("cacheTruncate", "length", concat("length must not be negative, got ", length));
  for (auto& layer : cache.storage->layers) {
    layer.length = std::min(layer.length, length);
    layer.order = newOrder(*cache.storage);  // what remains is good: a failed or aborted append lay beyond it
    size_t slabs = size_t((layer.length + KVCacheView::keysPerSlab - 1) / KVCacheView::keysPerSlab);
    if (layer.slabs.size() > slabs) layer.slabs.resize(slabs);
  }
}

int64_t cacheLength(const KVCache& cache, int64_t layer) { return layerOf("cacheLength", cache, layer).length; }

int64_t cacheBytes(const KVCache& cache) {
  int64_t bytes = 0;
  for (const auto& layer : cache.storage->layers)
    bytes += int64_t(layer.slabs.size()) * snapshot(*cache.storage, layer).view.slabBytes();
  return bytes;
}

}  // namespace longspan
