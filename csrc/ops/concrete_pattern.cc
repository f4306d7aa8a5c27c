#include "concrete_pattern.h"

#include <algorithm>

#include "../core/shape.h"

namespace longspan {
namespace {

constexpr int unbounded = Window::unbounded;

// Ascending numbers in [0, 2^30]; `strictly`: no number twice.
void checkAscending(const char* op, const char* name, const int* list, int64_t count, bool strictly) {
  for (int64_t i = 0; i < count; ++i)
    if (list[i] < 0 || list[i] > unbounded || (i > 0 && list[i] < list[i - 1] + int(strictly)))
      badArgument(op, name, concat(name, " must be ascending numbers from 0 on, got ", list[i], " at place ", i));
}

// Builds the parts of one (batch, head).
class Builder {
 public:
  Builder(const char* op, const PatternLengths& sizes, int batch, int head, ConcretePattern& result)
      : op_(op),
        sizes_(sizes),
        batch_(batch),
        head_(head),
        lengths_(int(sizes.seqLenQ), int(sizes.seqLenKV)),
        result_(result) {}

  std::vector<Pattern> parts(const PatternSpec& spec) {
    if (spec.kind == "longnet") return longnet(spec);
    if (spec.kind == "perHead") return parts(ofHead(spec));
    if (spec.kind == "intersect" && isSum(requireParts(spec)[0])) return partsWithin(spec);
    if (spec.kind != "sum") return {single(spec)};
    std::vector<Pattern> all;
    for (const PatternSpec& part : requireParts(spec))
      for (const Pattern& pattern : parts(part)) all.push_back(pattern);
    return all;
  }

 private:
  static bool isSum(const PatternSpec& spec) {
    if (spec.kind == "sum" || spec.kind == "longnet") return true;
    return spec.kind == "perHead" && std::any_of(spec.of.begin(), spec.of.end(), isSum);
  }
  // The parts of a sum, each within the other patterns of the intersection
  std::vector<Pattern> partsWithin(const PatternSpec& spec) {
    std::vector<Pattern> all = parts(spec.of[0]);
    for (Pattern& part : all)
      for (size_t i = 1; i < spec.of.size(); ++i) {
        Pattern within = single(spec.of[i]);
        bool causal = within.kind == Pattern::Kind::Window && within.window.before >= unbounded && !within.window.after;
        if (part.kind == Pattern::Kind::Dilated && causal)
          part.dilated.causal = true;
        else
          part = Composite{lengths_, true, result_.arena.keep({part, within}), 2};
      }
    return all;
  }

  Pattern single(const PatternSpec& spec) {
    const std::string& kind = spec.kind;
    if (kind == "full") return Full{lengths_};
    if (kind == "causal") return Window{lengths_, unbounded, 0};
    if (kind == "window")
      return Window{lengths_, count("before", spec.before, unbounded), count("after", spec.after, 0)};
    if (kind == "sinks")
      return Sinks{lengths_, count("tokens", spec.tokens, 0), count("before", spec.before, unbounded),
                   count("after", spec.after, 0)};
    if (kind == "prefix") return Prefix{lengths_, count("tokens", spec.tokens, 0)};
    if (kind == "chunks") return chunks(spec);
    if (kind == "distances") {
      Span span = distances(spec);
      return Window{lengths_, span.last, -span.first};
    }
    if (kind == "chunkDistances") {
      Span span = distances(spec);
      return Chunks{lengths_, positive("size", spec.size), 0, span.last, -span.first, spec.causal};
    }
    if (kind == "documents") return documents(spec);
    if (kind == "dilatedWindow") return dilatedWindow(spec);
    if (kind == "residues") return residues(spec);
    if (kind == "keys") return Keys{lengths_, spans(spec)};
    if (kind == "queries") return Queries{lengths_, spans(spec)};
    if (kind == "blocks") return blocks(spec);
    if (kind == "diagonals") return diagonals(spec);
    if (kind == "elements") return elements(spec);
    if (kind == "augmented") return augmented(spec);
    if (kind == "union" || kind == "intersect") return composite(spec, kind == "intersect");
    if (kind == "perHead") return single(ofHead(spec));
    if (kind == "longnet" || kind == "sum") return unionOf(parts(spec));
    const char* known =
        "full, causal, window, distances, sinks, prefix, chunks, chunkDistances, documents, dilatedWindow, residues, "
        "keys, queries, blocks, "
        "diagonals, elements, augmented, longnet, union, intersect, sum, perHead";
    throw Error(Code::Unsupported, concat(op_, ": unknown pattern \"", kind, "\"; known: ", known))
        .with("feature", concat("pattern ", kind))
        .with("known", known);
  }

