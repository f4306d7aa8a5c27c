// Errors that reach JavaScript as typed classes (lib/errors.ts): a code, a message, and the fields of api.md.
#pragma once
#include <charconv>
#include <cmath>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>
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

// A number as JavaScript writes it: the shortest digits that read back as the same.
inline std::string printed(double number) {
  if (std::isnan(number)) return "NaN";
  if (std::isinf(number)) return number < 0 ? "-Infinity" : "Infinity";
  char digits[32];
  bool plain = std::abs(number) < 1e21 && (number == 0 || std::abs(number) >= 1e-6);
  auto end = plain ? std::to_chars(digits, digits + sizeof digits, number, std::chars_format::fixed)
                   : std::to_chars(digits, digits + sizeof digits, number);
  return {digits, end.ptr};
}

template <class... Ts>
std::string concat(const Ts&... parts) {
  std::ostringstream message;
  auto print = [&](const auto& part) {
    if constexpr (std::is_floating_point_v<std::decay_t<decltype(part)>>)
      message << printed(part);
    else
      message << part;
  };
  (print(parts), ...);
  return message.str();
}

template <class... Ts>
[[noreturn]] void fail(Code code, const Ts&... parts) {
  throw Error(code, concat(parts...));
}

}  // namespace longspan
