#include "json_reader.h"

#include "../core/error.h"

namespace longspan {

namespace {

// Bytes of the well-formed sequence at `at` (Unicode 15, table 3-7), or 0.
size_t sequenceLength(std::string_view text, size_t at) {
  auto byte = [&](size_t i) { return at + i < text.size() ? uint8_t(text[at + i]) : 0; };
  uint8_t lead = byte(0), second = byte(1);
  auto continues = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return continues(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F)) return 0;
    return continues(1) && continues(2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if ((lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F)) return 0;
    return continues(1) && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

void appendUtf8(std::string& out, uint32_t point) {
  if (point < 0x80) {
    out += char(point);
  } else if (point < 0x800) {
    out += {char(0xC0 | point >> 6), char(0x80 | (point & 63))};
  } else if (point < 0x10000) {
    out += {char(0xE0 | point >> 12), char(0x80 | (point >> 6 & 63)), char(0x80 | (point & 63))};
  } else {
    out += {char(0xF0 | point >> 18), char(0x80 | (point >> 12 & 63)), char(0x80 | (point >> 6 & 63)),
            char(0x80 | (point & 63))};
  }
}

bool isDigit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

size_t findInvalidUtf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    size_t length = sequenceLength(text, at);
    if (length == 0) return at;
    at += length;
  }
  return std::string_view::npos;
}

void JsonReader::failAt(size_t offset, const std::string& reason) const {
  fail_(offset, reason);
  throw Error(Code::ModelFormat, reason);  // a reporter that returns must not end the process
}

void JsonReader::skipSpace() {
  while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t'))
    ++at_;
}

char JsonReader::peek() {
  skipSpace();
  if (at_ >= text_.size()) fail("the JSON ends too early");
  return text_[at_];
}

void JsonReader::expect(char c) {
  if (peek() != c) fail(concat("expected '", c, "'"));
  ++at_;
}

void JsonReader::open(char bracket) {
  expect(bracket);
  if (++depth_ > maxDepth) failAt(at_ - 1, concat("JSON nested deeper than ", maxDepth, " levels"));
}

bool JsonReader::closes(char bracket, bool first) {
  if (peek() == bracket) {
    ++at_;
    --depth_;
    return true;
  }
  if (!first) {
    expect(',');
    if (peek() == bracket) fail(concat("expected a value before '", bracket, "'"));
  }
  return false;
}

std::string JsonReader::string() {
  expect('"');
  std::string out;
  for (;;) {
    size_t plain = at_;
    while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\\' && uint8_t(text_[at_]) >= 0x20) ++at_;
    out.append(text_.substr(plain, at_ - plain));
    if (at_ >= text_.size()) fail("a string without its closing quote");
    if (text_[at_] == '"') {
      ++at_;
      return out;
    }
    if (text_[at_] != '\\') fail("a control character in a string");
    escape(out);
  }
}

void JsonReader::escape(std::string& out) {
  size_t start = at_++;
  char kind = at_ < text_.size() ? text_[at_++] : '\0';
  static constexpr std::string_view names = "\"\\/bfnrt", values = "\"\\/\b\f\n\r\t";
  if (size_t i = names.find(kind); i != names.npos && kind) {
    out += values[i];
    return;
  }
  if (kind != 'u') failAt(start, "an unknown escape in a string");
  uint32_t point = hex4();
  if (point >= 0xD800 && point < 0xDC00) {
    bool paired = text_.substr(at_, 2) == "\\u";
    at_ += paired ? 2 : 0;
    uint32_t low = paired ? hex4() : 0;
    if (low < 0xDC00 || low > 0xDFFF) failAt(start, "half of a surrogate pair");
    point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
  } else if (point >= 0xDC00 && point <= 0xDFFF) {
    failAt(start, "half of a surrogate pair");
  }
  appendUtf8(out, point);
}

uint32_t JsonReader::hex4() {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i, ++at_) {
    char c = at_ < text_.size() ? text_[at_] : '\0';
    if (isDigit(c)) {
      value = value * 16 + uint32_t(c - '0');
    } else if ((c | 32) >= 'a' && (c | 32) <= 'f') {
      value = value * 16 + uint32_t((c | 32) - 'a' + 10);
    } else {
      fail("expected four hexadecimal digits");
    }
  }
  return value;
}

uint64_t JsonReader::unsignedInteger() {
  char first = peek();
  size_t start = at_;
  if (!isDigit(first)) fail("expected a whole number that is not negative");
  uint64_t value = 0;
  for (; at_ < text_.size() && isDigit(text_[at_]); ++at_)
    if (__builtin_mul_overflow(value, uint64_t(10), &value) ||
        __builtin_add_overflow(value, uint64_t(text_[at_] - '0'), &value))
      failAt(start, "a number that does not fit in 64 bits");
  if (first == '0' && at_ - start > 1) failAt(start, "a number with a leading zero");
  if (at_ < text_.size() && (text_[at_] == '.' || (text_[at_] | 32) == 'e'))
    failAt(start, "expected a whole number that is not negative");
  return value;
}

size_t JsonReader::skipDigits() {
  size_t start = at_;
  while (at_ < text_.size() && isDigit(text_[at_])) ++at_;
  if (at_ == start) fail("expected a digit");
  return at_ - start;
}

void JsonReader::skipNumber() {
  auto take = [&](char c) { return at_ < text_.size() && (text_[at_] | 32) == c && ++at_; };
  if (text_[at_] == '-') ++at_;
  size_t start = at_;
  if (skipDigits() > 1 && text_[start] == '0') failAt(start, "a number with a leading zero");
  if (at_ < text_.size() && text_[at_] == '.') {
    ++at_;
    skipDigits();
  }
  if (take('e')) {
    if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) ++at_;
    skipDigits();
  }
}

void JsonReader::skip() {
  char c = peek();
  if (c == '{') return object([this](const std::string&) { skip(); });
  if (c == '[') return array([this] { skip(); });
  if (c == '"') return void(string());
  if (c == '-' || isDigit(c)) return skipNumber();
  for (std::string_view word : {"true", "false", "null"})
    if (text_.substr(at_, word.size()) == word) return void(at_ += word.size());
  fail("expected a JSON value");
}

void JsonReader::end() {
  skipSpace();
  if (at_ < text_.size()) fail("something follows the end of the JSON");
}

}  // namespace longspan
