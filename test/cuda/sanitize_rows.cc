// What works on rows or single values: top-k, copies, norms, softmax, rope, embedding, nll, activations.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "../native/check.h"
#include "sanitize.h"

namespace longspan::sanitize {
namespace {

constexpr DType f32 = DType::Float32, f16 = DType::Float16, bf16 = DType::BFloat16;
constexpr double exactly = 1e-12;

void topK(int rows, int n, int k, DType dtype) {
  const std::string name = "top " + std::to_string(k) + " of " + std::to_string(n);
  Values x(dtype, {rows, n}, 1), values(f32, {rows, k}, 0), indices(DType::Int32, {rows, k}, 0);
  std::vector<double> steps = x.values;
  for (double& one : steps) one = std::round(one * 8) / 8;  // many ties, of which the lower index comes first
  x.write(steps);
  run(name.c_str(), [&](Parallel& parallel) { table->topK({x.view(), values.view(), indices.view()}, parallel); });
  std::vector<double> best, places;
  for (int row = 0; row < rows; ++row) {
    std::vector<int> order(n);
    std::iota(order.begin(), order.end(), 0);
    const double* of = x.values.data() + size_t(row) * n;
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return of[a] > of[b]; });
    for (int i = 0; i < k; ++i) best.push_back(of[order[i]]), places.push_back(order[i]);
  }
  compare((name + ", values").c_str(), values, best, exactly);
  compare((name + ", indices").c_str(), indices, places, exactly);
}

void copy(const char* name, const Values& in, const TensorView& from, Values& out,
          const std::vector<double>& expected) {
  run(name, [&](Parallel& parallel) { table->copy({from, out.view()}, parallel); });
  compare(name, out, rounded(out.dtype(), expected), exactly);
  check(in.values.size() > 0, "%s: something is copied", name);
}
void turnedCopy(const char* name, DType from, DType to) {
  const int outer = 2, rows = 70, columns = 45;
  Values in(from, {outer, rows, columns}, 1, 20), out(to, {outer, columns, rows}, 0);
  std::vector<double> expected(in.values.size());
  for (int a = 0; a < outer; ++a)
    for (int i = 0; i < rows; ++i)
      for (int j = 0; j < columns; ++j)
        expected[(size_t(a) * columns + j) * rows + i] = in.values[(size_t(a) * rows + i) * columns + j];
  copy(name, in, in.turned(1, 2), out, expected);
}
void plainCopy(const char* name, DType from, DType to, int columns) {  // of every second row
  const int rows = 18;
  Values in(from, {2 * rows, columns}, 1, 20), out(to, {rows, columns}, 0);
  TensorView view = in.view();
  view.shape[0] = rows, view.strides[0] *= 2;
  std::vector<double> expected;
  for (int row = 0; row < rows; ++row)
    for (int column = 0; column < columns; ++column) expected.push_back(in.values[size_t(2 * row) * columns + column]);
  copy(name, in, view, out, expected);
}

void norm(const char* name, DType dtype, int rows, int n, bool centre) {
  Values x(dtype, {rows, n}, 1, 3), weight(dtype, {n}, 2), bias(dtype, {n}, 3), out(dtype, {rows, n}, 0);
  run(name, [&](Parallel& parallel) {
    table->norm({x.view(), weight.view(), centre ? bias.view() : TensorView{}, out.view(), 1e-5f, centre}, parallel);
  });
  std::vector<double> expected(x.values.size());
  for (int row = 0; row < rows; ++row) {
    const double* of = x.values.data() + size_t(row) * n;
    const double mean = centre ? std::accumulate(of, of + n, 0.0) / n : 0;
    double squares = 0;
    for (int i = 0; i < n; ++i) squares += (of[i] - mean) * (of[i] - mean);
    for (int i = 0; i < n; ++i)
      expected[size_t(row) * n + i] =
          (of[i] - mean) / std::sqrt(squares / n + 1e-5) * weight.values[i] + (centre ? bias.values[i] : 0);
  }
  compare(name, out, expected);
}

void softmax(const char* name, DType dtype, int rows, int n) {
  Values x(dtype, {rows, n}, 1, 3), out(dtype, {rows, n}, 0);
  run(name, [&](Parallel& parallel) { table->softmax({x.view(), out.view()}, parallel); });
  std::vector<double> expected(x.values.size());
  for (int row = 0; row < rows; ++row) {
    double total = 0;
    for (int i = 0; i < n; ++i) total += std::exp(x.values[size_t(row) * n + i]);
    for (int i = 0; i < n; ++i) expected[size_t(row) * n + i] = std::exp(x.values[size_t(row) * n + i]) / total;
  }
  compare(name, out, expected);
}

