// The `attention` row: how a call is cut into blocks, what it points to brought to the device, its kernels in order.
#include <algorithm>
#include <optional>

#include "attention_rows.cuh"
#include "cache.cuh"
#include "cache_coding.cuh"
#include "launch.cuh"
#include "upload.h"

namespace longspan::cuda {
namespace {

constexpr int fewRows = 32;                 // of a KV head: they go to the kernel whose warps share rows
constexpr int64_t sectionBytes = 24 << 20;  // of K and V that stay in L2
constexpr int64_t partBytes = 64 << 20;     // of all parts together
constexpr int endWarps = 4;                 // of a block of the kernels below, a row each

// --- the kernels around the one of tiles
template <int Dim>
__global__ void __launch_bounds__(32 * endWarps) combineParts(const __grid_constant__ AttentionLaunch launch) {
  const AttentionBlock block = blockOf(launch, blockIdx.x, 0);
  const int lane = threadIdx.x % 32, numRows = minOf(block.numRows(), launch.rowsPerBlock);
  for (int row = threadIdx.x / 32; row < numRows; row += endWarps) {
    const int64_t at = block.slot * launch.numParts * launch.rowsPerBlock + row;
    const RowParts parts = {launch.partOuts + at * Dim, launch.partStates + at * 2, launch.numParts,
                            launch.rowsPerBlock * Dim, launch.rowsPerBlock * 2};
    endRow<Dim>(block, parts, row, true, lane);
  }
}

// Rows that no tile holds see at most their head's sink
__global__ void __launch_bounds__(32 * endWarps) clearRows(const __grid_constant__ AttentionLaunch launch) {
  const int lane = threadIdx.x % 32;
  const int64_t row = int64_t(blockIdx.x) * endWarps + threadIdx.x / 32;
  const int head = int(row % launch.numHeads), query = int(row / launch.numHeads % launch.seqLenQ);
  const int64_t batch = row / launch.numHeads / launch.seqLenQ;
  if (batch >= launch.batch) return;
  const Pattern& pattern = launch.pattern.of(int(batch), head);
  if (query >= visit(pattern, [](const auto& p) { return p.seqLenQ; })) return;
  const SequenceView* sequence = launch.sequences ? launch.sequences + batch : nullptr;
  const int64_t out = (sequence ? sequence->out : batch * launch.out.strides[0]) + query * launch.out.strides[1] +
                      head * launch.out.strides[2];
  for (int column = lane; column < launch.valueDim; column += 32)
    storeFloat(launch.out, out + column * launch.out.strides[3], 0);
  if (!launch.lse || lane != 0) return;
  const int64_t lse = (sequence ? sequence->lse : batch * launch.lse.strides[0]) + head * launch.lse.strides[1] +
                      query * launch.lse.strides[2];
  launch.lse.as<float>()[lse] = launch.sinkLogits ? sinkLogitOf(launch, head) : -INFINITY;
}

__global__ void __launch_bounds__(32 * endWarps)
    measureKeys(const __grid_constant__ AttentionLaunch launch, float* norms) {
  const int lane = threadIdx.x % 32;
  const int64_t row = int64_t(blockIdx.x) * endWarps + threadIdx.x / 32;
  AttentionBlock block{};
  block.launch = &launch;
  const int key = int(row % launch.seqLenKV), head = int(row / launch.seqLenKV % launch.numKVHeads);
  const int64_t batch = row / launch.seqLenKV / launch.numKVHeads;
  if (batch >= launch.batch) return;
  block.kvHead = head;
  const KeyRows& keys = launch.keys;
  const int64_t begin = keys.origin + batch * keys.batchStride + head * keys.headStride;
  const unsigned char* from = rowAt(block, keys, begin, key);
  const float scale = keys.coding == KVCoding::Plain ? 1 : scaleAt(block, keys, key);
  float squares = 0;
  for (int d = lane; d < launch.headDim; d += 32) {
    const float x = keys.coding == KVCoding::Plain ? loadFloat(from + d * keys.dimStride, keys.dtype, 0)
                                                   : decodeOne(from[d], keys.coding) * scale;
    squares = fmaf(x, x, squares);
  }
  for (int apart = 16; apart > 0; apart /= 2) squares += __shfl_xor_sync(everyLane, squares, apart);
  if (lane == 0) norms[row] = 1 / fmaxf(sqrtf(squares), 1e-12f);
}

// What a recorded call knows only when it runs: how many keys there are before its queries
struct Placement {
  Pattern pattern;
  SequenceView sequence;
};
__global__ void placeQueries(const int* lengthAt, Pattern pattern, Placement* out) {
  const int before = *lengthAt;
  auto place = [before](auto& lengths) {
    lengths.seqLenKV = before + lengths.seqLenQ;
    lengths.start = before;
  };
  if (pattern.kind == Pattern::Kind::Full) place(pattern.full);
  if (pattern.kind == Pattern::Kind::Window) place(pattern.window);
  out->pattern = pattern;
  out->sequence = SequenceView{0, 0, 0, 0, 0, before, nullptr};
}
bool placeLater(const AttentionArgs& args, Placement* placement, AttentionLaunch& call) {
  if (args.pattern->each ||
      (args.pattern->kind != Pattern::Kind::Full && args.pattern->kind != Pattern::Kind::Window)) {
    keepError("attention: only full and window patterns can be recorded");
    return false;
  }
  call.pattern.each = &placement->pattern;
  call.sequences = &placement->sequence;
  return launch("attention", placeQueries, 1, 1, 0, args.cache.lengthAt, *args.pattern, placement);
}

// --- the description
DeviceTensor slim(const TensorView& view) {
  DeviceTensor tensor;
  tensor.data = view.data;
  tensor.dtype = view.dtype;
  for (int axis = 0; axis < 4; ++axis) tensor.strides[axis] = axis < view.rank ? view.strides[axis] : 0;
  return tensor;
}

bool isAligned(int64_t bytes) { return bytes % 16 == 0; }
bool isAligned(const void* address) { return reinterpret_cast<uintptr_t>(address) % 16 == 0; }

// Are rows of [batch, seq, heads, dim] whole pieces of 16 bytes?
bool isInPieces(const TensorView& view) {
  const int64_t size = sizeOf(view.dtype);
  bool pieces = isAligned(view.data) && isAligned(view.shape[3] * size) && (view.strides[3] == 1 || view.shape[3] == 1);
  for (int axis = 0; axis < 3; ++axis)
    pieces = pieces && (view.shape[axis] <= 1 || isAligned(view.strides[axis] * size));
  return pieces;
}
template <class F>  // f(sequence): where its rows begin, in elements
bool sequencesInPieces(const AttentionArgs& args, const TensorView& view, const F& f) {
  if (!args.sequences) return true;
  const int64_t size = sizeOf(view.dtype);
  bool pieces = isAligned(view.strides[0] * size) || args.pageSize == 0;  // of a page
  pieces = pieces && isAligned(view.strides[1] * size) && isAligned(view.strides[2] * size);
  for (int64_t i = 0; i < args.q.shape[0]; ++i) pieces = pieces && isAligned(f(args.sequences[i]) * size);
  return pieces;
}

KeyRows rowsOf(const TensorView& view, DType dtype, bool inPieces) {
  const int64_t size = sizeOf(view.dtype);
  KeyRows rows{};
  rows.data = view.as<const unsigned char>();
  rows.batchStride = rows.pageStride = view.strides[0] * size;
  rows.rowStride = view.strides[1] * size;
  rows.headStride = view.strides[2] * size;
  rows.dimStride = view.strides[3] * size;
  rows.elementBytes = int(size);
  rows.dims = int(view.shape[3]);
  rows.dtype = view.dtype;
  rows.copies = view.dtype == dtype && inPieces && isInPieces(view);
  return rows;
}
KeyRows cachedRows(const KVCacheView& cache, DType dtype, int64_t origin, int64_t scales, int64_t rowBytes, int dims) {
  KeyRows rows{};
  rows.origin = origin;
  rows.rowStride = rowBytes;
  rows.headStride = rowBytes * KVCacheView::keysPerSlab;
  rows.dimStride = rows.elementBytes = cache.elementBytes();
  rows.dtype = cache.dtype;
  rows.coding = cache.coding;
  rows.scales = scales;
  rows.copies = !cache.isCoded() && cache.dtype == dtype && isAligned(rowBytes);
  rows.dims = rows.copies || cache.isCoded() ? int(rowBytes / cache.elementBytes()) : dims;  // pads are zero
  return rows;
}

void describeKeys(const AttentionArgs& args, AttentionLaunch& launch) {
  const KVCacheView& cache = args.cache;
  const DType dtype = args.q.dtype;
  launch.isCached = cache.slabs != nullptr;
  if (launch.isCached) {
    launch.numKVHeads = cache.numKVHeads;
    launch.seqLenKV = int(cache.length);
    const int set = cache.keySet;
    launch.keys = cachedRows(cache, dtype, cacheKeysBegin(cache, set), cacheKeyScalesBegin(cache, set),
                             cacheKeyRowBytes(cache), cache.headDim);
    launch.values = cachedRows(cache, dtype, cacheValuesBegin(cache), cacheValueScalesBegin(cache),
                               cacheValueRowBytes(cache), cache.valueDim);
    return;
  }
  launch.numKVHeads = int(args.k.shape[2]);
  launch.seqLenKV = int(args.k.shape[1]);
  auto beginOfKeys = [](const SequenceView& s) { return s.k; };
  auto beginOfValues = [](const SequenceView& s) { return s.v; };
  launch.keys = rowsOf(args.k, dtype, sequencesInPieces(args, args.k, beginOfKeys));
  launch.values = rowsOf(args.v, dtype, sequencesInPieces(args, args.v, beginOfValues));
}

AttentionLaunch describe(const AttentionArgs& args) {
  AttentionLaunch launch{};
  launch.q = slim(args.q);
  launch.out = slim(args.out);
  launch.lse = slim(args.lse);
  launch.alibiSlopes = slim(args.alibiSlopes);
  launch.bias = slim(args.bias);
  launch.sinkLogits = slim(args.sinkLogits);
  launch.queryScale = slim(args.queryScale);
  launch.distanceBias = slim(args.distanceBias);
  launch.expireSpans = slim(args.expireSpans);
  launch.scale = args.scale;
  launch.softcap = args.softcap;
  launch.selfScore = args.selfScore;
  launch.expireRamp = args.expireRamp;
  launch.firstDistance = args.firstDistance;
  launch.numDistances = args.distanceBias ? int(args.distanceBias.shape[1]) : 0;
  launch.offset = args.offset;
  launch.pageSize = args.pageSize;
  launch.accumulate = args.accumulate;
  launch.batch = int(args.q.shape[0]);
  launch.seqLenQ = int(args.q.shape[1]);
  launch.numHeads = int(args.q.shape[2]);
  launch.headDim = int(args.q.shape[3]);
  launch.valueDim = int(args.out.shape[3]);
  launch.copiesQueries =
      isInPieces(args.q) && sequencesInPieces(args, args.q, [](const SequenceView& s) { return s.q; });
  launch.bent = args.softcap > 0 || args.alibiSlopes || args.bias || args.queryScale || args.distanceBias ||
                args.expireSpans || args.normaliseKeys || args.selfScore != 0 || !(args.scale > 0);
  launch.exponentScale = launch.bent ? log2e : args.scale * log2e;
  launch.scoreScale = launch.bent ? 1 : args.scale;
  describeKeys(args, launch);
  launch.group = launch.numHeads / launch.numKVHeads;
  return launch;
}

// --- the cut
template <class F>
void forEachPattern(const Pattern& pattern, const F& f) {
  if (!pattern.each) return f(pattern);
  for (int i = 0; i < pattern.eachBatch * pattern.eachHead; ++i) f(pattern.each[i]);
}
bool everyQuery(const Pattern& pattern) {
  bool every = true;
  forEachPattern(pattern, [&](const Pattern& one) {
    every = every && (one.kind == Pattern::Kind::Buckets ? one.buckets.everyQueryRow
                                                         : visit(one, [](const auto& p) { return p.everyQuery; }));
  });
  return every;
}

struct Cut {
  bool fewRows;
  TileShape shape;
};

void cutKeys(const AttentionArgs& args, const Cut& cut, AttentionLaunch& launch) {
  launch.numParts = 1;
  bool gathers = false;  // then a tile of queries sees few keys
  forEachPattern(*args.pattern, [&](const Pattern& one) { gathers |= one.kind == Pattern::Kind::Buckets; });
  if (gathers) return;
  // Of a cache by whole slabs: recorded or not, a call is cut in the same parts.
  const int slab = KVCacheView::keysPerSlab;
  const int numKeys = launch.isCached ? ceilDiv(launch.seqLenKV, slab) * slab : launch.seqLenKV;
  const int64_t slots = launch.numSlots(), tiles = ceilDiv(numKeys, cut.shape.tileKV * cut.shape.keyWarps);
  const int64_t wanted = int64_t(numProcessors()) * (cut.fewRows ? 2 : 1), leastTiles = cut.fewRows ? 2 : 4;
  if (!cut.fewRows && slots * 5 > wanted * 4) return;
  const int64_t bytes = slots * cut.shape.rows() * (launch.dim + 2) * 4;
  const int64_t parts = std::min({wanted / slots, tiles / leastTiles, partBytes / bytes});
  launch.numParts = int(std::max<int64_t>(parts, 1));
}

Cut cutCall(const AttentionArgs& args, AttentionLaunch& launch) {
  const bool isFloat32 = args.q.dtype == DType::Float32;
  const bool perHead = args.pattern->each && args.pattern->eachHead > 1;
  const int widest = std::max(launch.headDim, launch.valueDim), heads = perHead ? 1 : launch.group;
  launch.dim = *std::find_if(std::begin(paddedDims), std::end(paddedDims) - 1, [&](int d) { return d >= widest; });
  Cut cut;
  cut.fewRows = int64_t(launch.seqLenQ) * heads <= fewRows;
  cut.shape = tileShape(isFloat32, cut.fewRows, launch.dim);
  const int rows = launch.rowsPerBlock = cut.shape.rows();
  const int64_t apart = int64_t(ceilDiv(launch.seqLenQ, rows)) * heads;
  const int64_t packed = (int64_t(launch.seqLenQ) * heads + rows - 1) / rows;
  const bool packs = cut.fewRows || args.sequences || packed * 10 < apart * 9;
  launch.pack = packs ? std::min(heads, rows) : 1;
  launch.headChunks = ceilDiv(launch.group, launch.pack);
  launch.tileQ = rows / launch.pack;
  forEachPattern(*args.pattern, [&](const Pattern& one) {
    const int tiles = visit(one, [&](const auto& p) { return p.numQueryTiles(launch.tileQ); });
    launch.numTiles = std::max(launch.numTiles, tiles);
  });
  const int64_t headBytes =
      std::max<int64_t>(int64_t(launch.seqLenKV) * (launch.headDim + launch.valueDim) * launch.keys.elementBytes, 1);
  const int64_t sharing = std::max<int64_t>(sectionBytes / headBytes, 1) * launch.headChunks;
  launch.unitsPerSection = int(std::clamp<int64_t>(sharing, 1, std::max(launch.numUnits(), 1)));
  if (launch.numSlots() > 0) cutKeys(args, cut, launch);
  return cut;
}

// --- what the call points to
void addTo(Upload& upload, const AttentionArgs& args, AttentionLaunch& launch) {
  launch.pattern = addPattern(upload, *args.pattern);
  if (args.cache.slabs) {
    const int64_t slabs = args.cache.numSlabs(args.cache.length);
    if (slabs <= AttentionLaunch::slabsInside) {
      std::copy_n(args.cache.slabs, slabs, launch.slabsOfCall);
    } else {
      launch.slabs = upload.add(args.cache.slabs, slabs);
    }
  }
  if (!args.sequences) return;
  std::vector<SequenceView> sequences(args.sequences, args.sequences + launch.batch);
  for (int i = 0; i < launch.batch; ++i) {
    const Pattern& pattern = args.pattern->of(i, 0);
    const int keys = visit(pattern, [](const auto& p) { return p.seqLenKV; });
    if (sequences[i].pages) sequences[i].pages = upload.add(sequences[i].pages, ceilDiv(keys, args.pageSize));
  }
  launch.sequences = upload.addOwn(sequences);
}

bool combine(const AttentionLaunch& description) {
  const unsigned blocks = unsigned(description.numSlots()), threads = 32 * endWarps;
  switch (description.dim) {
    case 64:
      return launch("attention", combineParts<64>, blocks, threads, 0, description);
    case 96:
      return launch("attention", combineParts<96>, blocks, threads, 0, description);
    case 128:
      return launch("attention", combineParts<128>, blocks, threads, 0, description);
    case 192:
      return launch("attention", combineParts<192>, blocks, threads, 0, description);
    default:
      return launch("attention", combineParts<256>, blocks, threads, 0, description);
  }
}

bool attendTiles(const AttentionLaunch& description, DType dtype, bool few) {
  if (dtype == DType::Float32) return attendFloat(description, few);
  return dtype == DType::Float16 ? attendHalf(description, few) : attendBFloat16(description, few);
}

unsigned blocksOfRows(int64_t rows) { return unsigned((rows + endWarps - 1) / endWarps); }

}  // namespace

void attention(const AttentionArgs& args, Parallel&) {
  if (args.q.shape[0] * args.q.shape[1] * args.q.shape[2] == 0) return;
  if (compositeDepthOf(*args.pattern) > compositeDepth)
    return keepError("attention: unions and intersections of patterns are nested more than 3 deep");
  AttentionLaunch call = describe(args);
  const Cut cut = cutCall(args, call);
  const int64_t queries = int64_t(call.batch) * call.seqLenQ * call.numHeads, slots = call.numSlots();
  const int64_t keys = int64_t(call.batch) * call.numKVHeads * call.seqLenKV;
  if (slots * call.numParts > 0x7fffffff || queries > 0x7fffffff || keys > 0x7fffffff)
    return keepError("attention: more than 2^31 - 1 rows in one call");

  Upload measured;
  addTo(measured, args, call);
  std::optional<Scratch> lists, norms, parts;  // most calls need none of them
  if (measured.size() > 0) {
    if (!lists.emplace(measured.size())) return;
    Upload upload(lists->as<unsigned char>());
    addTo(upload, args, call);
    if (!copyToDevice(lists->as<void>(), upload.data(), upload.size())) return;
  }
  const Scratch placement(args.cache.lengthAt ? sizeof(Placement) : 0);
  if (!placement || (args.cache.lengthAt && !placeLater(args, placement.as<Placement>(), call))) return;
  if (!args.accumulate && !everyQuery(*args.pattern) &&
      !launch("attention", clearRows, blocksOfRows(queries), 32 * endWarps, 0, call))
    return;
  if (slots == 0) return;
  if (args.normaliseKeys && keys > 0) {
    if (!norms.emplace(size_t(keys) * 4)) return;
    if (!launch("attention", measureKeys, blocksOfRows(keys), 32 * endWarps, 0, call, norms->as<float>())) return;
    call.keyNorms = norms->as<float>();
  }
  if (call.numParts > 1) {
    const int64_t rows = slots * call.numParts * call.rowsPerBlock;
    if (!parts.emplace(size_t(rows) * (call.dim + 2) * 4)) return;
    call.partOuts = parts->as<float>();
    call.partStates = call.partOuts + rows * call.dim;
  }
  if (attendTiles(call, args.q.dtype, cut.fewRows) && call.numParts > 1) combine(call);
}

}  // namespace longspan::cuda
