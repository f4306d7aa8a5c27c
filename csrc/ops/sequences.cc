// Sequences of their own lengths in one call: packed behind each other (cuSeqLens), padded (seqLensKV), or with keys in
// pages (blockTable: Kwon et al. 2023, PagedAttention). Every number is checked before a kernel reads by it.
#include <algorithm>

#include "attention_call.h"

namespace longspan {
namespace {

std::vector<int> numbersOf(const char* op, const char* name, const Tensor& tensor) {
  if (tensor.rank() != 1) badArgument(op, name, concat(name, " must be a list, got shape ", toString(tensor.shape)));
  std::vector<int> numbers;
  const int* data = static_cast<const int*>(tensor.data());
  for (int64_t i = 0; i < tensor.size(); ++i) numbers.push_back(data[i * tensor.strides[0]]);
  return numbers;
}

// [sequences + 1] from 0 to `total`, ascending
std::vector<int> boundsOf(const char* op, const char* name, const Integers& given, int64_t total) {
  std::vector<int> bounds = numbersOf(op, name, given.tensor);
  bool good =
      !bounds.empty() && bounds[0] == 0 && bounds.back() == total && std::is_sorted(bounds.begin(), bounds.end());
  if (!good)
    badArgument(op, name,
                concat(name, " must ascend from 0 to the ", total, " rows there are, got ", bounds.size(), " numbers",
                       bounds.empty() ? "" : concat(" from ", bounds[0], " to ", bounds.back())));
  return bounds;
}

class Reader {
 public:
  Reader(const AttentionCall& call, const Tensor& k, const Tensor& v, const FlashAttentionOptions& options)
      : call_(call), k_(k), v_(v), options_(options) {}

  std::shared_ptr<const Sequences> read() {
    readQueries();
    readKeys();
    if (options_.blockTable) readPages();
    std::vector<PatternLengths> lengths;
    for (size_t s = 0; s < seqLensQ().size(); ++s) {
      SequenceView& view = result_->views[s];
      view.offset = seqLensKV_[s] - seqLensQ()[s];
      lengths.push_back({int64_t(seqLensQ().size()), call_.numHeads, seqLensQ()[s], seqLensKV_[s]});
      result_->longestQ = std::max<int64_t>(result_->longestQ, seqLensQ()[s]);
      result_->longestKV = std::max<int64_t>(result_->longestKV, seqLensKV_[s]);
    }
    result_->pattern = concretePattern(call_.op, patternOf(call_.op, options_), lengths, true);
    return result_;
  }

 private:
  std::vector<int>& seqLensQ() { return result_->seqLensQ; }

