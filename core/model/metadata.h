#pragma once

#include <initializer_list>
#include <string_view>
#include <vector>

#include "core/checkpoint/checkpoint.h"
#include "core/model/spec.h"
#include "core/model/weights.h"

namespace vitrine {

/// Checked reading of a checkpoint's metadata; every Error names the file and the key. Several keys = spellings of one
/// thing, the first that is there counts.
class MetadataReader {
 public:
  explicit MetadataReader(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  bool has(std::initializer_list<std::string_view> keys) const;
  /// A whole number in [1, limit].
  std::size_t count(std::initializer_list<std::string_view> keys, std::size_t limit = 1u << 24) const;
  std::size_t count_or(std::initializer_list<std::string_view> keys, std::size_t fallback) const;
  double number_or(std::initializer_list<std::string_view> keys, double fallback) const;
  bool flag_or(std::initializer_list<std::string_view> keys, bool fallback) const;
  std::string text_or(std::initializer_list<std::string_view> keys, std::string_view fallback) const;
  /// width / heads, which must have no remainder.
  std::size_t head_size(std::size_t width, std::size_t heads) const;
  /// Hugging Face's names of activations.
  Activation activation(std::string_view key, std::string_view fallback) const;
  [[noreturn]] void refuse(std::string_view key, std::string_view expected, std::string_view found) const;

 private:
  const Json& find(std::initializer_list<std::string_view> keys) const;
  const Checkpoint& checkpoint_;
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