  int count(const char* name, const std::optional<int64_t>& value, int absent) {
    if (!value) return absent;
    if (*value < 0) badArgument(op_, name, concat(name, " must not be negative, got ", *value));
    return int(std::min<int64_t>(*value, unbounded));
  }
  int positive(const char* name, const std::optional<int64_t>& value) {
    if (!value || *value < 1)
      badArgument(op_, name, concat(name, " must be at least 1, got ", value ? std::to_string(*value) : "nothing"));
    return int(std::min<int64_t>(*value, unbounded));
  }
  const std::vector<PatternSpec>& requireParts(const PatternSpec& spec) {
    if (spec.of.empty()) badArgument(op_, "of", concat(spec.kind, " needs at least one pattern"));
    return spec.of;
  }
  const PatternSpec& ofHead(const PatternSpec& spec) {
    const auto& of = requireParts(spec);
    if (int64_t(of.size()) != sizes_.numHeads)
      badArgument(op_, "pattern",
                  concat("pattern is for ", of.size(), " heads, the call has numHeads = ", sizes_.numHeads));
    return of[head_];
  }
  const int* list(const char* name, const std::optional<Integers>& given, int64_t& size, bool strictly) {
    if (!given) badArgument(op_, name, concat("expected a list of integers for ", name, ", got nothing"));
    if (given->tensor.rank() != 1 || !given->tensor.isContiguous())
      badArgument(op_, name, concat(name, " must be a list, got shape ", toString(given->tensor.shape)));
    const int* values = static_cast<const int*>(keep(given->tensor));
    size = given->tensor.size();
    if (isReady(given->tensor)) checkAscending(op_, name, values, size, strictly);
    return values;
  }
  const void* keep(const Tensor& tensor) {
    for (const Tensor& kept : result_.tensors)
      if (kept.data() == tensor.data()) return tensor.data();
    result_.tensors.push_back(tensor);
    return tensor.data();
  }

