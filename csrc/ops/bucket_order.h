// Tokens in the order of their buckets, and how many buckets there are. Host code of the stream, outside the ISA files.
#pragma once
#include <cstdint>
#include <vector>

namespace longspan {

// order[0, count) = the places of `keys`, ascending by key and then by place (radix sort). `spare` holds `count` more.
void sortByKey(const uint32_t* keys, int count, int* order, int* spare);

// `buckets` as a product of even factors, ascending: as few as have none above 32. Where no such product exists
// (2 · 17, 2 · 127), the one with the smallest largest factor.
std::vector<int> bucketFactors(int64_t buckets);
// The even number nearest to seqLen / chunk whose factors are all at most 32
int64_t defaultBuckets(int64_t seqLen, int64_t chunk);

// Normal values from a seed: splitmix64, then Box and Muller
void fillNormal(float* out, int64_t count, uint64_t seed);

}  // namespace longspan
