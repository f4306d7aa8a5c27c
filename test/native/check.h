// The smallest test frame: check(condition, "what %d", …) counts, finish() is the exit code.
#pragma once
#include <cstdarg>
#include <cstdio>

inline int failures = 0, checks = 0;

[[gnu::format(printf, 2, 3)]] inline bool check(bool good, const char* what, ...) {
  ++checks;
  if (good) return true;
  if (++failures <= 20) {
    va_list rest;
    va_start(rest, what);
    std::fputs("FAILED ", stderr);
    std::vfprintf(stderr, what, rest);
    std::fputc('\n', stderr);
    va_end(rest);
  }
  return false;
}

inline int finish(const char* name) {
  std::printf("%s: %d checks, %d failed\n", name, checks, failures);
  return failures != 0;
}
