// Small cases over longspan_cuda.so for compute-sanitizer, of every family of kernels: no torch, no Node, a start of
// milliseconds. Each is compared with float64 on the CPU.
//   sanitize path/to/longspan_cuda.so [attention|buckets|products|rows|replay…]
// scripts/cuda/device.sh builds all of sanitize*.cc and runs it.
#include "sanitize.h"

#include <dlfcn.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>

#include "../../csrc/core/host_convert.h"
#include "../native/check.h"

namespace longspan::sanitize {

const Backend* table;
const DeviceCalls* calls;
bool isEmulated;

void require(bool good, const char* what) {
  if (good) return;
  int ignored;
  const char* text = calls ? calls->error(&ignored) : dlerror();
  std::fprintf(stderr, "FAILED %s: %s\n", what, text ? text : "");
  std::exit(2);
}

namespace {

double valueOf(uint16_t bits, DType dtype) {
  if (dtype == DType::BFloat16) return std::bit_cast<float>(uint32_t(bits) << 16);
  const int exponent = bits >> 10 & 31;
  const double mantissa = bits & 1023, magnitude = exponent == 31  ? (mantissa != 0 ? NAN : INFINITY)
                                                   : exponent == 0 ? std::ldexp(mantissa, -24)
                                                                   : std::ldexp(mantissa + 1024, exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

template <class T>
T at(const unsigned char* bytes, size_t i) {
  T value;
  std::memcpy(&value, bytes + i * sizeof value, sizeof value);
  return value;
}
double loadNumber(const unsigned char* bytes, DType dtype, size_t i) {
  switch (dtype) {
    case DType::Float32:
      return at<float>(bytes, i);
    case DType::Int8:
      return at<int8_t>(bytes, i);
    case DType::UInt8:
      return at<uint8_t>(bytes, i);
    case DType::Int32:
      return at<int32_t>(bytes, i);
    case DType::Int64:
      return double(at<int64_t>(bytes, i));
    default:
      return valueOf(at<uint16_t>(bytes, i), dtype);
  }
}

size_t sizeOfAll(const std::vector<int64_t>& shape) {
  size_t size = 1;
  for (int64_t extent : shape) size *= size_t(extent);
  return size;
}

double boundOf(DType dtype) { return dtype == DType::BFloat16 ? 5e-3 : dtype == DType::Float16 ? 1e-3 : 1e-5; }

}  // namespace

Memory::Memory(size_t bytes) : data_(calls->allocate(0, bytes)) { require(data_, "memory"); }

Values::Values(DType dtype, std::vector<int64_t> shape, unsigned seed, double scale)
    : dtype_(dtype),
      shape_(std::move(shape)),
      bytes_(sizeOfAll(shape_) * size_t(sizeOf(dtype)), 0xff),
      memory_(bytes_.size()) {
  values.resize(sizeOfAll(shape_));
  seed ? fill(seed, scale) : upload();
}
Values::Values(DType dtype, std::vector<int64_t> shape, std::vector<double> given)
    : Values(dtype, std::move(shape), 0) {
  write(given);
}

TensorView Values::view() const {
  TensorView v{memory_.data(), dtype_, int(shape_.size()), {}, {}};
  int64_t stride = 1;
  for (size_t i = shape_.size(); i-- > 0; stride *= shape_[i]) v.shape[i] = shape_[i], v.strides[i] = stride;
  return v;
}
TensorView Values::turned(int a, int b) const {
  TensorView v = view();
  std::swap(v.shape[a], v.shape[b]);
  std::swap(v.strides[a], v.strides[b]);
  return v;
}

void Values::upload() { require(calls->upload(memory_.data(), bytes_.data(), bytes_.size()) == 0, "uploading"); }
void Values::write(const std::vector<double>& given) {
  require(given.size() == values.size(), "as many values");
  for (size_t i = 0; i < values.size(); ++i) {
    storeNumber(bytes_.data(), dtype_, i, given[i]);
    values[i] = loadNumber(bytes_.data(), dtype_, i);
  }
  upload();
}
void Values::fill(unsigned seed, double scale) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  std::vector<double> made(values.size());
  for (double& one : made) one = scale * normal(random);
  write(made);
}
void Values::download() {
  require(calls->download(bytes_.data(), memory_.data(), bytes_.size()) == 0, "reading back");
  for (size_t i = 0; i < values.size(); ++i) values[i] = loadNumber(bytes_.data(), dtype_, i);
}

std::vector<double> rounded(DType dtype, std::vector<double> values) {
  unsigned char bytes[8];
  for (double& one : values) {
    storeNumber(bytes, dtype, 0, one);
    one = loadNumber(bytes, dtype, 0);
  }
  return values;
}

void turn(double* head, double position, const std::vector<double>& frequencies, double scale, bool interleaved) {
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const size_t first = interleaved ? 2 * i : i, second = interleaved ? first + 1 : i + frequencies.size();
    const double angle = position * frequencies[i], a = head[first], b = head[second];
    head[first] = scale * (a * std::cos(angle) - b * std::sin(angle));
    head[second] = scale * (b * std::cos(angle) + a * std::sin(angle));
  }
}

void run(const char* name, const std::function<void(Parallel&)>& f) {
  Parallel parallel;
  calls->clearError();
  f(parallel);
  int ignored;
  require(calls->error(&ignored)[0] == '\0' && calls->synchronise() == 0, name);
}

void compare(const char* name, Values& out, const std::vector<double>& expected, double bound) {
  out.download();
  double error = 0, norm = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (std::isnan(expected[i])) {
      check(std::isnan(out.values[i]), "%s: %g at %zu, expected NaN", name, out.values[i], i);
      continue;
    }
    error += (out.values[i] - expected[i]) * (out.values[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  const double relative = norm > 0 ? std::sqrt(error / norm) : std::sqrt(error);
  check(expected.size() == out.values.size() && relative < (bound > 0 ? bound : boundOf(out.dtype())),
        "%s: relative error %.2e", name, relative);
  std::printf("%s: relative error %.2e\n", name, relative);
}

namespace {

void load(const char* path) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  require(library, "loading the plugin");
  const auto version = reinterpret_cast<uint64_t (*)()>(dlsym(library, "longspanPluginVersion"));
  const auto backend = reinterpret_cast<const Backend* (*)()>(dlsym(library, "longspanBackend"));
  const auto device = reinterpret_cast<const DeviceCalls* (*)()>(dlsym(library, "longspanDeviceCalls"));
  const auto describe = reinterpret_cast<int (*)(int, char*, size_t)>(dlsym(library, "longspanDescribeDevice"));
  require(version && backend && device && describe && version() == pluginVersion, "a plugin of this build");
  table = backend();
  calls = device();
  char text[256] = "";
  require(calls->open(0) == 0 && describe(0, text, sizeof text) == 0, "device 0");
  isEmulated = std::strstr(text, "emulated") != nullptr;
  std::printf("%s\n", text);
}

constexpr struct {
  const char* name;
  void (*run)();
} groups[] = {{"attention", attentionCases},
              {"buckets", bucketCases},
              {"products", productCases},
              {"rows", rowCases},
              {"replay", replayCases}};

bool isAsked(const char* name, int count, char** names) {
  for (int i = 0; i < count; ++i)
    if (std::strcmp(names[i], name) == 0) return true;
  return count == 0;
}

}  // namespace
}  // namespace longspan::sanitize

int main(int count, char** arguments) {
  using namespace longspan::sanitize;
  if (count < 2) {
    std::fprintf(stderr, "usage: sanitize path/to/longspan_cuda.so [group…]\n");
    return 2;
  }
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  load(arguments[1]);
  for (const auto& group : groups)
    if (isAsked(group.name, count - 2, arguments + 2)) group.run();
  return finish("sanitize");
}
