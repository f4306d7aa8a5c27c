// Errors that reach JavaScript as typed classes (lib/errors.ts): a code, a message, and the fields of api.md.
#pragma once
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace longspan {

enum class Code {
  Shape,
  DType,
  Argument,
  Device,
  Unsupported,
  OutOfMemory,
  QueueFull,
  ModelFormat,
  CacheMismatch,
  Disposed,
  Execution,
  Aborted,  // carries abortId; JavaScript rejects with signal.reason
};

using FieldValue = std::variant<std::string, double>;

struct Error : std::runtime_error {
  Code code;
  std::vector<std::pair<std::string, FieldValue>> fields;
  Error(Code c, const std::string& message) : std::runtime_error(message), code(c) {}
  Error&& with(std::string name, std::string value) && {
    fields.emplace_back(std::move(name), std::move(value));
    return std::move(*this);
  }
  Error&& with(std::string name, double value) && {
    fields.emplace_back(std::move(name), value);
    return std::move(*this);
  }
};

template <class... Ts>
std::string concat(const Ts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  return message.str();
}

template <class... Ts>
[[noreturn]] void fail(Code code, const Ts&... parts) {
  throw Error(code, concat(parts...));
}

}  // namespace longspan
