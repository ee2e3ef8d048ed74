#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/run.h"

namespace vitrine {

/// How a vocabulary is learnt.
struct TrainingOptions {
  std::size_t vocabulary = 30'000;    ///< tokens, special ones and the alphabet with them
  std::uint64_t least_frequency = 0;  ///< a pair that occurs less often is not merged
};

/// A way to learn a vocabulary. Extension point: core/text/trainers/<name>.cpp.
struct TokenizerTrainer {
  std::string_view name;
  std::string_view summary;
  /// tokenizer.json of what was learnt from the lines of a text, each with its line break as Hugging Face reads files.
  /// The same text gives the same tokens. @throws Error where the text does not fit the options; Cancelled
  Json (*train)(std::string_view text, const TrainingOptions& options, Run& run);
};

std::span<const TokenizerTrainer* const> all_tokenizer_trainers();

/// The pieces that normalizers and pre-tokenizers make of a text's lines, and how often each occurs; in order of their bytes.
std::map<std::string, std::uint64_t> count_pieces(std::string_view text, const Json& normalizer, const Json& pre_tokenizer, Run& run);

/// What merging neighbours learns (Sennrich et al. 2016).
struct LearntMerges {
  std::vector<std::string> tokens;                          ///< in the order of their ids
  std::vector<std::pair<std::string, std::string>> merges;  ///< the first learnt first
};
struct MergeTraining {
  std::vector<std::string> special;   ///< the first tokens
  std::vector<std::string> alphabet;  ///< characters that get a token besides those of the pieces, ordered as `pieces` are
  std::string continuing_prefix;      ///< before every character of a piece but its first
};
/// As `tokenizers`' BpeTrainer: the most frequent pair first, among equals the one of the smallest ids.
/// @param pieces  of characters in UTF-8
LearntMerges learn_merges(const std::map<std::string, std::uint64_t>& pieces, const MergeTraining& training, const TrainingOptions& options,
                          Run& run);

/// tokenizer.json around its parts: `stages` has normalizer, pre_tokenizer, post_processor and decoder.
/// @param special  the first tokens of the model, from id 0
Json tokenizer_json(const Json& stages, Json model, std::span<const std::string> special);

}  // namespace vitrine
