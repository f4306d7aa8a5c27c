// copy: any dtype to any dtype, any strides. Axes are ordered by out's strides, so that out is written in order; where
// the inner axis of in is not dense but another one is, both are cut into tiles that fit L1 (a transposition).

constexpr int64_t tileEdge = 64;

// in[j + i * strideI] to out[i + j * strideJ] for i < countI <= tileEdge and j < countJ
typedef void (*TileCopier)(const void* in, int64_t strideI, void* out, int64_t strideJ, int64_t countI, int64_t countJ);

struct CopyPlan {
  Walk<2> walk;  // in, out
  RowConverter convert;
  TileCopier copyTile;  // may be null
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

// 16-bit and 8-bit dtypes of any meaning travel as the integers of their bits, so that they arrive unchanged
template <int bytes>
struct Bits;
template <>
struct Bits<1> {
  uint8_t bits;
};
template <>
struct Bits<2> {
  uint16_t bits;
};
typedef uint8_t UnalignedByteBits __attribute__((vector_size(lanes), aligned(1), may_alias));
LONGSPAN_INLINE Vec load(const Bits<1>* p) {
  return asFloat(__builtin_convertvector(*(const UnalignedByteBits*)p, VecInt));
}
LONGSPAN_INLINE Vec load(const Bits<2>* p) {
  return asFloat(__builtin_convertvector(*(const UnalignedHalfBits*)p, VecInt));
}
LONGSPAN_INLINE void store(Bits<1>* p, Vec x) {
  *(UnalignedByteBits*)p = __builtin_convertvector(asInt(x), UnalignedByteBits);
}
LONGSPAN_INLINE void store(Bits<2>* p, Vec x) { *(UnalignedHalfBits*)p = __builtin_convertvector(asInt(x), HalfBits); }

template <class From, class To>
LONGSPAN_INLINE To convertUnit(From x) {
  if constexpr (isSame<From, To>)
    return x;
  else
    return fromFloat<To>(toFloat(x));
}

// blocks of lanes × lanes are turned in registers
template <class From, class To>
void copyTile(const void* in, int64_t strideI, void* out, int64_t strideJ, int64_t countI, int64_t countJ) {
  const From* from = static_cast<const From*>(in);
  To* to = static_cast<To*>(out);
  const int64_t blocksI = countI / lanes * lanes, blocksJ = countJ / lanes * lanes;
  for (int64_t j = 0; j < blocksJ; j += lanes) {
    for (int64_t i = 0; i < blocksI; i += lanes) {
      Vec rows[lanes];
#pragma GCC unroll 16
      for (int row = 0; row < lanes; ++row) rows[row] = load(from + (i + row) * strideI + j);
      transpose(rows);
#pragma GCC unroll 16
      for (int row = 0; row < lanes; ++row) storeExactly(to + (j + row) * strideJ + i, rows[row]);
    }
  }
  for (int64_t j = 0; j < countJ; ++j) {
    for (int64_t i = j < blocksJ ? blocksI : 0; i < countI; ++i) {
      to[j * strideJ + i] = convertUnit<From, To>(from[i * strideI + j]);
    }
  }
}

template <class From>
TileCopier floatTileCopier(DType to) {
  if (to == DType::Float16) return copyTile<From, Float16>;
  return to == DType::BFloat16 ? copyTile<From, BFloat16> : copyTile<From, float>;
}

// null: no vectors for this pair
inline TileCopier tileCopier(DType from, DType to) {
  if (from == to) {
    switch (bytesOf(from)) {
      case 1:
        return copyTile<Bits<1>, Bits<1>>;
      case 2:
        return copyTile<Bits<2>, Bits<2>>;
      case 4:
        return copyTile<float, float>;
      default:
        return nullptr;
    }
  }
  if (from > DType::BFloat16 || to > DType::BFloat16) return nullptr;
  if (from == DType::Float16) return floatTileCopier<Float16>(to);
  return from == DType::BFloat16 ? floatTileCopier<BFloat16>(to) : floatTileCopier<float>(to);
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
      const int64_t countI = min(tileEdge, lengthI - i);
      const unsigned char* in = plan.in + (place.at[0] + firstJ + i * strideI) * plan.bytesIn;
      unsigned char* out = plan.out + (place.at[1] + firstJ * strideJ + i) * plan.bytesOut;
      if (plan.copyTile) {
        plan.copyTile(in, strideI, out, strideJ, countI, countJ);
        continue;
      }
      for (int64_t j = 0; j < countJ; ++j) {
        plan.convert(in + j * plan.bytesIn, strideI, out + j * strideJ * plan.bytesOut, 1, countI);
      }
    }
  });
}

void copy(const CopyArgs& args, Parallel& parallel) {
  const CopyPlan plan = {.walk = makeCopyWalk(args.in, args.out),
                         .convert = rowConverter(args.in.dtype, args.out.dtype),
                         .copyTile = tileCopier(args.in.dtype, args.out.dtype),
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
