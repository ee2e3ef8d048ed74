#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/model/kv_format.h"
#include "core/model/ops.h"
#include "core/shortcuts/shortcut.h"

namespace vitrine {

/// One way of running a model: arithmetic, attention kernel, cache type, weights.
struct VariantSpec {
  std::string name;
  Precision precision = Precision::exact;
  std::string kernel = "auto";
  KvFormat kv_format{};
  std::vector<ShortcutCall> shortcuts{};  ///< that made its weights, for the record
};

/// Reads `NAME=SPEC`: words with '+' between them, each a shortcut (core/shortcuts) or one of `precision:fast`, `kernel:NAME:options`,
/// `kv:int8`. What SPEC does not say is exact, with the kernel flash and f32 keys and values. @throws Error (usage)
VariantSpec parse_variant(std::string_view text);
/// Of several, whose names must be told apart as names of columns. @throws Error (usage)
std::vector<VariantSpec> parse_variants(std::span<const std::string> texts);
/// Whether each can be made of the model, as far as its first shortcut shows before the work. @throws Error
void check_variants(const Model& model, std::span<const VariantSpec> variants, std::span<const ModelText> calibration);
/// Of each variant, by its name, every word: for signatures.
Json spelled(std::span<const VariantSpec> variants);

}  // namespace vitrine
