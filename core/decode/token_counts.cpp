#include "core/decode/token_counts.h"

#include <algorithm>

#include "core/base/error.h"

namespace vitrine {

const DecodeOption penalty_window{.name = "penalty-window", .summary = "the last tokens that penalties see; 0 (default): all", .kind = OptionKind::whole, .low = 0.0};
const DecodeOption penalty_scope{.name = "penalty-scope", .summary = "all: penalties see the prompt too; made: they do not. Default: as each was published, repetition all, frequency and presence made", .kind = OptionKind::text};

TokenCounts::TokenCounts(const DecodeValues& values, Scope published) : scope_(published), window_(values.whole(penalty_window)) {
  if (values.texts(penalty_scope).empty()) return;
  const std::string& word = values.texts(penalty_scope).front();
  if (word != "all" && word != "made") throw Error({"--penalty-scope", "all or made", quoted(word, 40), ""}, Fault::usage);
  scope_ = word == "all" ? Scope::all : Scope::made;
}

void TokenCounts::add(std::span<const TokenId> ids) {
  for (const TokenId id : ids) {
    if (id < 0 || static_cast<std::size_t>(id) >= counts_.size()) continue;
    if (counts_[static_cast<std::size_t>(id)]++ == 0) said_.push_back(id);
  }
}

void TokenCounts::count(const TextSoFar& text, std::size_t vocabulary) {
  for (const TokenId id : said_) counts_[static_cast<std::size_t>(id)] = 0;
  said_.clear();
  counts_.resize(vocabulary);
  const std::size_t most = window_ == 0 ? text.prompt.size() + text.made.size() : window_;
  const std::size_t made = std::min(most, text.made.size());
  add(text.made.last(made));
  if (scope_ == Scope::all) add(text.prompt.last(std::min(most - made, text.prompt.size())));
}

}  // namespace vitrine
