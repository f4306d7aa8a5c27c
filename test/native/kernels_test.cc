// Every small kernel of every ISA this machine runs against float64: odd sizes, all dtypes, dense, padded, strided,
// swapped and reversed layouts, special values; and the same bits for one thread and for three.
#include <algorithm>
#include <string>

#include "core/error.h"
#include "core/backends.h"
#include "tensors.h"

using namespace longspan;
using namespace longspan::test;

namespace {

constexpr DType floats[] = {DType::Float32, DType::Float16, DType::BFloat16};
const Backend* backend;

std::string label(const char* kernel, std::initializer_list<int64_t> numbers = {}) {
  std::string text = std::string(backend->name) + " " + kernel;
  for (int64_t n : numbers) text += " " + std::to_string(n);
  return text;
}

// runs the kernel with one thread, then with three: the same bits, and gives the output
template <class Run>
Array runTwice(const char* kernel, DType dtype, const std::vector<int64_t>& shape, Layout layout, const Run& run) {
  TestParallel one(1), three(3);
  Array out = makeArray(dtype, shape, layout), again = makeArray(dtype, shape, layout);
  run(out, one);
  run(again, three);
  check(*out.bytes == *again.bytes, label(kernel) + ": three threads give other bits than one");
  return out;
}

void testCopyConversions() {
  const double special[] = {0.0,       -0.0,     1,          -1,           0.5,           -0.5,       1.5,    2.5,
                            127.5,     128,      -128.9,     -129,         255.99,        256,        65504,  65519.99,
                            65520,     1e9,      2147483647, 2147483648.0, -2147483649.0, 1e18,       9.3e18, -9.3e18,
                            1e-8,      5.9e-8,   3e-8,       6.1e-5,       1.00390625,    1.01171875, 1e-40,  3.4e38,
                            3.3961e38, INFINITY, -INFINITY,  NAN};
  for (const DTypeInfo& from : dtypes) {
    for (const DTypeInfo& to : dtypes) {
      if (from.blockSize > 1 || to.blockSize > 1) continue;  // of packed weights only
      for (Layout layout : layouts) {
        Array in = randomArray(from.dtype, {3, 41}, layout, from.isFloat ? 100 : 1e4);
        for (int64_t i = 0; i < int64_t(std::size(special)); ++i) in.set(i * 2, special[i]);
        for (Layout outLayout : {Layout::Dense, Layout::Swapped, Layout::PaddedRows}) {
          Array out = runTwice("copy", to.dtype, {3, 41}, outLayout, [&](Array& o, Parallel& p) {
            backend->copy({in.view, o.view}, p);
          });
          bool same = true;
          for (int64_t i = 0; i < in.count(); ++i) {
            double want = roundTo(in.get(i), to.dtype), x = out.get(i);
            same &=
                std::isnan(want) ? std::isnan(x) : x == want && std::signbit(x) == (to.isFloat && std::signbit(want));
            if (!to.isFloat) same |= x == want && !std::isnan(want);
          }
          check(same, label("copy") + " " + from.name + " to " + to.name + " layout " + std::to_string(int(layout)));
          check(out.isWhole(), label("copy") + ": wrote outside");
        }
      }
    }
  }
}

void checkCopy(const Array& in, const Array& out, const char* what) {
  bool same = true;
  for (int64_t i = 0; i < in.count(); ++i) same &= out.get(i) == roundTo(in.get(i), out.view.dtype);
  check(same && out.isWhole(), label(what));
}

void testCopyShapes() {
  const std::vector<int64_t> shapes[] = {
      {}, {1}, {0, 3}, {40001}, {133, 97}, {1, 517}, {5, 67, 33}, {2, 3, 65, 70}, {2, 1, 3, 2, 1, 2, 3, 5}};
  for (const auto& shape : shapes) {
    for (Layout layout : layouts) {
      for (DType from : {DType::Float32, DType::BFloat16, DType::Int8, DType::Int64}) {
        for (DType to : {from, DType::Float32}) {
          Array in = randomArray(from, shape, layout, 50);
          for (Layout outLayout : {Layout::Dense, Layout::Swapped, Layout::Reversed}) {
            checkCopy(in,
                      runTwice("copy", to, shape, outLayout,
                               [&](Array& o, Parallel& p) {
                                 backend->copy({in.view, o.view}, p);
                               }),
                      "copy shapes");
          }
        }
      }
    }
  }
  Array row = randomArray(DType::Float32, {1, 300});  // broadcast by zero strides
  row.view.shape[0] = 200;
  row.view.strides[0] = 0;
  checkCopy(row,
            runTwice("copy", DType::Float16, {200, 300}, Layout::Dense,
                     [&](Array& o, Parallel& p) {
                       backend->copy({row.view, o.view}, p);
                     }),
            "copy broadcast rows");
  std::swap(row.view.shape[0], row.view.shape[1]);
  std::swap(row.view.strides[0], row.view.strides[1]);
  checkCopy(row,
            runTwice("copy", DType::Float32, {300, 200}, Layout::Dense,
                     [&](Array& o, Parallel& p) {
                       backend->copy({row.view, o.view}, p);
                     }),
            "copy broadcast columns");
}

void testEmbedding() {
  for (DType from : floats) {
    for (DType to : floats) {
      Array weight = randomArray(from, {97, 67}, Layout::PaddedRows),
            ids = makeArray(DType::Int32, {603}, Layout::StridedLast);
      for (int64_t i = 0; i < 603; ++i) ids.set(i, double(i * 31 % 97));
      int64_t bad = -1;
      auto run = [&](Array& o, Parallel& p) { backend->embedding({ids.view, weight.view, o.view, &bad}, p); };
      Array out = runTwice("embedding", to, {603, 67}, Layout::Dense, run);
      checkClose(
          out, [&](int64_t i) { return weight.get(int64_t(ids.get(i / 67)) * 67 + i % 67); }, 0, 0, label("embedding"));
      check(bad == -1, label("embedding: no bad id"));
      ids.set(580, 97);
      ids.set(500, -1);
      out = runTwice("embedding", to, {603, 67}, Layout::Dense, run);
      check(bad == 500 && out.get(500 * 67 + 66) == 0, label("embedding: lowest bad id", {bad}));
    }
  }
}

void testNorm() {
  for (int64_t n : {1, 7, 64, 129, 4097}) {
    for (bool centre : {false, true}) {
      for (DType from : floats) {
        for (DType to : floats) {
          for (Layout layout : {Layout::Dense, Layout::PaddedRows, Layout::Swapped, Layout::Reversed}) {
            Array x = randomArray(from, {2, 5, n}, layout), weight = randomArray(to, {n}),
                  bias = randomArray(from, {n}, Layout::StridedLast);
            NormArgs args = {.x = x.view, .weight = weight.view, .epsilon = 1e-6f, .centre = centre};
            if (centre) args.bias = bias.view;
            Array out = runTwice("norm", to, {2, 5, n}, layout == Layout::Dense ? Layout::Dense : Layout::PaddedRows,
                                 [&](Array& o, Parallel& p) {
                                   args.out = o.view;
                                   backend->norm(args, p);
                                 });
            std::vector<double> mean(10), scale(10);
            for (int64_t row = 0; row < 10; ++row) {
              double sum = 0, squares = 0;
              for (int64_t i = 0; centre && i < n; ++i) sum += x.get(row * n + i);
              mean[row] = sum / double(n);
              for (int64_t i = 0; i < n; ++i) squares += std::pow(x.get(row * n + i) - mean[row], 2);
              scale[row] = 1 / std::sqrt(squares / double(n) + 1e-6);
            }
            auto want = [&](int64_t i) {
              double value = (x.get(i) - mean[i / n]) * scale[i / n] * weight.get(i % n);
              return centre ? value + bias.get(i % n) : value;
            };
            checkClose(out, want, 1e-6, n == 1 && centre ? 1e-3 : 2e-6,
                       label("norm", {n, centre, int(from), int(to), int(layout)}));
          }
        }
      }
    }
  }
}

void testRope() {
  for (DType dtype : floats) {
    for (bool interleaved : {false, true}) {
      for (int64_t numFrequencies : {1, 3, 16, 20, 64}) {
        for (Layout layout : {Layout::Dense, Layout::PaddedRows, Layout::StridedLast}) {
          const int64_t headDim = 2 * numFrequencies + (layout == Layout::PaddedRows ? 5 : 0), seqLen = 37;
          Array x = randomArray(dtype, {2, seqLen, 3, headDim}, layout);
          Array positions = makeArray(DType::Int32, {2, seqLen});
          std::vector<double> frequencies(numFrequencies);
          for (int64_t i = 0; i < numFrequencies; ++i)
            frequencies[i] = std::pow(10000.0, -double(i) / double(numFrequencies));
          for (int64_t i = 0; i < 2 * seqLen; ++i) positions.set(i, double(i < seqLen ? i : 1000000 - i * 977));
          RopeArgs args = {.x = x.view,
                           .positions = positions.view,
                           .frequencies64 = frequencies.data(),
                           .numFrequencies = numFrequencies,
                           .attentionScale = 1.25f,
                           .interleaved = interleaved,
                           .positionStep = layout == Layout::Dense ? 1 : 0.3,
                           .positionOffset = layout == Layout::Dense ? 0 : -17.5};
          auto want = [&](int64_t i) {
            const int64_t dim = i % headDim, place = i / headDim / 3, base = i - dim;
            if (dim >= 2 * numFrequencies) return x.get(i);
            const int64_t f = interleaved ? dim / 2 : dim % numFrequencies;
            const bool second = interleaved ? dim % 2 : dim >= numFrequencies;
            const double angle = (positions.get(place) * args.positionStep + args.positionOffset) * frequencies[f];
            const double a = x.get(base + (interleaved ? 2 * f : f)),
                         b = x.get(base + (interleaved ? 2 * f + 1 : f + numFrequencies));
            return 1.25 *
                   (second ? b * std::cos(angle) + a * std::sin(angle) : a * std::cos(angle) - b * std::sin(angle));
          };
          Array out = runTwice("rope", dtype, {2, seqLen, 3, headDim}, Layout::Dense, [&](Array& o, Parallel& p) {
            args.out = o.view;
            backend->rope(args, p);
          });
          checkClose(out, want, 1e-6, 1e-6, label("rope", {int(dtype), interleaved, numFrequencies, int(layout)}));
          TestParallel three(3);
          args.out = x.view;  // in place
          std::vector<double> wanted;
          for (int64_t i = 0; i < x.count(); ++i) wanted.push_back(want(i));
          backend->rope(args, three);
          checkClose(
              x, [&](int64_t i) { return wanted[i]; }, 1e-6, 1e-6, label("rope in place"));
        }
      }
    }
  }
}

double activated(double x, Activation activation) {
  switch (activation) {
    case Activation::Silu:
      return x / (1 + std::exp(-x));
    case Activation::Gelu:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::GeluTanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::Relu:
      return x < 0 ? 0 : x;
    case Activation::None:
      break;
  }
  return x;
}

void testGated() {
  for (Activation activation :
       {Activation::None, Activation::Silu, Activation::Gelu, Activation::GeluTanh, Activation::Relu}) {
    for (DType dtype : floats) {
      for (Layout layout : layouts) {
        for (bool withUp : {true, false}) {
          Array gate = randomArray(dtype, {5, 1100}, layout, 3), up = randomArray(dtype, {5, 1100}, Layout::PaddedRows);
          const double extremes[] = {-1000, 1000, 88.8, -88.8, 0, 20, -20, NAN};
          for (int64_t i = 0; i < 8; ++i) gate.set(i, extremes[i]);
          Array out = runTwice("gated", dtype, {5, 1100}, Layout::Dense, [&](Array& o, Parallel& p) {
            GatedArgs args = {.gate = gate.view, .out = o.view, .activation = activation};
            if (withUp) args.up = up.view;
            backend->gated(args, p);
          });
          auto want = [&](int64_t i) { return activated(gate.get(i), activation) * (withUp ? up.get(i) : 1); };
          checkClose(out, want, 1e-6, 1e-6, label("gated", {int(activation), int(dtype), int(layout), withUp}));
        }
      }
    }
  }
}

void testBinary() {
  for (BinaryOp op : {BinaryOp::Add, BinaryOp::Mul}) {
    for (DType dtype : floats) {
      for (Layout layout : layouts) {
        for (int broadcast = 0; broadcast < 3; ++broadcast) {  // none, rows, columns of b
          Array a = randomArray(dtype, {7, 61, 103}, layout);
          Array b = randomArray(floats[(int(dtype) + broadcast) % 3],
                                {7, broadcast == 1 ? 1 : 61, broadcast == 2 ? 1 : 103}, layout);
          if (broadcast) b.view.shape[broadcast] = a.view.shape[broadcast], b.view.strides[broadcast] = 0;
          Array out = runTwice("binary", dtype, {7, 61, 103}, broadcast == 1 ? Layout::Swapped : Layout::Dense,
                               [&](Array& o, Parallel& p) {
                                 backend->binary({a.view, b.view, o.view, op}, p);
                               });
          auto want = [&](int64_t i) { return op == BinaryOp::Add ? a.get(i) + b.get(i) : a.get(i) * b.get(i); };
          checkClose(out, want, 6e-8, 1e-30, label("binary", {int(op), int(dtype), int(layout), broadcast}));
        }
      }
    }
  }
}

void testSoftmax() {
  for (int64_t n : {1, 3, 16, 100, 2048, 2049, 9001}) {
    for (DType dtype : floats) {
      for (Layout layout : layouts) {
        Array x = randomArray(dtype, {7, n}, layout, 5);
        for (int64_t i = 0; i < n; ++i) x.set(n + i, i == n / 2 ? 3 : -INFINITY);  // one live value
        for (int64_t i = 0; i < n; ++i) x.set(2 * n + i, -INFINITY);               // none: NaN
        x.set(3 * n + n / 2, NAN);
        for (int64_t i = 0; i < n; ++i) x.set(4 * n + i, i < n - 1 ? -60000 : 60000);
        for (int64_t i = 0; i < n; ++i) x.set(5 * n + i, i < n / 2 ? -INFINITY : x.get(5 * n + i));
        Array out = runTwice("softmax", dtype, {7, n}, layout == Layout::Dense ? Layout::Dense : Layout::PaddedRows,
                             [&](Array& o, Parallel& p) {
                               backend->softmax({x.view, o.view}, p);
                             });
        double largest[7], total[7];
        for (int64_t row = 0; row < 7; ++row) {
          largest[row] = -INFINITY, total[row] = 0;
          for (int64_t i = 0; i < n; ++i) largest[row] = std::fmax(largest[row], x.get(row * n + i));
          for (int64_t i = 0; i < n; ++i) total[row] += std::exp(x.get(row * n + i) - largest[row]);
        }
        auto want = [&](int64_t i) { return std::exp(x.get(i) - largest[i / n]) / total[i / n]; };
        checkClose(out, want, 4e-6, 1e-37, label("softmax", {n, int(dtype), int(layout)}));
      }
    }
  }
}

void testNll() {
  for (int64_t n : {1, 5, 1000, 2049, 32003}) {
    for (DType dtype : floats) {
      for (Layout layout : {Layout::Dense, Layout::PaddedRows, Layout::Swapped}) {
        Array logits = randomArray(dtype, {9, n}, layout, 4), targets = makeArray(DType::Int32, {9});
        for (int64_t row = 0; row < 9; ++row) targets.set(row, double(row * 7919 % n));
        if (n > 1) logits.set(3 * n + 1, -INFINITY);
        int64_t bad = -1;
        auto run = [&](Array& o, Parallel& p) { backend->nll({logits.view, targets.view, o.view, &bad}, p); };
        auto want = [&](int64_t row) {
          double largest = -INFINITY, total = 0;
          for (int64_t i = 0; i < n; ++i) largest = std::fmax(largest, logits.get(row * n + i));
          for (int64_t i = 0; i < n; ++i) total += std::exp(logits.get(row * n + i) - largest);
          return largest + std::log(total) - logits.get(row * n + int64_t(targets.get(row)));
        };
        checkClose(runTwice("nll", DType::Float32, {9}, Layout::Dense, run), want, 3e-7, 3e-7,
                   label("nll", {n, int(dtype), int(layout)}));
        targets.set(8, double(n));
        targets.set(5, -3);
        check(std::isnan(runTwice("nll", DType::Float32, {9}, Layout::Dense, run).get(5)) && bad == 5,
              label("nll: bad target", {bad}));
      }
    }
  }
}

void testTopK() {
  struct Case {
    int64_t rows, n, k;
  };
  for (Case c :
       {Case{5, 1, 1}, {3, 10, 10}, {4, 1000, 1}, {3, 1003, 17}, {2, 4099, 4099}, {1, 200001, 50}, {2, 150000, 1}}) {
    for (DType dtype : floats) {
      for (Layout layout : {Layout::Dense, Layout::PaddedRows, Layout::StridedLast}) {
        if (c.n > 10000 && (layout != Layout::Dense || dtype == DType::Float16)) continue;
        Array x = randomArray(dtype, {c.rows, c.n}, layout);
        for (int64_t i = 0; i < c.n; i += 3) x.set(i, double(i % 5));  // ties
        for (int64_t i = 0; i < c.n; i += 7) x.set((c.rows - 1) * c.n + i, i % 2 ? NAN : -0.0);
        TestParallel one(1), three(3);
        Array indices = makeArray(DType::Int32, {c.rows, c.k}), again = makeArray(DType::Int32, {c.rows, c.k});
        Array values = makeArray(DType::Float32, {c.rows, c.k});
        backend->topK({x.view, values.view, indices.view}, one);
        backend->topK({x.view, {}, again.view}, three);
        check(*indices.bytes == *again.bytes && indices.isWhole() && values.isWhole(), label("topK: threads"));
        std::vector<int64_t> order(c.n);
        bool same = true;
        for (int64_t row = 0; row < c.rows; ++row) {
          auto value = [&](int64_t i) { return x.get(row * c.n + i); };
          for (int64_t i = 0; i < c.n; ++i) order[i] = i;
          std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
            if (std::isnan(value(a)) || std::isnan(value(b))) return !std::isnan(value(a)) && std::isnan(value(b));
            return value(a) > value(b);
          });
          for (int64_t i = 0; i < c.k; ++i) {
            const double got = values.get(row * c.k + i), wanted = value(order[i]);
            same &= indices.get(row * c.k + i) == double(order[i]) &&
                    (got == wanted || (std::isnan(got) && std::isnan(wanted)));
          }
        }
        check(same, label("topK", {c.rows, c.n, c.k, int(dtype), int(layout)}));
      }
    }
  }
}

void testPick() {
  check(pickBackend("").isSupported(), "pickBackend: default");
  for (const Backend* each : cpuBackends()) {
    if (each->isSupported()) check(&pickBackend(each->name) == each, std::string("pickBackend: ") + each->name);
  }
  try {
    pickBackend("sse9");
    check(false, "pickBackend: sse9 must fail");
  } catch (const Error& error) {
    check(error.code == Code::Device && error.fields.size() == 3, "pickBackend: error fields");
    std::printf("%s\n", error.what());
  }
}

}  // namespace

int main() {
  testPick();
  for (const Backend* each : cpuBackends()) {
    if (!each->isSupported()) continue;
    backend = each;
    const int before = checks;
    for (auto test : {testCopyConversions, testCopyShapes, testEmbedding, testNorm, testRope, testGated, testBinary,
                      testSoftmax, testNll, testTopK})
      test();
    std::printf("%s: %d checks\n", each->name, checks - before);
  }
  std::printf("%d checks, %d failures\n", checks, failures);
  return failures ? 1 : 0;
}
