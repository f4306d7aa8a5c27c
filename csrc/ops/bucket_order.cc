#include "bucket_order.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace longspan {
namespace {

constexpr int maxFactor = 32;

// The product of `count` even factors ≥ least with the smallest largest one; nothing if there is none
std::vector<int> splitEvenly(int64_t product, int count, int64_t least) {
  if (count == 1) return product % 2 == 0 && product >= least ? std::vector<int>{int(product)} : std::vector<int>{};
  std::vector<int> best;
  for (int64_t factor = least; std::pow(double(factor), count) <= double(product) * (1 + 1e-9); factor += 2) {
    if (product % factor) continue;
    std::vector<int> rest = splitEvenly(product / factor, count - 1, factor);
    if (rest.empty() || (!best.empty() && best.back() <= rest.back())) continue;
    rest.insert(rest.begin(), int(factor));
    best = rest;
  }
  return best;
}

}  // namespace

void sortByKey(const uint32_t* keys, int count, int* order, int* spare) {
  constexpr int digitBits = 11, numDigits = 1 << digitBits;
  uint32_t all = 0;
  for (int i = 0; i < count; ++i) all |= keys[i];
  int passes = std::max(1, (int(std::bit_width(all)) + digitBits - 1) / digitBits);
  const int* from = nullptr;  // at first: every place, in order
  for (int pass = 0; pass < passes; ++pass) {
    int* to = (passes - pass) % 2 ? order : spare;
    int shift = pass * digitBits, ends[numDigits + 1] = {};
    for (int i = 0; i < count; ++i) ++ends[(keys[i] >> shift & (numDigits - 1)) + 1];
    for (int d = 0; d < numDigits; ++d) ends[d + 1] += ends[d];
    for (int i = 0; i < count; ++i) {
      int place = from ? from[i] : i;
      to[ends[keys[place] >> shift & (numDigits - 1)]++] = place;
    }
    from = to;
  }
}

std::vector<int> bucketFactors(int64_t buckets) {
  std::vector<int> best = {int(buckets)};
  for (int count = 2; best.back() > maxFactor && int64_t(1) << count <= buckets; ++count) {
    std::vector<int> factors = splitEvenly(buckets, count, 2);
    if (!factors.empty() && factors.back() < best.back()) best = factors;
  }
  return best;
}

int64_t defaultBuckets(int64_t seqLen, int64_t chunk) {
  int64_t even = std::max<int64_t>(2, (seqLen / chunk + 1) / 2 * 2);
  for (int64_t away = 0;; away += 2)
    for (int64_t buckets : {even - away, even + away})
      if (buckets >= 2 && bucketFactors(buckets).back() <= maxFactor) return buckets;
}

void fillNormal(float* out, int64_t count, uint64_t seed) {
  auto uniform = [&] {  // in (0, 1]
    uint64_t z = seed += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return double(((z ^ z >> 31) >> 11) + 1) * 0x1p-53;
  };
  for (int64_t i = 0; i < count; i += 2) {
    double radius = std::sqrt(-2 * std::log(uniform())), angle = 2 * M_PI * uniform();
    out[i] = float(radius * std::cos(angle));
    if (i + 1 < count) out[i + 1] = float(radius * std::sin(angle));
  }
}

}  // namespace longspan
