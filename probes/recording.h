#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/base/json.h"
#include "kernels/pattern/pattern.h"

namespace vitrine {

/// A recording read back. Opening checks every shape and type against FORMAT.md; a file that this program did not
/// write is first opened in a child process, whose death is the error message.
class Recording {
 public:
  /// @throws Error with one clear line
  static std::unique_ptr<Recording> open(const std::filesystem::path& path);
  virtual ~Recording() = default;

  virtual const std::filesystem::path& path() const = 0;
  virtual const Json& provenance() const = 0;  ///< root attributes
  virtual bool finished() const = 0;

  virtual std::size_t sequences() const = 0;
  /// First row and one past the last row of a sequence in the concatenated rows.
  virtual std::pair<std::size_t, std::size_t> rows_of(std::size_t sequence) const = 0;
  virtual std::vector<std::int32_t> token_ids(std::size_t sequence) const = 0;
  /// The bytes of each token, as a reader should see them.
  virtual std::vector<std::string> token_texts(std::size_t sequence) const = 0;
  virtual std::vector<float> log_probabilities(std::size_t sequence) const = 0;  ///< NaN where there is none

  /// Prefixes of /attention ("blocks.3.attn"), in block order.
  virtual std::vector<std::string> attention_modules() const = 0;
  struct HeadCounts {
    std::size_t heads = 0, kv_heads = 0, head_dim = 0;
  };
  virtual HeadCounts head_counts(std::string_view module) const = 0;

  /// Factors of one head of one sequence, loaded into memory, good for any number of tiles.
  /// Owned arrays as f32 with a PatternFactors that looks at them.
  struct Head {
    std::vector<float> q, k, normalizer;
    PatternFactors factors;
  };
  virtual std::shared_ptr<const Head> head(std::string_view module, std::size_t head, std::size_t sequence) const = 0;

  /// Names of /activations, with shape [rows, heads?, width].
  struct DatasetInfo {
    std::string name;
    std::string type;
    std::vector<std::size_t> shape;
    std::size_t bytes;
  };
  virtual std::vector<DatasetInfo> datasets() const = 0;
  /// Rows [begin, begin + count) of an activation as f32, packed.
  virtual std::vector<float> activation(std::string_view hook, std::size_t begin, std::size_t count) const = 0;
  /// Per-head summary stored by the recorder, e.g. "entropy": [heads] of a module over a sequence, or empty.
  virtual std::vector<float> row_stat(std::string_view module, std::string_view stat, std::size_t sequence) const = 0;  ///< [rows of sequence * heads]
};

}  // namespace vitrine
