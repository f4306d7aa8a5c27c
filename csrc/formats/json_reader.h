// A pull parser for JSON headers of files that nobody vouches for (RFC 8259, strict): the caller asks for what it
// expects, so nothing is built that it did not ask for, and a hostile header costs no more than its own bytes.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace longspan {

// Where the text stops being valid UTF-8, or npos.
size_t findInvalidUtf8(std::string_view text);

class JsonReader {
 public:
  static constexpr int maxDepth = 32;
  // Called with what is wrong and where; must throw.
  using Fail = std::function<void(size_t offset, const std::string& reason)>;

  JsonReader(std::string_view text, Fail fail) : text_(text), fail_(std::move(fail)) {}

  // Calls onMember(key) for every member; onMember must read exactly one value.
  template <class F>
  void object(const F& onMember) {
    open('{');
    for (bool first = true; !closes('}', first); first = false) {
      std::string key = string();
      expect(':');
      onMember(key);
    }
  }
  template <class F>
  void array(const F& onItem) {
    open('[');
    for (bool first = true; !closes(']', first); first = false) onItem();
  }
  std::string string();
  uint64_t unsignedInteger();  // no sign, no fraction, no exponent
  void skip();                 // any value
  void end();                  // nothing but white space may follow
  size_t offset() const { return at_; }
  [[noreturn]] void fail(const std::string& reason) const { failAt(at_, reason); }

 private:
  [[noreturn]] void failAt(size_t offset, const std::string& reason) const;
  void skipSpace();
  char peek();
  void expect(char c);
  void open(char bracket);
  bool closes(char bracket, bool first);
  void skipNumber();
  size_t skipDigits();
  void escape(std::string& out);
  uint32_t hex4();

  std::string_view text_;
  Fail fail_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace longspan
