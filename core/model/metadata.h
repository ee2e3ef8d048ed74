#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "core/checkpoint/checkpoint.h"
#include "core/model/spec.h"
#include "core/model/weights.h"

namespace vitrine {

/// Checked reading of a checkpoint's metadata; every Error names the file and the key. Several keys = spellings of one
/// thing, the first that is there counts; a '%' at the beginning stands for GGUF's general.architecture.
class MetadataReader {
 public:
  explicit MetadataReader(const Checkpoint& checkpoint);

  const Checkpoint& checkpoint() const { return checkpoint_; }
  bool is_gguf() const { return checkpoint_.format == "gguf"; }
  /// The value as it is; null where there is none.
  const Json& value(std::string_view key) const;
  /// Whether the key stands there, with null or another value.
  bool lists(std::string_view key) const;
  bool has(std::initializer_list<std::string_view> keys) const;
  /// A whole number in [1, limit].
  std::size_t count(std::initializer_list<std::string_view> keys, std::size_t limit = 1u << 24) const;
  std::size_t count_or(std::initializer_list<std::string_view> keys, std::size_t fallback) const;
  double number_or(std::initializer_list<std::string_view> keys, double fallback) const;
  bool flag_or(std::initializer_list<std::string_view> keys, bool fallback) const;
  std::string text_or(std::initializer_list<std::string_view> keys, std::string_view fallback) const;
  /// A list of texts or of whole numbers from 0, `length` of them; empty where there is none.
  std::vector<std::string> texts(std::string_view key, std::size_t length) const;
  std::vector<std::size_t> counts(std::string_view key, std::size_t length) const;
  /// width / heads, which must have no remainder.
  std::size_t head_size(std::size_t width, std::size_t heads) const;
  /// Hugging Face's names of activations.
  Activation activation(std::string_view key, std::string_view fallback) const;
  /// The same of a name that is part of what stands at the key.
  Activation activation_named(std::string_view key, std::string_view name) const;
  [[noreturn]] void refuse(std::string_view key, std::string_view expected, std::string_view found) const;

 private:
  const Json& find(std::initializer_list<std::string_view> keys) const;
  /// The spelling that this file has, or would have.
  std::string_view spelling(std::initializer_list<std::string_view> keys) const;
  const Json::Array* list(std::string_view key, std::size_t length) const;
  const Checkpoint& checkpoint_;
  const Json& root_;
  std::string architecture_;  // GGUF's
};

/// "general.architecture" of a GGUF, "model_type" of a config.json; empty where neither is a text.
std::string model_type(const Checkpoint& checkpoint);

/// Names of a role's tensor in GGUF and in Hugging Face's files, '#' standing for the block and '@' for a prefix. A first component
/// of the Hugging Face names ("bert.") may be missing in files of the bare model. A role may have several rows: that counts whose
/// tensor is there.
struct NameTable {
  struct Row {
    Role role;
    std::string_view gguf, hugging_face;
  };
  std::vector<Row> rows;
  std::string_view gguf_prefix{}, prefix{};  ///< what '@' stands for
  std::string_view block{};                  ///< what '#' stands for, where that is not the block's number
  /// With ".weight" or ".bias" (old files: ".gamma", ".beta"); empty where the table has no such role.
  std::string find(const Checkpoint& checkpoint, const WeightKey& key) const;
  /// Whether the file has the role's matrix (outside of blocks).
  bool has(const Checkpoint& checkpoint, Role role, Stack stack = Stack::only) const {
    return checkpoint.find(find(checkpoint, {role, -1, false, stack})) != nullptr;
  }
};

}  // namespace vitrine