  void readQueries() {
    const Shape &q = call_.q.strides, &out = call_.out.strides;
    if (!options_.cuSeqLensQ) {
      for (int64_t b = 0; b < call_.batch; ++b) {
        result_->views.push_back({b * q[0], 0, 0, b * out[0], call_.lse ? b * call_.lse->strides[0] : 0, 0, nullptr});
        seqLensQ().push_back(int(call_.seqLenQ));
      }
      return;
    }
    if (call_.batch != 1)
      badArgument(call_.op, "cuSeqLensQ", concat("packed sequences have batch 1, got ", call_.batch));
    for (auto [given, name] :
         {std::pair{&call_.bias, "bias"}, {&call_.queryScale, "queryScale"}, {&call_.expireSpans, "expireSpans"}})
      if (*given) badArgument(call_.op, name, concat("packed sequences take no ", name));
    std::vector<int> bounds = boundsOf(call_.op, "cuSeqLensQ", *options_.cuSeqLensQ, call_.seqLenQ);
    for (size_t s = 0; s + 1 < bounds.size(); ++s) {
      result_->views.push_back({bounds[s] * q[1], 0, 0, bounds[s] * out[1], bounds[s], 0, nullptr});
      seqLensQ().push_back(bounds[s + 1] - bounds[s]);
    }
  }
  void requireCount(const char* name, size_t count) {
    if (count != seqLensQ().size())
      badArgument(call_.op, name, concat(name, " must be for the ", seqLensQ().size(), " sequences of q, got ", count));
  }
  void readKeys() {
    bool packed = !options_.blockTable && (options_.cuSeqLensKV || options_.cuSeqLensQ);
    if (packed) {
      const char* name = options_.cuSeqLensKV ? "cuSeqLensKV" : "cuSeqLensQ";
      std::vector<int> bounds =
          boundsOf(call_.op, name, options_.cuSeqLensKV ? *options_.cuSeqLensKV : *options_.cuSeqLensQ, k_.shape[1]);
      requireCount(name, bounds.size() - 1);
      if (k_.shape[0] != 1) badArgument(call_.op, name, concat("packed keys have batch 1, got ", k_.shape[0]));
      for (size_t s = 0; s + 1 < bounds.size(); ++s) {
        result_->views[s].k = bounds[s] * k_.strides[1];
        result_->views[s].v = bounds[s] * v_.strides[1];
        seqLensKV_.push_back(bounds[s + 1] - bounds[s]);
      }
    } else if (!options_.blockTable) {
      for (size_t s = 0; s < seqLensQ().size(); ++s) {
        result_->views[s].k = int64_t(s) * k_.strides[0];
        result_->views[s].v = int64_t(s) * v_.strides[0];
        seqLensKV_.push_back(int(k_.shape[1]));
      }
    } else {
      seqLensKV_.assign(seqLensQ().size(), int(options_.blockTable->shape[1] * k_.shape[1]));
    }
    if (!options_.seqLensKV) return;
    std::vector<int> given = numbersOf(call_.op, "seqLensKV", options_.seqLensKV->tensor);
    requireCount("seqLensKV", given.size());
    for (size_t s = 0; s < given.size(); ++s) {
      if (given[s] < 0 || given[s] > seqLensKV_[s])
        badArgument(call_.op, "seqLensKV",
                    concat("seqLensKV[", s, "] must be in [0, ", seqLensKV_[s], "], the keys there is room for, got ",
                           given[s]));
      seqLensKV_[s] = given[s];
    }
  }
  void readPages() {
    const Tensor& table = *options_.blockTable;
    requireCount("blockTable", size_t(table.shape[0]));
    result_->pageSize = k_.shape[1];
    int64_t blocks = table.shape[1], numPages = k_.shape[0];
    const int* data = static_cast<const int*>(table.data());
    result_->pages.resize(size_t(table.shape[0] * blocks));
    for (int64_t s = 0; s < table.shape[0]; ++s)
      for (int64_t b = 0; b < blocks; ++b) {
        int page = data[s * table.strides[0] + b * table.strides[1]];
        bool used = b * result_->pageSize < seqLensKV_[size_t(s)];
        if (used && (page < 0 || page >= numPages))
          badArgument(call_.op, "blockTable",
                      concat("blockTable[", s, ", ", b, "] must be in [0, ", numPages, "), got ", page));
        result_->pages[size_t(s * blocks + b)] = used ? page : 0;
      }
    for (size_t s = 0; s < result_->views.size(); ++s)
      result_->views[s].pages = result_->pages.data() + s * size_t(blocks);
  }

  const AttentionCall& call_;
  const Tensor &k_, &v_;
  const FlashAttentionOptions& options_;
  std::shared_ptr<Sequences> result_ = std::make_shared<Sequences>();
  std::vector<int> seqLensKV_;
};

}  // namespace

bool hasSequences(const FlashAttentionOptions& options) {
  return options.cuSeqLensQ || options.cuSeqLensKV || options.seqLensKV || options.blockTable;
}

bool listsReady(const FlashAttentionOptions& options) {
  for (const auto* list : {&options.cuSeqLensQ, &options.cuSeqLensKV, &options.seqLensKV})
    if (*list && !isReady((*list)->tensor)) return false;
  return !options.blockTable || isReady(*options.blockTable);
}

std::shared_ptr<const Sequences> readSequences(const AttentionCall& call, const Tensor& k, const Tensor& v,
                                               const FlashAttentionOptions& options) {
  return Reader(call, k, v, options).read();
}

}  // namespace longspan
