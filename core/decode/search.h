#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/decode/grammar/matcher.h"
#include "core/decode/sampler.h"
#include "core/model/forward.h"

namespace vitrine {

struct LikelyChoice {
  TokenId id = 0;
  double log_probability = 0.0;
};

struct GeneratedToken {
  TokenId id = 0;
  double log_probability = 0.0;  ///< under the model's own distribution, not the sampled one
  std::vector<LikelyChoice> likeliest{};  ///< the likeliest of the step under the model's own distribution, where they were asked for
};

/// What drafts came to.
struct DraftCounts {
  std::size_t passes = 0;   ///< that checked a draft, or had none to check
  std::size_t drafted = 0;  ///< tokens
  std::size_t kept = 0;     ///< of them
};

struct GeneratedText {
  std::vector<GeneratedToken> tokens;
  std::optional<double> score{};  ///< by which a search of several ranks it
  bool ended = false;             ///< by a token or string that ends a text, or because nothing more fits the grammar; not by its length
  std::optional<DraftCounts> drafts{};  ///< of a search that checks drafts
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
  const GrammarMatcher* grammar = nullptr;  ///< what each text follows, from where it stands; null: anything
  std::size_t likeliest = 0;      ///< so many of the likeliest tokens of each step are told
  std::size_t texts_a_pass = 1;   ///< at most; fewer where a row's last digits would depend on the others (rows_that_agree())
  bool feeds_last_token = false;  ///< the last token goes through the model too, for observers
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
  /// The same of several problems that differ in prompt, source, draws and on_token, whose texts share passes; null: they go one by one.
  /// A search that has it makes its texts token by token: on_token hears of every one.
  std::vector<std::vector<GeneratedText>> (*run_together)(std::span<const SearchProblem> problems) = nullptr;
};

std::span<const Search* const> all_searches();

/// Of any sampler or search; null where none has it.
const DecodeOption* find_decode_option(std::string_view name);
/// @throws Error (usage) for a name that is none
const Search& search_named(std::string_view name);

}  // namespace vitrine
