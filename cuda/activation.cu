// Gated activations (Shazeer 2020, "GLU variants improve transformer")
#include "activate.cuh"
#include "map.cuh"

namespace longspan::cuda {
namespace {

struct Gate {
  Activation kind;
  bool hasUp;
  template <int width>
  __device__ void operator()(float (&gate)[width], const float (&up)[width]) const {
    activateAll(kind, gate);
    if (!hasUp) return;
#pragma unroll
    for (int i = 0; i < width; ++i) gate[i] *= up[i];
  }
};

}  // namespace

void gated(const GatedArgs& args, Parallel&) {
  mapTensors("gated activation", args.gate, args.up, args.out, Gate{args.activation, bool(args.up)});
}

}  // namespace longspan::cuda