// One target and one id are none: the place is told, and marked
void nll(const char* name, DType dtype, int rows, int n) {
  Values logits(dtype, {rows, n}, 1, 3), out(f32, {rows}, 0);
  std::vector<double> wanted(rows);
  for (int row = 0; row < rows; ++row) wanted[row] = row == rows - 2 ? n : row * 7 % n;
  const Values targets(DType::Int32, {rows}, wanted);
  int64_t bad = -1;
  run(name, [&](Parallel& parallel) { table->nll({logits.view(), targets.view(), out.view(), &bad}, parallel); });
  check(bad == rows - 2, "%s: the bad target is at %d, got %lld", name, rows - 2, static_cast<long long>(bad));
  std::vector<double> expected(rows, NAN);
  for (int row = 0; row < rows; ++row) {
    double total = 0;
    for (int i = 0; i < n; ++i) total += std::exp(logits.values[size_t(row) * n + i]);
    if (row != rows - 2) expected[row] = std::log(total) - logits.values[size_t(row) * n + int(wanted[row])];
  }
  compare(name, out, expected);
}
void embedding(const char* name, DType dtype, DType outDtype, int hidden) {
  const int rows = 9, vocabulary = 40;
  std::vector<double> wanted(rows);
  for (int row = 0; row < rows; ++row) wanted[row] = row == 4 ? vocabulary : row == 7 ? -1 : row * 11 % vocabulary;
  const Values ids(DType::Int32, {rows}, wanted), weight(dtype, {vocabulary, hidden}, 1);
  Values out(outDtype, {rows, hidden}, 0);
  int64_t bad = -1;
  run(name, [&](Parallel& parallel) { table->embedding({ids.view(), weight.view(), out.view(), &bad}, parallel); });
  check(bad == 4, "%s: the bad id is at 4, got %lld", name, static_cast<long long>(bad));
  std::vector<double> expected(size_t(rows) * hidden);
  for (int row = 0; row < rows; ++row)
    for (int i = 0; i < hidden && row != 4 && row != 7; ++i)
      expected[size_t(row) * hidden + i] = weight.values[size_t(wanted[row]) * hidden + i];
  compare(name, out, expected);
}

void rope(const char* name, DType dtype, bool interleaved) {
  const int tokens = 7, heads = 3, dim = 40, turning = 16;
  Values x(dtype, {1, tokens, heads, dim}, 1), out(dtype, {1, tokens, heads, dim}, 0);
  const Values positions(DType::Int32, {tokens}, {0, 1, 2, 77, 4095, 65536, 1000000});
  std::vector<double> frequencies(turning);
  for (int i = 0; i < turning; ++i) frequencies[i] = std::pow(10000.0, -double(i) / turning);
  const RopeArgs args{x.view(), positions.view(), frequencies.data(), turning, 1.25f, interleaved, 1, 0, out.view()};
  run(name, [&](Parallel& parallel) { table->rope(args, parallel); });
  std::vector<double> expected = x.values;
  for (int token = 0; token < tokens; ++token)
    for (int head = 0; head < heads; ++head)
      turn(&expected[(size_t(token) * heads + head) * dim], positions.values[token], frequencies, 1.25, interleaved);
  compare(name, out, expected);
}

void gated(const char* name, DType dtype, int columns) {
  Values gate(dtype, {5, columns}, 1, 2), up(dtype, {5, columns}, 2), out(dtype, {5, columns}, 0);
  run(name, [&](Parallel& parallel) {
    table->gated({gate.view(), up.view(), out.view(), Activation::Silu}, parallel);
  });
  std::vector<double> expected = up.values;
  for (size_t i = 0; i < expected.size(); ++i) expected[i] *= gate.values[i] / (1 + std::exp(-gate.values[i]));
  compare(name, out, expected);
}
void binary(const char* name, DType dtype, int columns, BinaryOp op) {  // b is repeated over the rows
  const int rows = 6;
  Values a(dtype, {rows, columns}, 1), b(dtype, {columns}, 2), out(dtype, {rows, columns}, 0);
  TensorView repeated = a.view();
  repeated.data = b.data(), repeated.strides[0] = 0;
  run(name, [&](Parallel& parallel) { table->binary({a.view(), repeated, out.view(), op}, parallel); });
  std::vector<double> expected = a.values;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double other = b.values[i % size_t(columns)];
    expected[i] = op == BinaryOp::Add ? expected[i] + other : expected[i] * other;
  }
  compare(name, out, expected);
}

}  // namespace

void rowCases() {
  topK(5, 9, 1, f32);
  topK(3, 300, 1, bf16);
  topK(2, 1500, 1, f16);
  topK(1, 40003, 1, bf16);
  topK(3, 300, 5, f32);
  topK(2, 5000, 40, bf16);
  topK(2, 5000, 300, f32);
  topK(2, 5000, 2100, f16);
  turnedCopy("turned copy, f32", f32, f32);
  turnedCopy("turned copy, int8", DType::Int8, DType::Int8);
  turnedCopy("turned copy, f32 to bf16", f32, bf16);
  turnedCopy("turned copy, f16 to int64", f16, DType::Int64);
  plainCopy("copy, bf16", bf16, bf16, 64);
  plainCopy("copy, bf16, 45 columns", bf16, bf16, 45);
  plainCopy("copy, f32 to f16", f32, f16, 64);
  plainCopy("copy, uint8 to f32", DType::UInt8, f32, 45);
  norm("rms norm, bf16", bf16, 6, 136, false);
  norm("layer norm, f32, 131 columns", f32, 3, 131, true);
  norm("rms norm, f16, 1500 columns", f16, 3, 1500, false);
  norm("layer norm, bf16, 13000 columns", bf16, 2, 13000, true);
  softmax("softmax, bf16", bf16, 5, 136);
  softmax("softmax, f32, 1501 columns", f32, 2, 1501);
  softmax("softmax, f16, 4096 columns", f16, 2, 4096);
  nll("nll, bf16", bf16, 6, 130);
  nll("nll, f32, 4001 columns", f32, 3, 4001);
  embedding("embedding, bf16", bf16, bf16, 64);
  embedding("embedding, f16 to f32, 45 columns", f16, f32, 45);
  rope("rope, bf16", bf16, false);
  rope("rope, interleaved, f32", f32, true);
  gated("gated, bf16", bf16, 64);
  gated("gated, f32, 45 columns", f32, 45);
  binary("sum, bf16", bf16, 64, BinaryOp::Add);
  binary("product, f16, 45 columns", f16, 45, BinaryOp::Mul);
}

}  // namespace longspan::sanitize
