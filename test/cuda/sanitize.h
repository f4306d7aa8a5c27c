// What the cases of sanitize*.cc share: the plugin, tensors on its device that are also known in float64, comparisons.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "../../csrc/core/plugin.h"

namespace longspan::sanitize {

extern const Backend* table;
extern const DeviceCalls* calls;
extern bool isEmulated;

void require(bool good, const char* what);  // else the error of the plugin, and the end of the program

class Memory {  // of the device, exactly as large as asked for, so that a step beyond it is seen
 public:
  explicit Memory(size_t bytes);
  ~Memory() { calls->release(0, data_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  void* data() const { return data_; }

 private:
  void* data_;
};

// A dense tensor of any dtype: on the device, and what the device has in float64
class Values {
 public:
  Values(DType dtype, std::vector<int64_t> shape, unsigned seed, double scale = 1);  // normal; of seed 0: all bits set
  Values(DType dtype, std::vector<int64_t> shape, std::vector<double> given);
  TensorView view() const;
  TensorView turned(int a, int b) const;  // with two axes exchanged
  void write(const std::vector<double>& given);
  void fill(unsigned seed, double scale = 1);
  void download();
  DType dtype() const { return dtype_; }
  void* data() const { return memory_.data(); }

  std::vector<double> values;

 private:
  void upload();
  DType dtype_;
  std::vector<int64_t> shape_;
  std::vector<unsigned char> bytes_;
  Memory memory_;
};

// As a device keeps them
std::vector<double> rounded(DType dtype, std::vector<double> values);

// A head as rope turns it
void turn(double* head, double position, const std::vector<double>& frequencies, double scale, bool interleaved);

// The calls of a case; all of them have ended when it returns
void run(const char* name, const std::function<void(Parallel&)>& f);
// Reads `out` back. The largest relative error: of sums of float32 and of the dtype's rounding, or `bound`
void compare(const char* name, Values& out, const std::vector<double>& expected, double bound = 0);

// One file each
void attentionCases();
void bucketCases();
void productCases();
void rowCases();
void replayCases();

}  // namespace longspan::sanitize