  Pattern chunks(const PatternSpec& spec) {
    int size = positive("size", spec.size), shift = count("shift", spec.shift, 0);
    if (shift >= size) badArgument(op_, "shift", concat("shift must be below size = ", size, ", got ", shift));
    return Chunks{lengths_, size, shift, count("before", spec.before, 0), count("after", spec.after, 0), spec.causal};
  }
  struct Span {
    int first, last;
  };
  Span distances(const PatternSpec& spec) {  // [first, end), of either sign
    int64_t first = spec.first.value_or(0), end = spec.end.value_or(unbounded);
    if (first >= end) badArgument(op_, "first", concat("distances must have first < end, got ", first, " and ", end));
    return {int(std::clamp<int64_t>(first, -unbounded, unbounded)),
            int(std::clamp<int64_t>(end - 1, -unbounded, unbounded))};
  }
  Pattern documents(const PatternSpec& spec) {
    int64_t size = 0;
    const int* begins = list("bounds", spec.bounds, size, false);
    if (size < 1 || (isReady(spec.bounds->tensor) && begins[0] != 0))
      badArgument(op_, "bounds", "the first document must begin at 0");
    return Documents{lengths_, begins, int(size), spec.causal};
  }
  Spans spans(const PatternSpec& spec) {
    int64_t size = 0;
    const int* bounds = list("bounds", spec.bounds, size, false);
    if (size % 2) badArgument(op_, "bounds", concat("spans have a begin and an end each, got ", size, " numbers"));
    return {bounds, int(size / 2)};
  }
  Pattern dilatedWindow(const PatternSpec& spec) {
    return Strided{lengths_, positive("rate", spec.rate), count("before", spec.before, unbounded),
                   count("after", spec.after, 0), count("skip", spec.skip, 0)};
  }
  Pattern residues(const PatternSpec& spec) {
    int period = positive("period", spec.period), first = count("first", spec.first, 0),
        end = count("end", spec.end, period);
    if (first >= end || end > period)
      badArgument(op_, "first", concat("remainders must be 0 <= first < end <= period = ", period));
    return Residues{lengths_, period, first, end};
  }
  Pattern blocks(const PatternSpec& spec) {
    Blocks made{lengths_};
    made.blockQ = positive("blockQ", spec.blockQ), made.blockKV = positive("blockKV", spec.blockKV);
    made.base = std::max(lengths_.start, 0);
    made.firstRow = count("firstRow", spec.firstRow, 0);
    const Tensor& columns = columnsOf(spec);
    made.columns = static_cast<const int*>(columns.data());
    if (spec.rowStart) {
      int64_t size = 0;
      made.rowStart = list("rowStart", spec.rowStart, size, false);
      made.rows = int(size - 1);
      if (size < 1 || (isReady(spec.rowStart->tensor) && made.rowStart[size - 1] > columns.size()))
        badArgument(op_, "rowStart", concat("rowStart must end within the ", columns.size(), " columns"));
    } else {
      Table table = tableOf(columns);
      made.columns = table.at, made.rows = table.rows, made.perRow = table.perRow;
    }
    if (spec.of.empty()) return made;
    return Composite{lengths_, true, result_.arena.keep({made, single(spec.of[0])}), 2};
  }
  const Tensor& columnsOf(const PatternSpec& spec) {
    if (!spec.columns) badArgument(op_, "columns", concat(spec.kind, " need columns"));
    requireDType(op_, "columns", *spec.columns, {DType::Int32});
    if (!spec.columns->isContiguous()) badArgument(op_, "columns", "columns must be contiguous");
    keep(*spec.columns);
    return *spec.columns;
  }
  // columns [batch, heads, rows, perRow]: the lists of this batch and head
  struct Table {
    const int* at;
    int rows, perRow;
  };
  Table tableOf(const Tensor& columns) {
    if (columns.rank() != 4)
      badArgument(op_, "columns",
                  concat("columns must be [batch, heads, rows, perRow], got ", toString(columns.shape)));
    int64_t batches = columns.shape[0], heads = columns.shape[1];
    if ((batches != 1 && batches != sizes_.batch) || (heads != 1 && (heads == 0 || sizes_.numHeads % heads)))
      badArgument(op_, "pattern",
                  concat("pattern is for batch ", batches, " and ", heads, " heads, the call has batch ", sizes_.batch,
                         " and numHeads = ", sizes_.numHeads));
    int64_t head = heads ? head_ / (sizes_.numHeads / heads) : 0, list = (batches == 1 ? 0 : batch_) * heads + head;
    return {static_cast<const int*>(columns.data()) + list * columns.shape[2] * columns.shape[3], int(columns.shape[2]),
            int(columns.shape[3])};
  }
  Pattern diagonals(const PatternSpec& spec) {
    Table table = tableOf(columnsOf(spec));
    if (table.rows != 1) badArgument(op_, "columns", "diagonals are one row of offsets");
    return Diagonals{lengths_, spec.size ? positive("size", spec.size) : 1, table.at, table.perRow};
  }
  Pattern elements(const PatternSpec& spec) {
    if (!spec.mask) badArgument(op_, "mask", "elements need a mask");
    requireDType(op_, "mask", *spec.mask, {DType::UInt8});
    if (spec.mask->rank() != 2 || !spec.mask->isContiguous())
      badArgument(op_, "mask", concat("mask must be [rows, columns], got ", toString(spec.mask->shape)));
    return Elements{lengths_,
                    std::max(lengths_.start, 0),
                    spec.blockQ ? positive("blockQ", spec.blockQ) : 1,
                    spec.blockKV ? positive("blockKV", spec.blockKV) : 1,
                    count("firstQuery", spec.firstQuery, 0),
                    int(spec.mask->shape[0]),
                    count("firstKey", spec.firstKey, 0),
                    int(spec.mask->shape[1]),
                    static_cast<const uint8_t*>(keep(*spec.mask))};
  }
  // The last `tokens` keys are seen by all; the others as if those were not there.
  Pattern augmented(const PatternSpec& spec) {
    int tokens = count("tokens", spec.tokens, 0), rest = lengths_.seqLenKV - tokens;
    if (rest < 0)
      badArgument(op_, "tokens",
                  concat("the pattern adds ", tokens, " keys, the call has seqLenKV = ", lengths_.seqLenKV));
    Contiguous whole = lengths_;
    lengths_ = Contiguous(whole.seqLenQ, rest);
    Pattern inner = single(requireParts(spec)[0]);
    lengths_ = whole;
    Keys added{whole, Spans{result_.arena.keep(std::vector<int>{rest, whole.seqLenKV}), 1}};
    return Composite{whole, false, result_.arena.keep({inner, added}), 2};
  }
  Pattern composite(const PatternSpec& spec, bool every) {
    std::vector<Pattern> of;
    for (const PatternSpec& part : requireParts(spec)) of.push_back(single(part));
    int count = int(of.size());
    return count == 1 ? of[0] : Pattern(Composite{lengths_, every, result_.arena.keep(std::move(of)), count});
  }
  Pattern unionOf(std::vector<Pattern> of) {
    int count = int(of.size());
    return count == 1 ? of[0] : Pattern(Composite{lengths_, false, result_.arena.keep(std::move(of)), count});
  }
  std::vector<Pattern> longnet(const PatternSpec& spec) {
    if (spec.segments.empty() || spec.segments.size() != spec.rates.size())
      badArgument(op_, "rates",
                  concat("segments and rates must be as many, and at least one: got ", spec.segments.size(), " and ",
                         spec.rates.size()));
    if (spec.headOffset != "mod" && spec.headOffset != "block")
      badArgument(op_, "headOffset", concat("headOffset must be \"mod\" or \"block\", got \"", spec.headOffset, "\""));
    std::vector<int64_t> sorted = spec.segments;
    std::sort(sorted.begin(), sorted.end());
    std::vector<Pattern> branches;
    for (size_t i = 0; i < spec.segments.size(); ++i) {
      int64_t segment = spec.segments[i], rate = spec.rates[i];
      if (segment < 1 || rate < 1) badArgument(op_, "segments", "segments and rates must be at least 1");
      if (rate > segment) badArgument(op_, "rates", concat("rate ", rate, " is above its segment of ", segment));
      if (i > 0 && sorted[i] % sorted[i - 1])
        badArgument(
            op_, "segments",
            concat("every segment must divide the next longer one: ", sorted[i - 1], " does not divide ", sorted[i]));
      int64_t group = (sizes_.numHeads + rate - 1) / rate;
      int phase = int(spec.headOffset == "mod" ? head_ % rate : head_ / group);
      branches.push_back(Dilated{lengths_, int(std::min<int64_t>(segment, unbounded)),
                                 int(std::min<int64_t>(rate, unbounded)), phase, spec.causal, spec.zeroPadding});
    }
    return branches;
  }

