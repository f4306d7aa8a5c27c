// Deep copies of patterns: what each kind of pattern points to, and how long that is.
#include "upload.h"

#include <algorithm>

namespace longspan::cuda {
namespace {

template <class P>
void addLists(Upload&, P&) {}

void addLists(Upload& upload, Documents& p) { p.begins = upload.add(p.begins, p.count); }
void addLists(Upload& upload, Keys& p) { p.spans.bounds = upload.add(p.spans.bounds, 2 * int64_t(p.spans.count)); }
void addLists(Upload& upload, Queries& p) { p.spans.bounds = upload.add(p.spans.bounds, 2 * int64_t(p.spans.count)); }
void addLists(Upload& upload, Blocks& p) {
  const int64_t columns = p.rowStart ? p.rowStart[p.rows] : int64_t(p.rows) * p.perRow;
  p.columns = upload.add(p.columns, columns);
  p.rowStart = upload.add(p.rowStart, int64_t(p.rows) + 1);
}
void addLists(Upload& upload, Diagonals& p) { p.offsets = upload.add(p.offsets, p.count); }
void addLists(Upload& upload, Elements& p) { p.mask = upload.add(p.mask, int64_t(p.rows) * p.columns); }

// Lists of tokens were made on the device and are there.
void addLists(Upload& upload, Buckets& p) {
  p.spans = upload.add(p.spans, p.numSpans);
  p.earlier = upload.add(p.earlier, p.numEarlier);
}
void addLists(Upload& upload, Composite& p) {
  std::vector<Pattern> parts;
  for (int i = 0; i < p.count; ++i) parts.push_back(addPattern(upload, p.of[i]));
  p.of = upload.addOwn(parts);
}

}  // namespace

Pattern addPattern(Upload& upload, const Pattern& pattern) {
  Pattern copy = pattern;
  if (pattern.each) {
    std::vector<Pattern> each;
    for (int i = 0; i < pattern.eachBatch * pattern.eachHead; ++i) each.push_back(addPattern(upload, pattern.each[i]));
    copy.each = upload.addOwn(each);
    return copy;
  }
  switch (copy.kind) {
#define LONGSPAN_CASE(Type, member) \
  case Pattern::Kind::Type:         \
    addLists(upload, copy.member);  \
    break;
    LONGSPAN_PATTERNS(LONGSPAN_CASE)
#undef LONGSPAN_CASE
  }
  return copy;
}

int compositeDepthOf(const Pattern& pattern) {
  int depth = 0;
  if (pattern.each) {
    for (int i = 0; i < pattern.eachBatch * pattern.eachHead; ++i)
      depth = std::max(depth, compositeDepthOf(pattern.each[i]));
    return depth;
  }
  if (pattern.kind != Pattern::Kind::Composite) return 0;
  for (int i = 0; i < pattern.composite.count; ++i) depth = std::max(depth, compositeDepthOf(pattern.composite.of[i]));
  return depth + 1;
}

}  // namespace longspan::cuda
