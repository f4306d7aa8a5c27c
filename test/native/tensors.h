// What native kernel tests share: tensors of any dtype and strides with guard bytes around them, exact rounding of
// float64 to a dtype, and a Parallel with a chosen number of threads.
#pragma once
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "core/backend.h"

namespace longspan::test {

// --- values of a dtype as float64
inline double decode16(uint16_t bits, int mantissaBits, int bias) {
  int exponentMax = (1 << (15 - mantissaBits)) - 1, exponent = bits >> mantissaBits & exponentMax;
  double mantissa = bits & ((1 << mantissaBits) - 1), sign = bits >> 15 ? -1 : 1;
  if (exponent == exponentMax) return mantissa != 0 ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissaBits);
  return sign * std::ldexp(mantissa + (1 << mantissaBits), exponent - bias - mantissaBits);
}
inline const std::vector<double>& valuesOf16(bool isBFloat16) {
  static const auto make = [](int mantissaBits, int bias) {
    std::vector<double> values(65536);
    for (int bits = 0; bits < 65536; ++bits) values[bits] = decode16(uint16_t(bits), mantissaBits, bias);
    return values;
  };
  static const std::vector<double> tables[] = {make(10, 15), make(7, 127)};
  return tables[isBFloat16];
}

struct FloatFormat {
  int mantissaBits, minExponent, maxExponent;
};
inline FloatFormat formatOf(DType d) {
  if (d == DType::Float16) return {10, -14, 15};
  if (d == DType::BFloat16) return {7, -126, 127};
  return {23, -126, 127};
}
// the spacing of a float dtype's values near x
inline double ulp(double x, DType d) {
  FloatFormat f = formatOf(d);
  int exponent = x == 0 ? f.minExponent : std::max(f.minExponent, std::ilogb(x));
  return std::ldexp(1.0, exponent - f.mantissaBits);
}
// x rounded to nearest even in a float dtype, or cut and held within the range of an integer one
inline double roundTo(double x, DType d) {
  if (info(d).isFloat) {
    if (!std::isfinite(x)) return x;
    double step = ulp(x, d), rounded = std::nearbyint(x / step) * step;
    return std::fabs(rounded) >= std::ldexp(2.0, formatOf(d).maxExponent) ? std::copysign(INFINITY, x) : rounded;
  }
  if (std::isnan(x)) return 0;
  int bits = 8 * sizeOf(d) - (d != DType::UInt8);
  double high = std::ldexp(1.0, bits), low = d == DType::UInt8 ? 0 : -high;
  return std::min(std::max(std::trunc(x), low), bits == 63 ? high : high - 1);
}

struct Array {
  static constexpr size_t guard = 64;
  static constexpr unsigned char guardByte = 0xa5;
  TensorView view;
  std::shared_ptr<std::vector<unsigned char>> bytes;

  int64_t count() const {
    int64_t n = 1;
    for (int axis = 0; axis < view.rank; ++axis) n *= view.shape[axis];
    return n;
  }
  int64_t offset(int64_t index) const {  // of the index-th element in row-major order
    int64_t at = 0;
    for (int axis = view.rank - 1; axis >= 0; --axis) {
      at += index % view.shape[axis] * view.strides[axis];
      index /= view.shape[axis];
    }
    return at;
  }
  double get(int64_t index) const {
    const int64_t at = offset(index);
    switch (view.dtype) {
      case DType::Float32:
        return view.as<float>()[at];
      case DType::Float16:
        return valuesOf16(false)[view.as<uint16_t>()[at]];
      case DType::BFloat16:
        return valuesOf16(true)[view.as<uint16_t>()[at]];
      case DType::Int8:
        return view.as<int8_t>()[at];
      case DType::UInt8:
        return view.as<uint8_t>()[at];
      case DType::Int32:
        return view.as<int32_t>()[at];
      case DType::Int64:
        return double(view.as<int64_t>()[at]);
      default:
        return 0;
    }
  }
  void set(int64_t index, double value) {
    const int64_t at = offset(index);
    const double x = roundTo(value, view.dtype);
    switch (view.dtype) {
      case DType::Float32:
        view.as<float>()[at] = float(x);
        break;
      case DType::Float16: {
        const auto& values = valuesOf16(false);
        auto bits = std::lower_bound(values.begin(), values.begin() + 0x7c00, std::fabs(x)) - values.begin();
        view.as<uint16_t>()[at] = uint16_t((std::signbit(x) ? 0x8000 : 0) | (std::isnan(x) ? 0x7e00 : bits));
        break;
      }
      case DType::BFloat16: {
        float f = float(x);
        uint32_t bits;
        std::memcpy(&bits, &f, 4);
        view.as<uint16_t>()[at] = uint16_t(bits >> 16);
        break;
      }
      case DType::Int8:
        view.as<int8_t>()[at] = int8_t(x);
        break;
      case DType::UInt8:
        view.as<uint8_t>()[at] = uint8_t(x);
        break;
      case DType::Int32:
        view.as<int32_t>()[at] = int32_t(x);
        break;
      case DType::Int64:
        view.as<int64_t>()[at] = x >= 0x1p63 ? INT64_MAX : int64_t(x);
        break;
      default:
        break;
    }
  }
  // the guards are whole, and bytes between strided elements too
  bool isWhole() const {
    std::vector<char> own(bytes->size());
    for (int64_t i = 0, n = count(); i < n; ++i) {
      auto first = view.as<unsigned char>() + offset(i) * sizeOf(view.dtype) - bytes->data();
      for (int b = 0; b < sizeOf(view.dtype); ++b) own[first + b] = 1;
    }
    for (size_t i = 0; i < own.size(); ++i) {
      if (!own[i] && (*bytes)[i] != guardByte) return false;
    }
    return true;
  }
};

