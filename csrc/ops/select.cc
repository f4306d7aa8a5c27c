// Selections by content: checks, sizes of the lists, and the kernels one behind the other.
#include "select.h"

#include <algorithm>
#include <cmath>

#include "../core/shape.h"
#include "enqueue.h"

namespace longspan {
namespace {

constexpr int64_t maxSeqLen = int64_t(1) << 30, maxHeadDim = 256;
constexpr int64_t maxHeap = int64_t(1) << 19;  // blocks that a row chooses of more: 4 MiB of scratch

struct Call {
  const char* op;
  Tensor q, k;
  int64_t batch, seqLenQ, numHeads, headDim, seqLenKV, numKVHeads;

  Call(const char* name, const Tensor& queries, const Tensor& keys) : op(name), q(queries), k(keys) {
    Dims dims(op);
    auto sizes = dims.bind<4>(q, "q", "[batch, seqLenQ, numHeads, headDim]");
    auto keySizes = dims.bind<4>(k, "k", "[batch, seqLenKV, numKVHeads, headDim]");
    batch = sizes[0], seqLenQ = sizes[1], numHeads = sizes[2], headDim = sizes[3];
    seqLenKV = keySizes[1], numKVHeads = keySizes[2];
    requireDType(op, "q", q, floatDTypes);
    requireSameDType(op, "k", k, "q", q.dtype);
    dims.require(numKVHeads > 0 ? numHeads % numKVHeads == 0 : numHeads == 0, "q",
                 concat("numHeads must be a multiple of numKVHeads = ", numKVHeads), concat("numHeads = ", numHeads));
    if (headDim < 1 || headDim > maxHeadDim)
      throw Error(Code::Unsupported, concat(op, ": headDim must be in [1, ", maxHeadDim, "], got ", headDim))
          .with("feature", concat("headDim ", headDim))
          .with("known", concat("1 to ", maxHeadDim));
    dims.require(seqLenQ < maxSeqLen && seqLenKV < maxSeqLen, "q", concat("sequence lengths must be below ", maxSeqLen),
                 toString(q.shape));
  }
  int64_t atLeast(const char* name, int64_t value, int64_t least) const {
    if (value < least) badArgument(op, name, concat(name, " must be at least ", least, ", got ", value));
    return std::min(value, maxSeqLen);
  }
  void atMost(const char* name, int64_t value, int64_t most, const char* advice) const {
    if (value > most) badArgument(op, name, concat(advice, ": ", value, " are more than ", most));
  }
  float scale(const std::optional<double>& given) const {
    double value = given.value_or(1 / std::sqrt(double(headDim)));
    requireFinite(op, "scale", value);
    return float(value);
  }
  SelectGrid grid(int64_t blockQ, int64_t blockKV, bool causal) const {
    return {seqLenQ, seqLenKV, blockQ, blockKV, causal};
  }
  Tensor lists(int64_t heads, int64_t rows, int64_t perRow) const {
    return newOutput(op, DType::Int32, {batch, numHeads ? heads : 0, rows, perRow});
  }

