// A pattern at the lengths of a call: what lib/patterns asked for becomes the structs that the kernels walk.
#pragma once
#include <memory>
#include <vector>

#include "../core/parallel.h"
#include "enqueue.h"
#include "ops.h"

namespace longspan {

// Memory of patterns that are made of patterns.
class PatternArena {
 public:
  const Pattern* keep(std::vector<Pattern> patterns) {
    kept_.push_back(std::make_unique<std::vector<Pattern>>(std::move(patterns)));
    return kept_.back()->data();
  }
  const int* keep(std::vector<int> list) {
    lists_.push_back(std::make_unique<std::vector<int>>(std::move(list)));
    return lists_.back()->data();
  }

 private:
  std::vector<std::unique_ptr<std::vector<Pattern>>> kept_;
  std::vector<std::unique_ptr<std::vector<int>>> lists_;
};

struct ConcretePattern {
  const char* op;
  std::vector<Pattern> parts;   // attention is the sum over these: their outputs merged by lse
  std::vector<Tensor> tensors;  // lists that the parts point into: inputs of the op
  PatternArena arena;

  bool ownLengths = false;  // sequences differ: a list may be longer than the shortest of them needs
  bool checked = false;     // lists that were there at the call were found good then

  // Throws Error{Argument} where a list is not ascending or leaves the lengths: at the call where the lists are there,
  // else before the kernel reads them.
  void checkLists() const;
  void checkListsIfReady();
};
using PatternPointer = std::shared_ptr<const ConcretePattern>;

struct PatternLengths {
  int64_t batch, numHeads, seqLenQ, seqLenKV;
};
PatternPointer concretePattern(const char* op, const PatternSpec& spec, const PatternLengths& lengths);
// One entry for each sequence of the batch, of its own lengths.
PatternPointer concretePattern(const char* op, const PatternSpec& spec, const std::vector<PatternLengths>& sequences,
                               bool ownLengths);
// What causal, window and pattern of the options say.
PatternSpec patternOf(const char* op, const FlashAttentionOptions& options);

// Waits until the lists are there and checks them: for questions, which have their answer now.
void waitForLists(const ConcretePattern& pattern);
// Pairs that a pattern of one head allows.
double allowedPairs(const Pattern& pattern);

// The queries [first, first + count) of the heads from firstHead on and of one sequence of the batch.
Pattern slicedPattern(const Pattern& pattern, int first, int count, int batch, int firstHead, int numHeads,
                      PatternArena& arena);

}  // namespace longspan
