#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/decode/sampler.h"
#include "core/model/forward.h"

namespace vitrine {

struct GeneratedToken {
  TokenId id = 0;
  double log_probability = 0.0;  ///< under the model's own distribution, not the sampled one
};

struct GeneratedText {
  std::vector<GeneratedToken> tokens;
  std::optional<double> score{};  ///< by which a search of several ranks it
  bool ended = false;             ///< by a token or string that ends a text, not by its length
};

/// What a search gets: a model ready to run, the text so far, and rules for the scores.
struct SearchProblem {
  const ForwardContext& context;
  const KvFormat& kv_format;
  KvCache* source = nullptr;  ///< keys and values of the source under cross attention, filled; null without an encoder
  std::span<const TokenId> prompt;
  std::span<const TokenId> source_ids{};
  std::size_t max_tokens = 64;
  std::size_t texts = 1;      ///< how many are wanted, the best first where the search ranks them
  std::span<const TokenId> ends{};  ///< each ends a text; not part of it
  const SamplerChain& samplers;     ///< copied for each text or beam
  bool draws_tokens = false;  ///< else the likeliest token is taken
  Draws draws{};
  const DecodeValues& values;
  const ForwardContext* draft = nullptr;  ///< a smaller model with the same vocabulary, where the search asks for one
  const Tokenizer* tokenizer = nullptr;
  /// For each token as it comes, of a search that makes one text; may be empty. False: stop here (a stop string was met).
  std::function<bool(std::size_t text, const GeneratedToken& token)> on_token{};
};

/// A way through the space of texts. Extension point: core/decode/searches/<name>.cpp.
struct Search {
  std::string_view name;
  std::string_view summary;
  std::string_view source;
  std::vector<DecodeOption> options;
  std::vector<GeneratedText> (*run)(const SearchProblem& problem);
};

std::span<const Search* const> all_searches();

}  // namespace vitrine
