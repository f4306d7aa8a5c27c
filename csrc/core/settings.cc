#include "settings.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <map>

#include "error.h"
#include "thread_pool.h"

namespace longspan {
namespace {

constexpr int64_t defaultQueueBytes = int64_t(1) << 30;

std::string variable(const char* name) {
  const char* text = std::getenv(name);
  return text ? text : "";
}

[[noreturn]] void refuse(const char* name, const std::string& expected, const std::string& found) {
  throw Error(Code::Argument, concat(name, " must be ", expected, ", got \"", found, "\""))
      .with("op", "environment")
      .with("argument", name);
}

int threadsFrom(const char* name) {
  const std::string text = variable(name);
  if (text.empty()) return availableProcessors();
  int threads = 0;
  auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), threads);
  if (fault != std::errc() || end != text.data() + text.size() || threads < 1 || threads > maxThreads)
    refuse(name, concat("a whole number from 1 to ", maxThreads), text);
  return threads;
}

// "1073741824", "512MiB", "2GB"; −1 when it is none of these.
int64_t parseBytes(const std::string& text) {
  size_t end = 0;
  double value;
  try {
    value = std::stod(text, &end);
  } catch (const std::exception&) {
    return -1;
  }
  static const std::map<std::string, double> units = {
      {"", 1},         {"b", 1},        {"kb", 1e3},     {"mb", 1e6},   {"gb", 1e9},   {"kib", 0x1p10},
      {"mib", 0x1p20}, {"gib", 0x1p30}, {"tib", 0x1p40}, {"k", 0x1p10}, {"m", 0x1p20}, {"g", 0x1p30}};
  while (end < text.size() && text[end] == ' ') ++end;
  std::string name = text.substr(end);
  for (char& letter : name) letter = char(std::tolower(static_cast<unsigned char>(letter)));
  auto unit = units.find(name);
  if (unit == units.end()) return -1;
  const double bytes = value * unit->second;
  return bytes >= 0 && bytes < 0x1p62 ? int64_t(bytes) : -1;  // not NaN, not infinite
}

int64_t bytesFrom(const char* name, int64_t absent) {
  const std::string text = variable(name);
  if (text.empty()) return absent;
  const int64_t bytes = parseBytes(text);
  if (bytes <= 0) refuse(name, "a number of bytes such as 8GiB", text);
  return bytes;
}

std::string logLevelFrom(const char* name) {
  const std::string text = variable(name);
  if (text.empty()) return "warn";
  for (const char* level : {"silent", "error", "warn", "info", "debug"})
    if (text == level) return text;
  refuse(name, "silent, error, warn, info or debug", text);
}

Settings read() {
  const std::string device = variable("LONGSPAN_DEVICE");
  return {threadsFrom("LONGSPAN_THREADS"),  bytesFrom("LONGSPAN_QUEUE_BYTES", defaultQueueBytes),
          bytesFrom("LONGSPAN_MEMORY", 0),  bytesFrom("LONGSPAN_CUDA_MEMORY", 0),
          variable("LONGSPAN_CUDA_PLUGIN"), variable("LONGSPAN_ISA"),
          device.empty() ? "cpu" : device,  logLevelFrom("LONGSPAN_LOG_LEVEL")};
}

}  // namespace

const Settings& settings() {
  static const Settings once = read();  // when it throws, the next call reads again
  return once;
}

}  // namespace longspan
