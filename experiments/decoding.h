#pragma once

#include "core/decode/search.h"
#include "experiments/session.h"

namespace vitrine {

/// How texts are to be made, as somebody says it.
struct DecodingOptions {
  std::size_t max_tokens = 64;
  std::string search;    ///< empty: greedy, or sample where something says that tokens are drawn
  std::string samplers;  ///< their order (sampler_order)
  std::string defaults;  ///< "model": what its files say where `values` say nothing
  DecodeValues values;
};

/// --max-tokens, --search, --samplers, --defaults, and an option for each of every sampler and search.
void declare_decoding(CLI::App& app, DecodingOptions& options);

/// The same, looked up and checked.
struct Decoding {
  const Search* search = nullptr;
  std::vector<const SamplerKind*> order;
  SamplerChain samplers;
  bool draws_tokens = false;
  std::vector<TokenId> ends;
  DecodeValues values;
  std::size_t max_tokens = 0;

  /// For a signature: {"search", "samplers": what was made, in order, "values"}.
  Json to_json() const;
};

/// With what the model's files say of making texts, and the tokens that end one.
/// @throws Error (usage) where options contradict each other, or nobody would hear of one
Decoding decoding_of(const Session& session, const DecodingOptions& options);

}  // namespace vitrine