  // A vector of each block of keys
  Tensor summaries(SummariseArgs args) const {
    int64_t depth = args.kind == Summary::Bounds ? 2 * headDim : headDim;
    Tensor panels =
        newOutput(op, DType::Float32, {batch, numKVHeads, std::max<int64_t>(1, (args.numBlocks + 63) / 64), depth, 64});
    enqueue(op, {&q, &k}, {&panels}, [args, panels, q = q, k = k](const Backend& table, Parallel& parallel) mutable {
      args.k = k.view();
      if (args.kind == Summary::Representatives) args.q = q.view();
      args.panels = panels.view();
      table.summarise(args, parallel);
    });
    return panels;
  }
  Tensor best(SelectBlocksArgs args, int64_t heads, int64_t perRow, const char* topKName,
              const std::optional<Tensor>& panels) const {
    int64_t numBlocks = args.grid.numBlocks();
    perRow = std::min(perRow, numBlocks);
    if (args.topK < numBlocks) atMost(topKName, perRow, maxHeap, "too many blocks to choose");
    Tensor columns = lists(heads, args.grid.rows(), perRow);
    std::vector<const Tensor*> inputs = {&q, &k};
    if (panels) inputs.push_back(&*panels);
    enqueue(op, inputs, {&columns}, [=, q = q, k = k](const Backend& table, Parallel& parallel) mutable {
      if (columns.size() == 0) return;
      args.q = q.view(), args.k = k.view(), args.panels = viewOf(panels), args.columns = columns.view();
      table.selectBlocks(args, parallel);
    });
    return columns;
  }
  Tensor byMass(SelectByMassArgs args, int64_t heads, int64_t perRow, const std::optional<Tensor>& panels) const {
    Tensor columns = lists(heads, args.grid.rows(), std::min(perRow, args.grid.numBlocks()));
    std::vector<const Tensor*> inputs = {&q, &k};
    if (panels) inputs.push_back(&*panels);
    enqueue(op, inputs, {&columns}, [=, q = q, k = k](const Backend& table, Parallel& parallel) mutable {
      if (columns.size() == 0) return;
      args.q = q.view(), args.k = k.view(), args.panels = viewOf(panels), args.columns = columns.view();
      table.selectByMass(args, parallel);
    });
    return columns;
  }
};

SummariseArgs blocksOf(Summary kind, const SelectGrid& grid) {
  SummariseArgs args{};
  args.kind = kind, args.size = args.stride = grid.blockKV, args.numBlocks = grid.numBlocks();
  return args;
}

}  // namespace

Tensor selectQuest(const Tensor& q, const Tensor& k, const QuestOptions& options) {
  Call call("quest", q, k);
  SelectBlocksArgs args{};
  args.grid = call.grid(1, call.atLeast("pageSize", options.pageSize, 1), options.causal);
  args.kind = Summary::Bounds;
  args.wholeKeys = call.atLeast("tokenBudget", options.tokenBudget, 0);
  args.topK = std::max(call.atLeast("minPages", options.minPages, 1), args.wholeKeys / args.grid.blockKV);
  Tensor panels = call.summaries(blocksOf(args.kind, args.grid));
  return call.best(args, call.numHeads, args.topK + 1, "tokenBudget", panels);
}

Tensor selectMoba(const Tensor& q, const Tensor& k, const MobaOptions& options) {
  Call call("moba", q, k);
  SelectBlocksArgs args{};
  args.grid = call.grid(1, call.atLeast("chunkSize", options.chunkSize, 1), options.causal);
  args.rule = SelectRule::Own;
  args.topK = call.atLeast("topK", options.topK, 1);
  Tensor panels = call.summaries(blocksOf(Summary::Mean, args.grid));
  return call.best(args, call.numHeads, args.topK, "topK", panels);
}

Tensor selectInfLlm(const Tensor& q, const Tensor& k, const InfLlmOptions& options) {
  Call call("infLlm", q, k);
  int64_t blockSize = call.atLeast("blockSize", options.blockSize, 1),
          queryBlock = call.atLeast("queryBlock", options.queryBlock, 1);
  SelectBlocksArgs args{};
  args.grid = call.grid(queryBlock, blockSize, true);
  args.rule = SelectRule::Recent;
  args.topK = call.atLeast("topK", options.topK, 0);
  args.local = call.atLeast("local", options.local, 1);
  args.initial = call.atLeast("initial", options.initial, 0);
  SummariseArgs summary = blocksOf(Summary::Mean, args.grid);
  summary.representatives = call.atLeast("representatives", options.representatives, 0);
  summary.reach = args.local;
  if (summary.representatives > 0 && summary.representatives < blockSize) {
    call.atMost("representatives", summary.representatives, maxHeap, "too many keys to choose");
    summary.kind = Summary::Representatives;
  }
  Tensor panels = call.summaries(summary);
  int64_t recent = (args.local + queryBlock) / blockSize + 2;
  return call.best(args, options.perHead ? call.numHeads : 1, args.topK + recent, "topK", panels);
}

Tensor selectMinferenceBlocks(const Tensor& q, const Tensor& k, const MinferenceBlocksOptions& options) {
  Call call("minferenceBlocks", q, k);
  int64_t blockSize = call.atLeast("blockSize", options.blockSize, 1);
  SelectBlocksArgs args{};
  args.grid = call.grid(blockSize, blockSize, options.causal);
  args.topK = call.atLeast("topK", options.topK, 1);
  Tensor panels = call.summaries(blocksOf(Summary::Mean, args.grid));
  return call.best(args, call.numHeads, args.topK, "topK", panels);
}

Tensor selectTopKeys(const Tensor& q, const Tensor& k, const TopKeysOptions& options) {
  Call call("topKeys", q, k);
  SelectBlocksArgs args{};
  args.grid = call.grid(1, 1, options.causal);
  args.topK = call.atLeast("k", options.k, 1);
  return call.best(args, call.numHeads, args.topK, "k", std::nullopt);
}

Tensor selectNsa(const Tensor& q, const Tensor& k, const NsaOptions& options) {
  Call call("nsa", q, k);
  int64_t blockSize = call.atLeast("blockSize", options.blockSize, 1),
          stride = call.atLeast("compressStride", options.compressStride, 1),
          compress = call.atLeast("compressBlock", options.compressBlock, 1);
  if (compress % stride || blockSize % stride)
    badArgument(call.op, "compressStride",
                concat("compressStride must divide compressBlock = ", compress, " and blockSize = ", blockSize,
                       ", got ", stride));
  SelectByMassArgs args{};
  args.grid = call.grid(1, blockSize, true);
  args.initialBlocks = call.atLeast("initialBlocks", options.initialBlocks, 0);
  args.localBlocks = call.atLeast("localBlocks", options.localBlocks, 0);
  args.topK = call.atLeast("topBlocks", options.topBlocks, std::max<int64_t>(1, args.initialBlocks + args.localBlocks));
  args.scale = call.scale(options.scale);
  args.stride = stride, args.reach = compress, args.columnUnits = compress / stride;
  args.numColumns = call.seqLenKV < compress ? 0 : (call.seqLenKV - compress) / stride + 1;
  call.atMost("blockSize", args.grid.numBlocks(), int64_t(1) << 20, "too many blocks, take larger ones");
  SummariseArgs summary = blocksOf(Summary::Mean, args.grid);
  summary.size = compress, summary.stride = stride, summary.numBlocks = args.numColumns;
  Tensor panels = call.summaries(summary);
  return call.byMass(args, call.numKVHeads, args.topK, panels);
}

Tensor selectXAttention(const Tensor& q, const Tensor& k, const XAttentionOptions& options) {
  Call call("xAttention", q, k);
  int64_t blockSize = call.atLeast("blockSize", options.blockSize, 1),
          stride = call.atLeast("stride", options.stride, 1);
  if (blockSize % stride)
    badArgument(call.op, "stride", concat("stride must divide blockSize = ", blockSize, ", got ", stride));
  call.atMost("stride", stride, 32, "too long a stride");
  call.atMost("blockSize", blockSize, 2048, "too large a block");
  requireFinite(call.op, "threshold", options.threshold);
  requireFinite(call.op, "norm", options.norm);
  if (options.threshold < 0) badArgument(call.op, "threshold", "threshold must not be negative");
  if (options.norm <= 0) badArgument(call.op, "norm", "norm must be above 0");
  SelectByMassArgs args{};
  args.grid = call.grid(blockSize, blockSize, options.causal);
  args.scale = float(1 / (std::sqrt(double(call.headDim)) * double(stride) * options.norm));
  args.stride = stride, args.reach = 1, args.columnUnits = 1;
  args.numColumns = (call.seqLenKV + stride - 1) / stride;
  args.threshold = options.threshold;
  args.initialBlocks = options.keepSink, args.localBlocks = options.keepRecent;
  call.atMost("blockSize", args.grid.numBlocks(), int64_t(1) << 18, "too many blocks, take larger ones");
  return call.byMass(args, call.numHeads, args.grid.numBlocks(), std::nullopt);
}

SelectedLines selectVerticalSlash(const Tensor& q, const Tensor& k, const VerticalSlashOptions& options) {
  Call call("verticalSlash", q, k);
  SelectLinesArgs args{};
  args.lastQueries = call.atLeast("lastQueries", options.lastQueries, 1);
  call.atMost("lastQueries", args.lastQueries, 1024, "too many queries to look at");
  args.firstColumns = call.atLeast("firstColumns", options.firstColumns, 0);
  args.nearDiagonals = call.atLeast("nearDiagonals", options.nearDiagonals, 0);
  args.scale = call.scale(options.scale);
  int64_t vertical = std::max(call.atLeast("vertical", options.vertical, 0), args.firstColumns),
          slash = std::max(call.atLeast("slash", options.slash, 0), args.nearDiagonals);
  if (vertical < call.seqLenKV) call.atMost("vertical", vertical, maxHeap, "too many columns to choose");
  if (slash < call.seqLenKV) call.atMost("slash", slash, maxHeap, "too many diagonals to choose");
  Tensor sums = newOutput(call.op, DType::Float32, {call.batch, call.numHeads, 2, call.seqLenKV}),
         columns = call.lists(call.numHeads, 1, std::min(vertical, call.seqLenKV)),
         offsets = call.lists(call.numHeads, 1, std::min(slash, call.seqLenKV));
  enqueue(call.op, {&q, &k}, {&sums, &columns, &offsets},
          [=, q = call.q, k = call.k](const Backend& table, Parallel& parallel) mutable {
            if (sums.size() == 0) return;
            args.q = q.view(), args.k = k.view(), args.sums = sums.view();
            args.vertical = columns.view(), args.slash = offsets.view();
            table.selectLines(args, parallel);
          });
  return {columns, offsets};
}

}  // namespace longspan
