// pack and matmul against float64 on every ISA of this machine: the largest error may be at most twice that of the
// naive computation in float32, plus the rounding of the output. A row's result must not depend, to the bit, on the
// rows beside it nor on the number of threads. `gemm_test bench [isa] [gemm | gemv] [threads]` prints
// shares of the machine's ceilings instead.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <time.h>

#include "core/backends.h"
#include "core/thread_pool.h"

using namespace longspan;

namespace {

// --- tensors of a test: values exactly representable in their dtype, and the bytes in memory
uint16_t toHalf(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const int exponent = int(bits >> 23 & 255) - 112;
  if (exponent <= 0) return uint16_t(bits >> 16 & 0x8000);  // test values need no subnormals
  return uint16_t((bits >> 16 & 0x8000) | exponent << 10 | (bits >> 13 & 0x3ff));
}
float fromHalf(uint16_t h) {
  if (!(h & 0x7fff)) return 0;
  return std::bit_cast<float>(uint32_t(h & 0x8000) << 16 | ((h & 0x7fff) + 0x1c000u) << 13);
}
float fromBFloat16(uint16_t b) { return std::bit_cast<float>(uint32_t(b) << 16); }
uint16_t toBFloat16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
float rounded(float x, DType dtype) {
  if (dtype == DType::Float16) return fromHalf(toHalf(x));
  return dtype == DType::BFloat16 ? fromBFloat16(toBFloat16(x)) : x;
}

std::vector<const Backend*> runnableBackends() {
  std::vector<const Backend*> runnable;
  for (const Backend* backend : cpuBackends()) {
    if (backend->isSupported()) runnable.push_back(backend);
  }
  return runnable;
}

struct Matrix {
  int64_t rows, columns, stride;
  DType dtype;
  std::vector<uint8_t> bytes;  // exactly up to the last value, so that a sanitizer sees a read beyond it
  Matrix(int64_t rows, int64_t columns, DType dtype, int64_t gap = 0)
      : rows(rows),
        columns(columns),
        stride(columns + gap),
        dtype(dtype),
        bytes((rows ? (rows - 1) * stride + columns : 0) * sizeOf(dtype), 0xff) {}  // 0xff…: NaN in the gaps
  float get(int64_t i, int64_t j) const {
    const uint8_t* p = bytes.data() + (i * stride + j) * sizeOf(dtype);
    if (dtype == DType::Float32) {
      float x;
      std::memcpy(&x, p, 4);
      return x;
    }
    uint16_t h;
    std::memcpy(&h, p, 2);
    return dtype == DType::Float16 ? fromHalf(h) : fromBFloat16(h);
  }
  void set(int64_t i, int64_t j, float x) {
    uint8_t* p = bytes.data() + (i * stride + j) * sizeOf(dtype);
    if (dtype == DType::Float32) {
      std::memcpy(p, &x, 4);
      return;
    }
    const uint16_t h = dtype == DType::Float16 ? toHalf(x) : toBFloat16(x);
    std::memcpy(p, &h, 2);
  }
  TensorView view() {
    TensorView v{.data = bytes.data(), .dtype = dtype, .rank = 2};
    v.shape[0] = rows, v.shape[1] = columns, v.strides[0] = stride, v.strides[1] = 1;
    return v;
  }
};

std::mt19937 generator(42);
float randomValue() { return std::uniform_real_distribution<float>(-1, 1)(generator); }
void fill(Matrix& matrix) {
  for (int64_t i = 0; i < matrix.rows; ++i) {
    for (int64_t j = 0; j < matrix.columns; ++j) matrix.set(i, j, rounded(randomValue(), matrix.dtype));
  }
}

struct Packed {
  void* data;
  PackedWeight weight;
  Packed(const Backend& backend, TensorView view, DType dtype, Parallel& pool) {
    const size_t bytes = packedBytes(view.shape[0], view.shape[1], dtype);
    data = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    std::memset(data, 0xff, bytes);
    backend.pack({.weight = view, .packed = data, .dtype = dtype}, pool);
    weight = {.data = data, .dtype = dtype, .outFeatures = view.shape[0], .inFeatures = view.shape[1]};
  }
  Packed(const Packed&) = delete;
  ~Packed() { std::free(data); }
};

int failures = 0;
template <class... Ts>
void check(bool good, const char* format, Ts... values) {
  if (good) return;
  ++failures;
  std::printf("FAILED ");
  std::printf(format, values...);
  std::printf("\n");
}

template <class T>
T activated(T x, Activation activation) {
  switch (activation) {
    case Activation::None:
      return x;
    case Activation::Silu:
      return x / (1 + std::exp(-x));
    case Activation::Gelu:
      return T(0.5) * x * (1 + std::erf(x * T(0.70710678118654752440)));
    case Activation::GeluTanh:
      return T(0.5) * x * (1 + std::tanh(T(0.79788456080286535588) * (x + T(0.044715) * x * x * x)));
    case Activation::Relu:
      return x > 0 ? x : 0;
  }
  return x;
}

// Of every block of 32: whole numbers up to `most`, one at the end of the range, times a scale that float16 holds and
// that leaves products something to round
void makeWhole(Matrix& weight, int most) {
  constexpr float scale = 1639 * 0x1p-17f;
  for (int64_t i = 0; i < weight.rows; ++i) {
    for (int64_t k = 0; k < weight.columns; ++k) {
      const bool isEnd = k % 32 == std::min<int64_t>(i % 32, (weight.columns - 1) % 32);
      const int level = isEnd ? (most == 7 ? -8 : 127) : int(std::lround(weight.get(i, k) * float(most)));
      weight.set(i, k, float(level) * scale);
    }
  }
}

struct Problem {  // with its answers for the most rows; fewer rows are its beginning
  int64_t rows, columns, depth;
  DType xType, weightType;  // the weight's panels; of quantised ones its values are such that nothing is rounded
  Matrix x, weight, bias, residual;
  std::vector<double> exact;  // [rows][columns], before the epilogue
  std::vector<float> naive;
  Problem(int64_t rows, int64_t columns, int64_t depth, DType xType, DType weightType)
      : rows(rows),
        columns(columns),
        depth(depth),
        xType(xType),
        weightType(weightType),
        x(rows, depth, xType, 3),
        weight(columns, depth, info(weightType).isFloat ? weightType : DType::Float32),
        bias(1, columns, DType::Float32),
        residual(rows, columns, DType::Float32, 2),
        exact(rows * columns),
        naive(rows * columns) {
    fill(x), fill(weight), fill(bias), fill(residual);
    if (!info(weightType).isFloat) makeWhole(weight, weightType == DType::Q8_0 ? 127 : 7);
    std::vector<float> xRow(depth), wRows(columns * depth);
    for (int64_t j = 0; j < columns; ++j) {
      for (int64_t k = 0; k < depth; ++k) wRows[j * depth + k] = weight.get(j, k);
    }
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t k = 0; k < depth; ++k) xRow[k] = x.get(i, k);
      for (int64_t j = 0; j < columns; ++j) {
        double sum = 0;
        float naiveSum = 0;
        for (int64_t k = 0; k < depth; ++k) {
          sum += double(xRow[k]) * wRows[j * depth + k];
          naiveSum += xRow[k] * wRows[j * depth + k];
        }
        exact[i * columns + j] = sum, naive[i * columns + j] = naiveSum;
      }
    }
  }
};

