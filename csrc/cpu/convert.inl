// Every dtype to every dtype, in rows. Floats round to nearest even; to integers values are cut towards zero and held
// within the range, NaN gives 0. Kernels read and write float32 spans through FloatSource and FloatSink, so that each
// is written once for all dtypes and strides: the extra pass stays in L1.

template <class T>
constexpr bool isFloating = false;
template <>
constexpr bool isFloating<float> = true;
template <>
constexpr bool isFloating<Float16> = true;
template <>
constexpr bool isFloating<BFloat16> = true;
template <class A, class B>
constexpr bool isSame = false;
template <class A>
constexpr bool isSame<A, A> = true;

template <class T>
constexpr bool isSigned = T(-1) < T(0);
template <class T>
constexpr int64_t highest = int64_t((uint64_t(1) << (8 * sizeof(T) - isSigned<T>)) - 1);
template <class T>
constexpr int64_t lowest = isSigned<T> ? -highest<T> - 1 : 0;

template <class To, class From>
LONGSPAN_INLINE To convert(From x) {
  if constexpr (isFloating<To>) {
    if constexpr (isFloating<From>)
      return fromFloat<To>(toFloat(x));
    else
      return fromFloat<To>(float(x));
  } else if constexpr (isFloating<From>) {
    float value = toFloat(x);
    if (value != value) return 0;
    if (value >= float(highest<To>)) return To(highest<To>);
    if (value <= float(lowest<To>)) return To(lowest<To>);
    return To(value);
  } else {
    return To(max(lowest<To>, min(highest<To>, int64_t(x))));
  }
}

// core's sizeOf reads a table of its own, which would leave this file as a weak symbol
LONGSPAN_INLINE int bytesOf(DType dtype) {
  switch (dtype) {
    case DType::Int8:
    case DType::UInt8:
      return 1;
    case DType::Float16:
    case DType::BFloat16:
      return 2;
    case DType::Int64:
      return 8;
    default:
      return 4;
  }
}

// conversions asked for by name keep subnormals, which store() may flush
template <class T>
LONGSPAN_INLINE void storeExactly(T* p, Vec x) {
  store(p, x);
}

typedef void (*RowConverter)(const void* in, int64_t inStride, void* out, int64_t outStride, int64_t n);

template <class From, class To>
void convertRow(const void* in, int64_t inStride, void* out, int64_t outStride, int64_t n) {
  const From* from = static_cast<const From*>(in);
  To* to = static_cast<To*>(out);
  if (inStride == 1 && outStride == 1) {
    if constexpr (isSame<From, To>) {
      __builtin_memcpy(to, from, n * sizeof(To));
    } else {
      int64_t i = 0;
      if constexpr (isFloating<From> && isFloating<To>) {
        for (; i + lanes <= n; i += lanes) storeExactly(to + i, load(from + i));
      }
      for (; i < n; ++i) to[i] = convert<To>(from[i]);
    }
  } else if (inStride == 0 && outStride == 1) {
    To value = convert<To>(*from);
    for (int64_t i = 0; i < n; ++i) to[i] = value;
  } else {
    for (int64_t i = 0; i < n; ++i) to[i * outStride] = convert<To>(from[i * inStride]);
  }
}

template <class From>
RowConverter rowConverterFrom(DType to) {
  switch (to) {
    case DType::Float32:
      return convertRow<From, float>;
    case DType::Float16:
      return convertRow<From, Float16>;
    case DType::BFloat16:
      return convertRow<From, BFloat16>;
    case DType::Int8:
      return convertRow<From, int8_t>;
    case DType::UInt8:
      return convertRow<From, uint8_t>;
    case DType::Int32:
      return convertRow<From, int32_t>;
    case DType::Int64:
      return convertRow<From, int64_t>;
    default:  // of packed weights
      return nullptr;
  }
}

template <class T>
void moveRow(const void* in, int64_t inStride, void* out, int64_t outStride, int64_t n) {
  convertRow<T, T>(in, inStride, out, outStride, n);
}

inline RowConverter rowConverter(DType from, DType to) {
  if (from == to) {  // bits as they are: NaN payloads survive
    switch (bytesOf(from)) {
      case 1:
        return moveRow<uint8_t>;
      case 2:
        return moveRow<BFloat16>;
      case 4:
        return moveRow<int32_t>;
      default:
        return moveRow<int64_t>;
    }
  }
  switch (from) {
    case DType::Float32:
      return rowConverterFrom<float>(to);
    case DType::Float16:
      return rowConverterFrom<Float16>(to);
    case DType::BFloat16:
      return rowConverterFrom<BFloat16>(to);
    case DType::Int8:
      return rowConverterFrom<int8_t>(to);
    case DType::UInt8:
      return rowConverterFrom<uint8_t>(to);
    case DType::Int32:
      return rowConverterFrom<int32_t>(to);
    case DType::Int64:
      return rowConverterFrom<int64_t>(to);
    default:
      return nullptr;
  }
}

struct FloatSource {
  const unsigned char* data;
  DType dtype;
  RowConverter toFloats;
  explicit FloatSource(const TensorView& view)
      : data(view.as<const unsigned char>()), dtype(view.dtype), toFloats(rowConverter(view.dtype, DType::Float32)) {}
  // n values as dense float32: where they lie when they are that already, else in buffer
  LONGSPAN_INLINE const float* read(int64_t at, int64_t stride, int64_t n, float* buffer) const {
    const unsigned char* first = data + at * bytesOf(dtype);
    if (dtype == DType::Float32 && stride == 1) return reinterpret_cast<const float*>(first);
    toFloats(first, stride, buffer, 1, n);
    return buffer;
  }
};

struct FloatSink {
  unsigned char* data;
  DType dtype;
  RowConverter fromFloats;
  explicit FloatSink(const TensorView& view)
      : data(view.as<unsigned char>()), dtype(view.dtype), fromFloats(rowConverter(DType::Float32, view.dtype)) {}
  // where to put dense float32 results, to be followed by write(): out itself or buffer
  LONGSPAN_INLINE float* place(int64_t at, int64_t stride, float* buffer) const {
    if (dtype == DType::Float32 && stride == 1) return reinterpret_cast<float*>(data) + at;
    return buffer;
  }
  LONGSPAN_INLINE void write(const float* values, int64_t at, int64_t stride, int64_t n) const {
    unsigned char* first = data + at * bytesOf(dtype);
    if (reinterpret_cast<const float*>(first) != values) fromFloats(values, 1, first, stride, n);
  }
};

// f(a null pointer to the type) for a float dtype
template <class F>
LONGSPAN_INLINE void withFloatType(DType dtype, const F& f) {
  if (dtype == DType::Float16) return f((Float16*)nullptr);
  if (dtype == DType::BFloat16) return f((BFloat16*)nullptr);
  f((float*)nullptr);
}
