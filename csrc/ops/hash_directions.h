// The random directions of a hash of tokens, given by the caller or drawn from a seed.
#pragma once
#include "../core/shape.h"
#include "enqueue.h"

namespace longspan {

struct HashDirections {
  std::vector<int> factors;    // of the number of buckets
  int rounds, heads, headDim;  // heads: that have directions of their own
  Tensor packed;               // [rounds, heads, columns, headDim] float32, and spare rows: an input of the op

  int columns() const;
  // Buckets of x [batch, seqLen, heads, headDim] into out [rounds, batch, numHeads, seqLen]
  void hash(const Tensor& x, int numHeads, const Tensor& out, const Backend& table, Parallel& parallel) const;
};

struct HashSpec {
  const char* op;
  std::optional<int64_t> buckets;
  std::optional<Tensor> rotations;
  int64_t fallback;  // buckets, where neither says how many
  int64_t rounds, headDim, numHeads;
  const char* heads;  // the name of numHeads
  bool hasRounds;     // rotations have an axis of rounds
  int64_t seed;
  Device device;
};
// Checks buckets and rotations; enqueues the making of the directions.
HashDirections hashDirections(const HashSpec& spec);

}  // namespace longspan
