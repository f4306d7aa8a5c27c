#include "bind.h"

#include <algorithm>

namespace longspan::node {
namespace {

size_t editDistance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t cost = diagonal + (std::tolower(a[i - 1]) != std::tolower(b[j - 1]));
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, cost});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string describe(const Napi::Value& value) {
  if (value.IsNull()) return "null";
  if (value.IsArray()) return "an array";
  if (value.IsTypedArray()) return "a typed array";
  if (value.IsNumber()) return concat("the number ", value.As<Napi::Number>().DoubleValue());
  if (value.IsString()) return concat("the string \"", value.As<Napi::String>().Utf8Value().substr(0, 60), "\"");
  static const char* names[] = {"undefined", "null",      "a boolean",  "a number",          "a string",
                                "a symbol",  "an object", "a function", "an external value", "a bigint"};
  return names[value.Type()];
}

void mismatch(const Napi::Value& value, const Where& where, const std::string& expected) {
  badArgument(where.op, where.argument,
              concat("expected ", expected, " for ", where.argument, ", got ", describe(value)));
}

void unknownOption(const Where& where, const std::string& given, const std::vector<std::string>& known) {
  auto nearest = std::min_element(known.begin(), known.end(), [&](const auto& a, const auto& b) {
    return editDistance(a, given) < editDistance(b, given);
  });
  bool close = nearest != known.end() && editDistance(*nearest, given) <= std::max<size_t>(2, given.size() / 3);
  std::string hint = close ? "; did you mean \"" + *nearest + "\"?" : "";
  std::string names;
  for (const auto& name : known) names += (names.empty() ? "" : ", ") + name;
  badArgument(where.op, given, concat("unknown option \"", given, "\"", hint, " (it takes ", names, ")"));
}

}  // namespace longspan::node
