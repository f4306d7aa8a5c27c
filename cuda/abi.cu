// See abi.h.
#include "abi.h"

#include <cstring>

#include "../csrc/core/plugin.h"
#include "kernels.h"

namespace longspan::cuda {
namespace {

// Name in the table, type of the arguments
#define LONGSPAN_ROWS(X)                  \
  X(copy, CopyArgs)                       \
  X(embedding, EmbeddingArgs)             \
  X(norm, NormArgs)                       \
  X(rope, RopeArgs)                       \
  X(gated, GatedArgs)                     \
  X(binary, BinaryArgs)                   \
  X(softmax, SoftmaxArgs)                 \
  X(nll, NllArgs)                         \
  X(topK, TopKArgs)                       \
  X(pack, PackArgs)                       \
  X(matmul, MatmulArgs)                   \
  X(attention, AttentionArgs)             \
  X(mergeAttention, MergeArgs)            \
  X(bucketHash, BucketHashArgs)           \
  X(linearAttention, LinearAttentionArgs) \
  X(cacheAppend, CacheAppendArgs)         \
  X(ropeAppend, RopeAppendArgs)

struct Row {
  const char* name;
  size_t size;
  bool (*present)(const Backend& table);
  void (*call)(const Backend& table, const void* arguments, Parallel& parallel);
};
constexpr Row rows[] = {
#define LONGSPAN_ROW(Name, Args)                                                    \
  {#Name, sizeof(Args), [](const Backend& table) { return table.Name != nullptr; }, \
   [](const Backend& table, const void* arguments, Parallel& parallel) {            \
     table.Name(*static_cast<const Args*>(arguments), parallel);                    \
   }},
    LONGSPAN_ROWS(LONGSPAN_ROW)
#undef LONGSPAN_ROW
};

const Row* find(const char* name) {
  for (const Row& row : rows)
    if (strcmp(row.name, name) == 0) return &row;
  return nullptr;
}

// The members that a pattern has besides its lengths
struct Members {
  const int* number;
  const void* const* list;
  template <class... Numbers>
  void take(Numbers&... into) {
    ((into = Numbers(*number++)), ...);
  }
  template <class T>
  void take(const T*& into) {
    into = static_cast<const T*>(*list++);
  }
};

void fill(Full&, Members) {}
void fill(Window& p, Members from) { from.take(p.before, p.after); }
void fill(Sinks& p, Members from) { from.take(p.tokens, p.before, p.after); }
void fill(Prefix& p, Members from) { from.take(p.tokens); }
void fill(Chunks& p, Members from) { from.take(p.size, p.shift, p.before, p.after, p.causal); }
void fill(Documents& p, Members from) {
  from.take(p.count, p.causal);
  from.take(p.begins);
}
void fill(Dilated& p, Members from) { from.take(p.segment, p.rate, p.phase, p.causal, p.zeroPadding); }
void fill(Strided& p, Members from) { from.take(p.rate, p.before, p.after, p.skip); }
void fill(Keys& p, Members from) {
  from.take(p.spans.count);
  from.take(p.spans.bounds);
}
void fill(Queries& p, Members from) {
  from.take(p.spans.count);
  from.take(p.spans.bounds);
}
void fill(Residues& p, Members from) { from.take(p.period, p.first, p.end); }
void fill(Blocks& p, Members from) {
  from.take(p.blockQ, p.blockKV, p.base, p.firstRow, p.rows, p.perRow);
  from.take(p.rowStart);
  from.take(p.columns);
}
void fill(Diagonals& p, Members from) {
  from.take(p.block, p.count);
  from.take(p.offsets);
}
void fill(Elements& p, Members from) {
  from.take(p.base, p.blockQ, p.blockKV, p.firstQuery, p.rows, p.firstKey, p.columns);
  from.take(p.mask);
}

bool make(const LongspanPattern& from, Pattern& pattern) {
  auto tryKind = [&]<class P>(P made) {
    if constexpr (requires { fill(made, Members{}); }) {
      if (strcmp(P::name, from.kind) != 0) return false;
      static_cast<Contiguous&>(made) = Contiguous(from.seqLenQ, from.seqLenKV, from.start);
      fill(made, {from.numbers, from.lists});
      pattern = made;
      return true;
    } else {
      return false;  // made of other patterns, or of lists that ops compute
    }
  };
#define LONGSPAN_TRY(Type, member) || tryKind(Type{})
  return false LONGSPAN_PATTERNS(LONGSPAN_TRY);
#undef LONGSPAN_TRY
}

}  // namespace
}  // namespace longspan::cuda

using namespace longspan;
#define LONGSPAN_EXPORT extern "C" __attribute__((visibility("default")))

LONGSPAN_EXPORT Pattern* longspanPattern(const LongspanPattern* each, int batch, int heads) {
  const int count = batch * heads;
  Pattern* made = new Pattern[count + 1];  // the whole, then its parts
  for (int i = 0; i < count; ++i) {
    if (cuda::make(each[i], made[i + 1])) continue;
    cuda::keepError("longspanPattern: there is no such kind");
    delete[] made;
    return nullptr;
  }
  if (count == 1) {
    made[0] = made[1];
  } else {
    made[0].each = made + 1;
    made[0].eachBatch = batch;
    made[0].eachHead = heads;
  }
  return made;
}

LONGSPAN_EXPORT void longspanForgetPattern(Pattern* pattern) { delete[] pattern; }

LONGSPAN_EXPORT int longspanCall(const char* name, const void* arguments) {
  const cuda::Row* row = cuda::find(name);
  const Backend& table = *longspanBackend();
  longspanDeviceCalls()->clearError();
  if (!row || !row->present(table)) {
    cuda::keepError("longspanCall: the table has no such row");
    return 1;
  }
  Parallel parallel;
  row->call(table, arguments, parallel);
  return longspanError()[0] != '\0';
}

LONGSPAN_EXPORT int longspanHasRow(const char* name) {
  const cuda::Row* row = cuda::find(name);
  return row && row->present(*longspanBackend());
}

LONGSPAN_EXPORT size_t longspanSizeOf(const char* name) {
  const cuda::Row* row = cuda::find(name);
  return row ? row->size : 0;
}

LONGSPAN_EXPORT void* longspanStream() { return cuda::stream(); }
