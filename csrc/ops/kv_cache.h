// Storage of a model's keys and values: slabs per layer, allocated as the cache grows.
#pragma once
#include <vector>

#include "../core/kv_cache_view.h"
#include "../core/tensor.h"

namespace longspan {

struct KVCacheStorage {
  DType dtype;
  KVCoding coding = KVCoding::Plain;
  int64_t numKVHeads, headDim, valueDim;
  int keySets = 1;
  Device device;
  struct Layer {
    std::vector<std::shared_ptr<void>> slabs;
    int64_t length = 0;              // keys, the enqueued appends included
    std::shared_ptr<Storage> order;  // carries the completion of the last append
  };
  std::vector<Layer> layers;
};

}  // namespace longspan