  const char* op_;
  PatternLengths sizes_;
  int batch_, head_;
  Contiguous lengths_;
  ConcretePattern& result_;
};

// Lists are read on the CPU: copies there of those that a device holds.
template <class F>
void forLists(PatternSpec& spec, const F& f) {
  for (auto* tensor : {&spec.columns, &spec.mask})
    if (*tensor) f(**tensor);
  for (auto* list : {&spec.bounds, &spec.rowStart})
    if (*list) f((*list)->tensor);
  for (PatternSpec& part : spec.of) forLists(part, f);
}
PatternSpec onHost(const PatternSpec& given) {
  PatternSpec spec = given;
  forLists(spec, [](Tensor& list) { list = onDevice(list, Device{}); });
  return spec;
}

bool differs(const PatternSpec& spec, bool byHead) {
  if (byHead && spec.kind == "perHead") return true;
  if (byHead && spec.kind == "longnet")
    return std::any_of(spec.rates.begin(), spec.rates.end(), [](int64_t rate) { return rate > 1; });
  if ((spec.kind == "blocks" || spec.kind == "diagonals") && !spec.rowStart && spec.columns &&
      spec.columns->rank() == 4 && spec.columns->shape[byHead ? 1 : 0] > 1)
    return true;
  return std::any_of(spec.of.begin(), spec.of.end(), [&](const PatternSpec& part) { return differs(part, byHead); });
}

Pattern nothing(const PatternLengths& lengths) {
  Contiguous none(int(lengths.seqLenQ), int(lengths.seqLenKV));
  return Sinks{none, 0, 0, -1};
}

void checkBlocks(const char* op, const Blocks& blocks, bool ownLengths) {
  int end = ownLengths ? unbounded : ceilDiv(blocks.seqLenKV, blocks.blockKV);
  for (int row = 0; row < blocks.rows; ++row) {
    if (blocks.rowStart && (blocks.rowStart[row] < 0 || blocks.rowStart[row] > blocks.rowStart[row + 1]))
      badArgument(op, "rowStart", concat("rowStart must be ascending from 0 on, row ", row, " is not"));
    Blocks::List list = blocks.listOf(row);
    if (!blocks.rowStart)  // nothing may come behind a negative entry
      for (list.count = blocks.perRow; list.count > 0 && list.at[list.count - 1] < 0;) --list.count;
    for (int i = 0; i < list.count; ++i)
      if (list.at[i] < 0 || (i > 0 && list.at[i] <= list.at[i - 1]))
        badArgument(op, "columns", concat("columns of row ", row, " must be ascending blocks, got ", list.at[i]));
    if (list.count && list.at[list.count - 1] >= end)
      badArgument(op, "columns",
                  concat("row ", row, " lists block ", list.at[list.count - 1], ", the keys have ", end, " blocks"));
  }
}

void checkListsOf(const char* op, const Pattern& pattern, bool ownLengths) {
  for (int i = 0; pattern.each && i < pattern.eachBatch * pattern.eachHead; ++i)
    checkListsOf(op, pattern.each[i], ownLengths);
  if (pattern.each) return;
  if (pattern.kind == Pattern::Kind::Blocks) checkBlocks(op, pattern.blocks, ownLengths);
  if (pattern.kind == Pattern::Kind::Diagonals)
    checkAscending(op, "columns", pattern.diagonals.offsets, pattern.diagonals.count, true);
  if (pattern.kind == Pattern::Kind::Documents)
    checkAscending(op, "bounds", pattern.documents.begins, pattern.documents.count, false);
  if (pattern.kind == Pattern::Kind::Keys)
    checkAscending(op, "bounds", pattern.keys.spans.bounds, 2 * pattern.keys.spans.count, false);
  if (pattern.kind == Pattern::Kind::Queries)
    checkAscending(op, "bounds", pattern.queries.spans.bounds, 2 * pattern.queries.spans.count, false);
  if (pattern.kind == Pattern::Kind::Composite)
    for (int i = 0; i < pattern.composite.count; ++i) checkListsOf(op, pattern.composite.of[i], ownLengths);
}

}  // namespace

void ConcretePattern::checkLists() const {
  if (tensors.empty() || checked) return;
  for (const Pattern& part : parts) checkListsOf(op, part, ownLengths);
}

void ConcretePattern::checkListsIfReady() {
  if (!std::all_of(tensors.begin(), tensors.end(), isReady)) return;
  checkLists();
  checked = true;
}

PatternPointer concretePattern(const char* op, const PatternSpec& given, const std::vector<PatternLengths>& sequences,
                               bool ownLengths) {
  const PatternSpec spec = onHost(given);
  auto result = std::make_shared<ConcretePattern>();
  result->op = op;
  result->ownLengths = ownLengths;
  const int64_t numHeads = sequences.empty() ? 0 : sequences[0].numHeads;
  int heads = differs(spec, true) ? int(numHeads) : 1;
  std::vector<std::vector<Pattern>> all;
  size_t numParts = 1;
  for (size_t batch = 0; batch < sequences.size(); ++batch)
    for (int head = 0; head < heads; ++head) {
      all.push_back(Builder(op, sequences[batch], int(batch), head, *result).parts(spec));
      numParts = std::max(numParts, all.back().size());
    }
  for (size_t part = 0; part < numParts; ++part) {
    std::vector<Pattern> each;
    for (size_t i = 0; i < all.size(); ++i)
      each.push_back(part < all[i].size() ? all[i][part] : nothing(sequences[i / size_t(heads)]));
    Pattern pattern = each.empty() ? nothing({0, 0, 0, 0}) : each[0];
    // LongNet's branch of rate 1 is the same for all heads: then they share packed keys.
    auto same = [&](const Pattern& other) {
      const Dilated &a = each[0].dilated, &b = other.dilated;
      return each[0].kind == Pattern::Kind::Dilated && other.kind == Pattern::Kind::Dilated && a.phase == b.phase &&
             a.segment == b.segment && a.rate == b.rate && a.causal == b.causal && a.zeroPadding == b.zeroPadding &&
             a.seqLenQ == b.seqLenQ && a.seqLenKV == b.seqLenKV && a.start == b.start;
    };
    if (each.size() > 1 && !std::all_of(each.begin(), each.end(), same)) {
      pattern.eachBatch = int(sequences.size()), pattern.eachHead = heads;
      pattern.each = result->arena.keep(std::move(each));
    }
    result->parts.push_back(pattern);
  }
  result->checkListsIfReady();
  return result;
}

PatternPointer concretePattern(const char* op, const PatternSpec& spec, const PatternLengths& lengths) {
  size_t batches = differs(spec, false) ? size_t(lengths.batch) : 1;
  return concretePattern(op, spec, std::vector<PatternLengths>(batches, lengths), false);
}

PatternSpec patternOf(const char* op, const FlashAttentionOptions& options) {
  if (options.pattern && !options.window && !options.causal) return *options.pattern;
  PatternSpec spec;
  if (options.pattern) {  // both must allow a pair
    FlashAttentionOptions rest;
    rest.causal = options.causal, rest.window = options.window;
    spec.kind = "intersect";
    spec.of = {*options.pattern, patternOf(op, rest)};
    return spec;
  }
  spec.kind = options.window ? "window" : options.causal ? "causal" : "full";
  if (!options.window) return spec;
  int64_t before = options.window->before, after = options.window->after.value_or(before);
  if (before < 0 || after < 0)
    badArgument(op, "window", concat("window must not be negative, got ", before < 0 ? before : after));
  spec.before = before;
  spec.after = options.causal ? 0 : after;
  return spec;
}

Pattern slicedPattern(const Pattern& pattern, int first, int count, int batch, int firstHead, int numHeads,
                      PatternArena& arena) {
  if (pattern.each) {
    std::vector<Pattern> each;
    for (int head = 0; head < (pattern.eachHead > 1 ? numHeads : 1); ++head)
      each.push_back(slicedPattern(pattern.of(batch, firstHead + head), first, count, 0, 0, 1, arena));
    Pattern sliced;
    sliced.eachHead = int(each.size());
    sliced.each = arena.keep(std::move(each));
    return sliced;
  }
  return visit(pattern, [&](auto part) {
    part.slice(first, count);
    if constexpr (std::is_same_v<decltype(part), Composite>) {
      std::vector<Pattern> of;
      for (int i = 0; i < part.count; ++i) of.push_back(slicedPattern(part.of[i], first, count, 0, 0, 1, arena));
      part.of = arena.keep(std::move(of));
    }
    return Pattern(part);
  });
}

}  // namespace longspan