enum class Layout { Dense, PaddedRows, StridedLast, Swapped, Reversed };
inline constexpr Layout layouts[] = {Layout::Dense, Layout::PaddedRows, Layout::StridedLast, Layout::Swapped,
                                     Layout::Reversed};

inline Array makeArray(DType dtype, const std::vector<int64_t>& shape, Layout layout = Layout::Dense) {
  Array array;
  TensorView& view = array.view;
  view.dtype = dtype;
  view.rank = int(shape.size());
  std::vector<int> order;  // from the innermost
  for (int axis = view.rank - 1; axis >= 0; --axis) order.push_back(axis);
  if (layout == Layout::Swapped && view.rank >= 2) std::swap(order[0], order[1]);
  int64_t stride = layout == Layout::StridedLast ? 3 : 1, first = 0;
  for (int axis : order) {
    view.shape[axis] = shape[axis];
    view.strides[axis] = stride;
    stride *= std::max<int64_t>(1, shape[axis]);
    if (layout == Layout::PaddedRows && axis == order[0]) stride += 5;
    if (layout == Layout::Reversed && shape[axis] > 0) {
      first += (shape[axis] - 1) * view.strides[axis];
      view.strides[axis] *= -1;
    }
  }
  array.bytes =
      std::make_shared<std::vector<unsigned char>>(stride * sizeOf(dtype) + 2 * Array::guard, Array::guardByte);
  view.data = array.bytes->data() + Array::guard + first * sizeOf(dtype);
  return array;
}

inline std::mt19937_64& generator() {
  static std::mt19937_64 engine(1);
  return engine;
}
inline Array randomArray(DType dtype, const std::vector<int64_t>& shape, Layout layout = Layout::Dense,
                         double scale = 1) {
  Array array = makeArray(dtype, shape, layout);
  std::normal_distribution<double> normal(0, scale);
  for (int64_t i = 0, n = array.count(); i < n; ++i) array.set(i, normal(generator()));
  return array;
}

// --- threads
struct TestParallel : Parallel {
  std::vector<std::unique_ptr<unsigned char, void (*)(void*)>> blocks;
  explicit TestParallel(int threads) {
    numThreads = threads;
    runItems = [](Parallel& self, int64_t count, void (*body)(void*, int64_t, int), void* context) {
      std::atomic<int64_t> next = 0;
      auto work = [&](int thread) {
        for (int64_t item; (item = next++) < count;) body(context, item, thread);
      };
      std::vector<std::thread> workers;
      for (int thread = 1; thread < self.numThreads; ++thread) workers.emplace_back(work, thread);
      work(0);
      for (std::thread& worker : workers) worker.join();
    };
    reserveScratch = [](Parallel& self, size_t perThread, size_t shared) {
      auto& blocks = static_cast<TestParallel&>(self).blocks;
      blocks.clear();
      for (int i = 0; i <= self.numThreads; ++i) {
        size_t bytes = ((i ? perThread : shared) + 127) / 64 * 64;
        blocks.emplace_back(static_cast<unsigned char*>(std::aligned_alloc(64, bytes)), std::free);
        std::memset(blocks.back().get(), 0xff, bytes);
      }
    };
    threadScratch = [](Parallel& self, int thread) {
      return static_cast<TestParallel&>(self).blocks[thread + 1].get();
    };
    sharedScratch = [](Parallel& self) { return static_cast<TestParallel&>(self).blocks[0].get(); };
  }
};

// --- verdicts
inline int failures = 0;
inline int checks = 0;
inline void check(bool good, const std::string& what) {
  ++checks;
  if (good) return;
  if (++failures <= 20) std::fprintf(stderr, "FAILED %s\n", what.c_str());
}
// every element within `relative`·|expected| + `absolute` + half an ulp of the dtype; NaN and ∞ must be equal
inline void checkClose(const Array& got, const std::function<double(int64_t)>& expected, double relative,
                       double absolute, const std::string& what) {
  double worst = 0;
  int64_t place = -1;
  for (int64_t i = 0, n = got.count(); i < n; ++i) {
    double x = got.get(i), want = expected(i), excess;
    if (std::isnan(want) || std::isinf(roundTo(want, got.view.dtype))) {
      excess = std::isnan(want) ? !std::isnan(x) : x != roundTo(want, got.view.dtype);
    } else {
      double bound = relative * std::fabs(want) + absolute + 0.5 * ulp(want, got.view.dtype);
      excess = std::isnan(x) ? 1e9 : std::fabs(x - want) / bound;
      if (excess <= 1) excess = 0;
    }
    if (excess > worst) worst = excess, place = i;
  }
  std::string message = what;
  if (place >= 0) {
    message += ": element " + std::to_string(place) + " is " + std::to_string(got.get(place)) + ", not " +
               std::to_string(expected(place)) + " (" + std::to_string(worst) + " times the bound)";
  }
  check(place < 0, message);
  check(got.isWhole(), what + ": wrote outside the tensor");
}

}  // namespace longspan::test
