// Headers that lie: each must end in a typed error that says what was expected; under AddressSanitizer nothing outside
// the file is read, also not from headers with a random byte changed.
#include "formats/safetensors.h"

#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <random>

#include "core/error.h"
#include "formats/json_reader.h"

using namespace longspan;

namespace {

int failures = 0;
void check(bool holds, const std::string& what) {
  if (holds) return;
  ++failures;
  std::printf("FAILED %s\n", what.c_str());
}

std::string path() {  // in memory where that is to be had: some thousand files are written
  static const std::string folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
  return concat(folder, "/safetensors_test.", getpid());
}

std::shared_ptr<Safetensors> openBytes(const std::string& bytes) {
  std::ofstream(path(), std::ios::binary) << bytes;
  return Safetensors::open(path());
}
std::string withHeader(const std::string& header, const std::string& data) {
  uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
}

void rejects(const std::string& bytes, const std::string& expected) {
  try {
    openBytes(bytes);
    check(false, "accepted, expected: " + expected);
  } catch (const Error& e) {
    check(e.code == Code::ModelFormat && e.fields.size() == 3, "typed: " + expected);
    check(std::string(e.what()).find(expected) != std::string::npos,
          concat("\"", e.what(), "\" has no \"", expected, "\""));
  }
}

std::string entry(const std::string& name, const std::string& rest) { return "\"" + name + "\":{" + rest + "}"; }

void testGood() {
  float values[6] = {1, 2, 3, 4, 5, 6};
  std::string data(reinterpret_cast<char*>(values), 24);
  auto file = openBytes(withHeader("{\"__metadata__\":{\"format\":\"p\\u00e9\"}," +
                                       entry("w", "\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]") + "}   ",
                                   data));
  check(file->metadata().at("format") == "p\xc3\xa9", "metadata");
  Tensor tensor = file->tensor("w");
  file.reset();  // the tensor keeps the mapping
  check(tensor.shape == Shape{2, 3} && std::memcmp(tensor.data(), values, 24) == 0, "view");
  auto unaligned =
      openBytes(withHeader("{" + entry("w", "\"dtype\":\"F32\",\"shape\":[6],\"data_offsets\":[0,24]") + "}", data));
  check(std::memcmp(unaligned->tensor("w").data(), values, 24) == 0, "unaligned data is copied");
  check(openBytes(withHeader("{}", ""))->entries().empty(), "no tensors");
}

void testHostile() {
  auto one = [](const std::string& fields, size_t bytes = 8) {
    return withHeader("{" + entry("w", fields) + "}", std::string(bytes, 'x'));
  };
  rejects("", "is empty");
  rejects("1234", "expected at least 8");
  rejects(std::string(8, '\xff'), "its header claims 18446744073709551615 bytes");
  rejects(std::string("\x10\0\0\0\0\0\0\0{}", 10), "is truncated: its header claims 16 bytes");
  rejects(withHeader("[]", ""), "begin with '{'");
  rejects(withHeader("{\"\xff\":1}", ""), "is not UTF-8 (at byte 10)");
  rejects(withHeader("{\"a\":", ""), "ends too early");
  rejects(withHeader("{} x", ""), "follows the end");
  rejects(withHeader("{\"a\":{},}", ""), "tensor \"a\": \"dtype\" is missing");
  rejects(withHeader("{\"a\":{\"x\":" + std::string(100, '[') + "}}", ""), "nested deeper than 32");
  rejects(one("\"dtype\":\"F32\",\"data_offsets\":[0,8]"), "\"shape\" is missing");
  rejects(one("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]"), "expected two data_offsets");
  rejects(one("\"dtype\":\"Q9\",\"shape\":[2],\"data_offsets\":[0,8]"), "unknown dtype \"Q9\"");
  rejects(one("\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]"), "not negative");
  rejects(one("\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]"), "whole number");
  rejects(one("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]"), "run backwards");
  rejects(one("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,16]"), "it is truncated");
  rejects(one("\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]"), "is 12 bytes, but data_offsets give 8");
  rejects(one("\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,8]"),
          "no possible number of bytes");
  rejects(one("\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,8]"), "does not fit in 64 bits");
  rejects(one("\"dtype\":\"F32\",\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,8]"), "\"dtype\" is there twice");
  rejects(one("\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]"), "at most 8 dimensions");
  rejects(one("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]", 12), "4 bytes follow the last tensor");
  std::string fields = "\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":";
  rejects(withHeader("{" + entry("a", fields + "[0,8]") + "," + entry("a", fields + "[0,8]") + "}", std::string(8, 0)),
          "\"a\" is there twice");
  rejects(
      withHeader("{" + entry("a", fields + "[0,8]") + "," + entry("b", fields + "[4,12]") + "}", std::string(12, 0)),
      "\"b\" overlaps");
  rejects(
      withHeader("{" + entry("a", fields + "[0,8]") + "," + entry("b", fields + "[12,20]") + "}", std::string(20, 0)),
      "4 bytes before tensor \"b\" belong to no tensor");
}

void testAccess() {
  auto file = openBytes(
      withHeader("{" + entry("d", "\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]") + "}", std::string(8, 0)));
  auto codeOf = [&](const std::string& name) {
    try {
      file->tensor(name);
    } catch (const Error& e) {
      return int(e.code);
    }
    return -1;
  };
  check(codeOf("d") == int(Code::Unsupported), "F64 is Unsupported");
  check(codeOf("e") == int(Code::ModelFormat), "a missing tensor");
  auto shrinks = openBytes(
      withHeader("{" + entry("f", "\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]") + "}", std::string(8, 0)));
  file = shrinks;
  check(truncate(path().c_str(), 20) == 0 && codeOf("f") == int(Code::ModelFormat), "a file that shrank");
}

void testRandom() {
  std::string header = "{\"__metadata__\":{\"k\":\"v\\n\"}," +
                       entry("a", "\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]") + "," +
                       entry("b", "\"dtype\":\"BF16\",\"shape\":[2,2],\"data_offsets\":[8,16]") + "}";
  std::string good = withHeader(header, std::string(16, 1));
  std::mt19937 random(7);
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = good;
    for (int change = 0; change <= i % 3; ++change) bytes[random() % (bytes.size() - 16)] = char(random());
    if (i % 7 == 0) bytes.resize(random() % bytes.size());
    try {
      auto file = openBytes(bytes);
      for (const auto& [name, unused] : file->entries()) {
        Tensor tensor = file->tensor(name);
        volatile unsigned char last =
            static_cast<unsigned char*>(tensor.data())[std::max<int64_t>(tensor.bytes(), 1) - 1];
        (void)last;
      }
    } catch (const Error& e) {
      check(e.code == Code::ModelFormat || e.code == Code::Unsupported, "a random header ends in a typed error");
    }
  }
}

void testUtf8() {
  check(findInvalidUtf8("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x8e\x89") == std::string_view::npos, "valid UTF-8");
  for (const char* bad :
       {"\x80", "\xc0\xaf", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82"})
    check(findInvalidUtf8(std::string("ab") + bad) == 2, "invalid UTF-8");
}

}  // namespace

int main() {
  testGood();
  testHostile();
  testAccess();
  testRandom();
  testUtf8();
  unlink(path().c_str());
  std::printf(failures ? "%d failures\n" : "ok\n", failures);
  return failures != 0;
}
