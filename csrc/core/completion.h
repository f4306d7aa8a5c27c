// The outcome of one enqueued op: pending, done, or failed with an error that its readers get.
#pragma once
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "error.h"

namespace longspan {

struct Completion {
  enum class State { Pending, Done, Failed };
  std::string op;
  std::atomic<State> state{State::Pending};
  std::shared_ptr<const Error> error;               // set before state becomes Failed
  std::vector<std::shared_ptr<Completion>> inputs;  // what it waits for; let go once it has run
  unsigned char cancelRequested = 0;                // read by kernels at every tile
  double abortId = 0;                               // which AbortSignal asked
};

}  // namespace longspan