struct Epilogue {
  bool bias, residual, residualIsOut;
  Activation activation;
  DType outType;
};

Matrix run(const Backend& backend, Parallel& pool, Problem& p, const PackedWeight& weight, int64_t firstRow,
           int64_t rows, const Epilogue& e) {
  Matrix out(rows, p.columns, e.outType, 5);
  TensorView x = p.x.view(), residual = p.residual.view(), bias = p.bias.view();
  x.shape[0] = residual.shape[0] = rows;
  x.data = p.x.bytes.data() + firstRow * p.x.stride * sizeOf(p.xType);
  residual.data = p.residual.bytes.data() + firstRow * p.residual.stride * sizeof(float);
  bias.rank = 1, bias.shape[0] = p.columns, bias.strides[0] = 1;
  MatmulArgs args{.x = x, .weight = weight, .bias = {}, .residual = {}, .out = out.view(), .activation = e.activation};
  if (e.bias) args.bias = bias;
  if (e.residual) args.residual = residual;
  if (e.residualIsOut) {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < p.columns; ++j) out.set(i, j, p.residual.get(firstRow + i, j));
    }
    args.residual = args.out;
  }
  backend.matmul(args, pool);
  for (int64_t i = 0; i + 1 < rows; ++i) {
    for (int64_t j = p.columns; j < out.stride; ++j) {
      check(std::isnan(out.get(i, j)), "%s wrote beyond a row of out, m %ld n %ld", backend.name, rows, p.columns);
    }
  }
  return out;
}

void checkAgainstExact(const Backend& backend, Problem& p, const Matrix& out, const Epilogue& e) {
  double error = 0, naiveError = 0, largest = 0;
  for (int64_t i = 0; i < out.rows; ++i) {
    for (int64_t j = 0; j < p.columns; ++j) {
      double exact = p.exact[i * p.columns + j];
      float naive = p.naive[i * p.columns + j];
      if (e.bias) exact += p.bias.get(0, j), naive += p.bias.get(0, j);
      exact = activated(exact, e.activation), naive = activated(naive, e.activation);
      if (e.residual || e.residualIsOut) {
        const float residual = e.residualIsOut ? rounded(p.residual.get(i, j), e.outType) : p.residual.get(i, j);
        exact += residual, naive += residual;
      }
      largest = std::max(largest, std::abs(exact));
      naiveError = std::max(naiveError, std::abs(rounded(naive, e.outType) - exact));
      const double difference = std::abs(out.get(i, j) - exact);
      error = std::isnan(difference) ? std::numeric_limits<double>::infinity() : std::max(error, difference);
    }
  }
  const double unit = e.outType == DType::BFloat16 ? 0x1p-8 : 0x1p-23;
  check(error <= 2 * naiveError + unit * largest,
        "%s m %ld n %ld k %ld x %s weight %s out %s activation %d bias %d residual %d: error %.3g, naive %.3g",
        backend.name, out.rows, p.columns, p.depth, nameOf(p.xType), nameOf(p.weightType), nameOf(e.outType),
        int(e.activation), e.bias, e.residual, error, naiveError);
}

