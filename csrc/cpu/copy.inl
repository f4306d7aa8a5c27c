// copy: any dtype to any dtype, any strides. Axes are ordered by out's strides, so that out is written in order; where
// the inner axis of in is not dense but another one is, both are cut into tiles that fit L1 (a transposition).

struct CopyPlan {
  Walk<2> walk;  // in, out
  RowConverter convert;
  int bytesIn, bytesOut;
  const unsigned char* in;
  unsigned char* out;
};

LONGSPAN_INLINE int64_t magnitude(int64_t x) { return x < 0 ? -x : x; }

Walk<2> makeCopyWalk(const TensorView& in, const TensorView& out) {
  int order[maxRank];
  for (int axis = 0; axis < out.rank; ++axis) {
    int place = axis;
    for (; place > 0 && magnitude(out.strides[order[place - 1]]) < magnitude(out.strides[axis]); --place) {
      order[place] = order[place - 1];
    }
    order[place] = axis;
  }
  Walk<2> walk;
  for (int i = 0; i < out.rank; ++i) {
    appendAxis(walk, out.shape[order[i]], {in.strides[order[i]], out.strides[order[i]]});
  }
  return walk;
}

constexpr int64_t tileEdge = 64;

// in[j + i * strideI] to out[i + j * strideJ], i < countI <= tileEdge
void copyTile(const CopyPlan& plan, const unsigned char* in, unsigned char* out, int64_t strideI, int64_t strideJ,
              int64_t countI, int64_t countJ) {
  for (int64_t j = 0; j < countJ; ++j) {
    plan.convert(in + j * plan.bytesIn, strideI, out + j * strideJ * plan.bytesOut, 1, countI);
  }
}

// The innermost axis i is dense in out, axis j in in. Items are the tiles along j of each place of the other axes.
void copyTransposed(const CopyPlan& plan, int axisJ, Parallel& parallel) {
  const Walk<2>& walk = plan.walk;
  const int axisI = walk.rank - 1;
  Walk<2> outer;
  for (int axis = 0; axis < axisI; ++axis) {
    if (axis != axisJ) appendAxis(outer, walk.shape[axis], walk.strides[axis]);
  }
  const int64_t lengthI = walk.shape[axisI], lengthJ = walk.shape[axisJ], tiles = ceilDiv(lengthJ, tileEdge);
  const int64_t strideI = walk.strides[axisI][0], strideJ = walk.strides[axisJ][1];
  const int64_t perItem = max(int64_t(1), elementsPerItem / (min(lengthJ, tileEdge) * lengthI));
  parallelGroups(parallel, outer.count * tiles, perItem, [&](int64_t index, int) {
    Place<2> place;
    moveTo(place, outer, outer.rank, index / tiles);
    const int64_t firstJ = index % tiles * tileEdge, countJ = min(tileEdge, lengthJ - firstJ);
    for (int64_t i = 0; i < lengthI; i += tileEdge) {
      copyTile(plan, plan.in + (place.at[0] + firstJ + i * strideI) * plan.bytesIn,
               plan.out + (place.at[1] + firstJ * strideJ + i) * plan.bytesOut, strideI, strideJ,
               min(tileEdge, lengthI - i), countJ);
    }
  });
}

void copy(const CopyArgs& args, Parallel& parallel) {
  const CopyPlan plan = {.walk = makeCopyWalk(args.in, args.out),
                         .convert = rowConverter(args.in.dtype, args.out.dtype),
                         .bytesIn = bytesOf(args.in.dtype),
                         .bytesOut = bytesOf(args.out.dtype),
                         .in = args.in.as<const unsigned char>(),
                         .out = args.out.as<unsigned char>()};
  const Walk<2>& walk = plan.walk;
  if (walk.count == 0) return;
  const int inner = walk.rank - 1;
  if (inner > 0 && walk.strides[inner][1] == 1 && magnitude(walk.strides[inner][0]) > 1) {
    for (int axis = inner - 1; axis >= 0; --axis) {
      if (walk.strides[axis][0] == 1) return copyTransposed(plan, axis, parallel);
    }
  }
  forSpans(walk, elementsPerItem, parallel, [&](const int64_t(&at)[2], const int64_t(&strides)[2], int64_t n) {
    plan.convert(plan.in + at[0] * plan.bytesIn, strides[0], plan.out + at[1] * plan.bytesOut, strides[1], n);
  });
}
