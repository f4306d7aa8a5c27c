// A plain C door into longspan_cuda.so for harnesses in other languages (scripts/cuda/harness.py): tests and benches
// alone use it, and it changes whenever they need it to. Arguments are the structs of csrc/core/backend.h, mirrored by
// the caller; longspanSizeOf() tells it whether its mirror still fits. csrc/core/plugin.h has the rest of the exports.
#pragma once
#include <cstddef>

namespace longspan {
struct Pattern;
}

extern "C" {
// A pattern without the layout of its C++ struct. Lists are host memory and outlive the pattern.
struct LongspanPattern {
  const char* kind;  // the name of its struct in csrc/attention: "full", "window", "dilatedWindow", …
  int seqLenQ, seqLenKV, start;
  int numbers[8];        // the struct's own members that are no lists, in their order
  const void* lists[2];  // and its lists, in theirs
};
// One pattern, or [batch][heads] of them, until longspanForgetPattern(). Null and longspanError() for a kind that does
// not exist or that needs other patterns.
longspan::Pattern* longspanPattern(const LongspanPattern* each, int batch, int heads);
void longspanForgetPattern(longspan::Pattern* pattern);

// Calls the row of the table of that name, `arguments` pointing to its struct. 0, or 1 and longspanError().
int longspanCall(const char* row, const void* arguments);
int longspanHasRow(const char* row);
size_t longspanSizeOf(const char* row);  // of its arguments in bytes; 0 where there is no such row
void* longspanStream();                  // the cudaStream_t of the device in use
}
