// pack: weights [outFeatures, inFeatures] with any strides, so a transposed matrix too, into panels of 64 output
// features (layout: core/backend.h). A stage of 64 rows is converted in L1, then written as whole lines of the panel.

constexpr int64_t stageDepth = 64;   // values of a row staged at a time: whole blocks
constexpr int64_t stageStride = 80;  // not a multiple of 4 KiB / 64: the 64 rows fall into different sets of L1

template <class Source, class Target>
LONGSPAN_INLINE void stageRow(const Source* row, int64_t stride, int64_t count, Target* target) {
  int64_t i = 0;
  if constexpr (isSame<Source, Target>) {
    if (stride == 1) __builtin_memcpy(target, row, count * sizeof(Target)), i = count;
  } else if (stride == 1) {
    for (; i + lanes <= count; i += lanes) store(target + i, load(row + i));
  }
  for (; i < count; ++i) {
    if constexpr (isSame<Source, Target>) {
      target[i] = row[i * stride];
    } else {
      target[i] = fromFloat<Target>(toFloat(row[i * stride]));
    }
  }
}

// One unit is what lies together for one column: a value, or for bfloat16 a pair along inFeatures.
template <class Unit>
LONGSPAN_INLINE void writeUnits(const void* stage, int64_t strideBytes, int64_t units, Unit* out) {
  typedef Unit Aliased __attribute__((may_alias));
  for (int64_t unit = 0; unit < units; ++unit) {
    for (int64_t column = 0; column < panelWidth; ++column) {
      out[unit * panelWidth + column] = ((const Aliased*)((const char*)stage + column * strideBytes))[unit];
    }
  }
}

// Values [k, k + stageDepth) of a panel's columns, what is beyond the weight zero
template <class Source, class Target>
void stageColumns(const PackArgs& args, int64_t panel, int64_t k, Target* stage) {
  const int64_t columns = min(panelWidth, args.weight.shape[0] - panel * panelWidth);
  const int64_t count = min(stageDepth, args.weight.shape[1] - k);
  for (int64_t column = 0; column < panelWidth; ++column) {
    Target* row = stage + column * stageStride;
    const int64_t filled = column < columns ? count : 0;
    if (filled) {
      const int64_t feature = panel * panelWidth + column;
      const Source* source = args.weight.as<Source>() + feature * args.weight.strides[0] + k * args.weight.strides[1];
      stageRow(source, args.weight.strides[1], count, row);
    }
    for (int64_t i = filled; i < stageDepth; ++i) row[i] = Target{};
  }
}

template <class Source, class Target>
void packPanel(const PackArgs& args, int64_t panel, Target* stage, const Parallel& parallel) {
  constexpr bool pairs = isSame<Target, BFloat16>;
  const int64_t inFeatures = args.weight.shape[1];
  const int64_t depth = pairs ? (inFeatures + 1) / 2 * 2 : inFeatures;
  Target* out = (Target*)args.packed + panel * panelWidth * depth;
  for (int64_t k = 0; k < inFeatures && !parallel.cancelled(); k += stageDepth) {
    const int64_t padded = min(stageDepth, depth - k);
    stageColumns<Source>(args, panel, k, stage);
    constexpr int64_t strideBytes = stageStride * sizeof(Target);
    if constexpr (pairs) {
      writeUnits(stage, strideBytes, padded / 2, (uint32_t*)(out + k * panelWidth));
    } else if constexpr (sizeof(Target) == 4) {
      writeUnits(stage, strideBytes, padded, (uint32_t*)(out + k * panelWidth));
    } else {
      writeUnits(stage, strideBytes, padded, (uint16_t*)(out + k * panelWidth));
    }
  }
}

// A step of a panel: the blocks of its columns, first their scales, then value by value, or for 4 bits word by word
template <class Format>
struct QuantisedStep {
  Float16 scales[panelWidth];
  uint8_t values[Format::bits * 4 * panelWidth];
};

template <class Source, class Format>
void quantisePanel(const PackArgs& args, int64_t panel, float* stage, const Parallel& parallel) {
  const int64_t inFeatures = args.weight.shape[1], steps = ceilDiv(inFeatures, quantisedBlock);
  auto* out = (QuantisedStep<Format>*)args.packed + panel * steps;
  for (int64_t step = 0; step < steps && !parallel.cancelled(); ++step) {
    const int64_t k = step * quantisedBlock;
    if (k % stageDepth == 0) stageColumns<Source>(args, panel, k, stage);
    for (int64_t column = 0; column < panelWidth; ++column) {
      uint32_t words[Format::bits];
      const float scale = quantise<Format>(stage + column * stageStride + k % stageDepth, words);
      out[step].scales[column] = fromFloat<Float16>(scale);
      if constexpr (Format::bits == 8) {
        for (int i = 0; i < quantisedBlock; ++i)
          out[step].values[i * panelWidth + column] = uint8_t(words[wordOf<Format>(i)] >> bitOf<Format>(i));
      } else {
        for (int i = 0; i < Format::bits; ++i)
          __builtin_memcpy(out[step].values + (i * panelWidth + column) * 4, words + i, 4);
      }
    }
  }
}

template <class Source, class Target>
void packPanels(const PackArgs& args, Parallel& parallel) {
  parallel.reserveScratch(parallel, panelWidth * stageStride * 4, 0);
  parallelFor(parallel, ceilDiv(args.weight.shape[0], panelWidth), [&](int64_t panel, int thread) {
    void* stage = parallel.threadScratch(parallel, thread);
    if constexpr (isQuantised<Target>) {
      quantisePanel<Source, Target>(args, panel, (float*)stage, parallel);
    } else {
      packPanel<Source>(args, panel, (Target*)stage, parallel);
    }
  });
}

template <class Target>
void packInto(const PackArgs& args, Parallel& parallel) {
  if (args.weight.dtype == DType::Float32) return packPanels<float, Target>(args, parallel);
  if (args.weight.dtype == DType::Float16) return packPanels<Float16, Target>(args, parallel);
  packPanels<BFloat16, Target>(args, parallel);
}

void pack(const PackArgs& args, Parallel& parallel) {
  if (forQuantised(args.dtype, [&](auto format) { packInto<decltype(format)>(args, parallel); })) return;
  if (args.dtype == DType::Float32) return packInto<float>(args, parallel);
  if (args.dtype == DType::Float16) return packInto<Float16>(args, parallel);
  packInto<BFloat16>(args, parallel);
}
