#include "experiments/variant_spec.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "core/base/error.h"
#include "experiments/session.h"

namespace vitrine {

VariantSpec parse_variant(std::string_view text) {
  const std::size_t equals = text.find('=');
  const auto refuse = [&](const std::string& expected) -> VariantSpec {
    throw Error({"--variant", expected, quoted(text), "such as half=magnitude:sparsity=0.5+precision:fast+kv:int8; see `vitrine list shortcuts`"}, Fault::usage);
  };
  if (equals == 0 || equals == std::string_view::npos || text.find(':') < equals) return refuse("NAME=SPEC");
  VariantSpec spec{std::string(text.substr(0, equals)), Precision::exact, "flash", DType::f32, {}};
  for (std::string_view rest = text.substr(equals + 1);;) {
    const std::string_view word = rest.substr(0, rest.find('+')), value = word.substr(std::min(word.size(), word.find(':') + 1));
    if (word.starts_with("precision:")) spec.precision = parse_precision(std::string(value));
    else if (word.starts_with("kernel:")) spec.kernel = value;
    else if (word.starts_with("kv:")) spec.kv_format = parse_kv_format(value);
    else spec.shortcuts.emplace_back(word);
    if (word.size() == rest.size()) return spec;
    rest.remove_prefix(word.size() + 1);
  }
}

std::vector<VariantSpec> parse_variants(std::span<const std::string> texts) {
  std::vector<VariantSpec> variants;
  std::set<std::string> columns;
  for (const std::string& text : texts) {
    variants.push_back(parse_variant(text));
    std::string column = variants.back().name;
    std::ranges::replace_if(column, [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
    if (!columns.insert(column).second) throw Error({"--variant " + quoted(variants.back().name), "a name of which letters and digits differ from the others'", "one that an earlier variant has", ""}, Fault::usage);
  }
  return variants;
}

void check_variants(const Model& model, std::span<const VariantSpec> variants, std::span<const ModelText> calibration) {
  for (const VariantSpec& variant : variants) {
    require_order(variant.shortcuts);
    if (!variant.shortcuts.empty()) check_shortcut(model, variant.shortcuts.front(), calibration_tokens(calibration));
  }
}

Json spelled(std::span<const VariantSpec> variants) {
  Json all = Json::object();
  for (const VariantSpec& variant : variants) {
    std::string words = spelled(variant.shortcuts);
    words += (words.empty() ? "" : "+") + ("precision:" + std::string(precision_name(variant.precision))) + "+kernel:" + variant.kernel + "+kv:" + kv_format_name(variant.kv_format);
    all.set(variant.name, words);
  }
  return all;
}

}  // namespace vitrine