void checkShape(const Backend& backend, Parallel& one, Parallel& many, Problem& p) {
  Packed packed(backend, p.weight.view(), p.weightType, many);
  const Epilogue plain{false, false, false, Activation::None, DType::Float32};
  const Matrix full = run(backend, many, p, packed.weight, 0, p.rows, plain);
  checkAgainstExact(backend, p, full, plain);
  const Matrix again = run(backend, one, p, packed.weight, 0, p.rows, plain);
  check(full.bytes == again.bytes, "%s: result depends on the number of threads", backend.name);
  for (int64_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 33}) {
    if (rows > p.rows) continue;
    const int64_t firstRow = p.rows - rows;
    const Matrix part = run(backend, many, p, packed.weight, firstRow, rows, plain);
    bool same = true;
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < p.columns; ++j) same = same && part.get(i, j) == full.get(firstRow + i, j);
    }
    check(same, "%s m %ld n %ld k %ld x %s weight %s: a row depends on the rows beside it", backend.name, rows,
          p.columns, p.depth, nameOf(p.xType), nameOf(p.weightType));
  }
  for (DType outType : {DType::Float32, DType::BFloat16}) {
    for (int variant = 0; variant < 5; ++variant) {
      const Epilogue e{variant % 2 == 0, variant < 3, variant == 3, Activation(variant), outType};
      checkAgainstExact(backend, p, run(backend, many, p, packed.weight, 0, p.rows, e), e);
    }
  }
}

void checkPackOfStrides(const Backend& backend, Parallel& pool) {
  for (DType from : {DType::Float32, DType::Float16, DType::BFloat16}) {
    for (DType to : {DType::Float32, DType::Float16, DType::BFloat16}) {
      Matrix weight(77, 131, from, 2), transposed(131, 77, from, 1);
      fill(weight);
      for (int64_t i = 0; i < 77; ++i) {
        for (int64_t j = 0; j < 131; ++j) transposed.set(j, i, weight.get(i, j));
      }
      TensorView view = transposed.view();
      std::swap(view.shape[0], view.shape[1]), std::swap(view.strides[0], view.strides[1]);
      Packed a(backend, weight.view(), to, pool), b(backend, view, to, pool);
      const size_t bytes = packedBytes(77, 131, to);
      check(!std::memcmp(a.data, b.data, bytes), "%s: pack of a transposed weight differs", backend.name);
      const int64_t column = 76 - 64, k = 130, width = panelWidth, depth = to == DType::BFloat16 ? 132 : 131;
      const int64_t unit = to == DType::BFloat16 ? (k / 2 * width + column) * 2 + k % 2 : k * width + column;
      Matrix one(1, 1, to);
      std::memcpy(one.bytes.data(), (char*)a.data + (width * depth + unit) * sizeOf(to), sizeOf(to));
      const float expected = weight.get(76, 130);
      check(std::abs(one.get(0, 0) - expected) <= 0x1p-8 * std::abs(expected), "%s: pack misplaces values",
            backend.name);
    }
  }
}

int test() {
  ThreadPool one(1), many(3);
  for (DType xType : {DType::Float32, DType::BFloat16}) {
    for (DType weightType : {DType::Float32, DType::Float16, DType::BFloat16, DType::Q8_0, DType::Q4_0}) {
      for (int64_t columns : {1, 63, 64, 65, 1000}) {
        for (int64_t depth : {0, 1, 7, 64, 100, 1025, 2050}) {
          const int64_t rows = columns * depth > 200000 ? 33 : 100;
          if (columns == 1000 && depth > 100 && weightType != DType::Float16) continue;
          Problem problem(rows, columns, depth, xType, weightType);
          for (const Backend* backend : runnableBackends()) checkShape(*backend, one, many, problem);
        }
      }
    }
  }
  for (int64_t rows : {191, 200, 400}) {  // several blocks of rows
    for (DType weightType : {DType::BFloat16, DType::Q4_0}) {
      Problem problem(rows, 130, 70, DType::Float32, weightType);
      for (const Backend* backend : runnableBackends()) checkShape(*backend, one, many, problem);
    }
  }
  for (const Backend* backend : runnableBackends()) checkPackOfStrides(*backend, many);
  std::printf(failures ? "%d failures\n" : "gemm_test: all good\n", failures);
  return failures != 0;
}

#include "gemm_bench.inc"

}  // namespace

int main(int count, char** arguments) {
  if (count > 1 && std::string(arguments[1]) == "bench") {
    return bench(count > 2 ? arguments[2] : "", count > 3 ? arguments[3] : "", count > 4 ? std::atoi(arguments[4]) : 2);
  }
  return test();
}
