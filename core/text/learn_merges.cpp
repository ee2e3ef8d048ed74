#include <algorithm>
#include <queue>
#include <unordered_map>

#include "core/base/error.h"
#include "core/text/characters.h"
#include "core/text/trainer.h"

namespace vitrine {
namespace {

using Symbol = std::uint32_t;
using Pair = std::uint64_t;

Pair pair_of(Symbol left, Symbol right) { return static_cast<Pair>(left) << 32 | right; }

/// A pair that may merge, and words in which it stands.
struct Candidate {
  Pair pair;
  std::int64_t count;
  std::vector<std::uint32_t> words;
  bool operator<(const Candidate& other) const { return count != other.count ? count < other.count : pair > other.pair; }
};

class MergeLearner {
 public:
  MergeLearner(const MergeTraining& training, const TrainingOptions& options, Run& run) : training_(training), options_(options), run_(run) {}

  LearntMerges learn(const std::map<std::string, std::uint64_t>& pieces) {
    for (const std::string& token : training_.special) id_of(token);
    load_alphabet(pieces);
    for (const auto& [piece, count] : pieces) add_word(piece, static_cast<std::int64_t>(count));
    for (std::uint32_t word = 0; word < words_.size(); ++word) {
      const std::vector<Symbol>& symbols = words_[word];
      for (std::size_t i = 0; i + 1 < symbols.size(); ++i) change(pair_of(symbols[i], symbols[i + 1]), counts_[word], word);
    }
    offer_changed();
    while (tokens_.size() < options_.vocabulary && !queue_.empty() && merge_best()) {
    }
    auto merges = named_merges();
    return {std::move(tokens_), std::move(merges)};
  }

 private:
  Symbol id_of(const std::string& token) {
    const auto [found, is_new] = ids_.emplace(token, static_cast<Symbol>(tokens_.size()));
    if (is_new) tokens_.push_back(token);
    return found->second;
  }

  void load_alphabet(const std::map<std::string, std::uint64_t>& pieces) {
    std::vector<char32_t> characters;
    const auto add = [&](std::string_view text) {
      for (std::size_t at = 0; at < text.size();) characters.push_back(next_character(text, at));
    };
    for (const std::string& character : training_.alphabet) add(character);
    for (const auto& [piece, count] : pieces) {
      add(piece);
      if (characters.size() > 1 << 16) unique(characters);
    }
    unique(characters);
    for (const char32_t character : characters) {
      if (character != no_character) id_of(utf8(character));
    }
  }

  static void unique(std::vector<char32_t>& characters) {
    std::sort(characters.begin(), characters.end());
    characters.erase(std::unique(characters.begin(), characters.end()), characters.end());
  }

  void add_word(const std::string& piece, std::int64_t count) {
    std::vector<Symbol> symbols;
    for (std::size_t at = 0; at < piece.size();) {
      const std::size_t begin = at;
      const char32_t character = next_character(piece, at);
      if (character == no_character) continue;
      symbols.push_back(id_of((begin > 0 ? training_.continuing_prefix : "") + piece.substr(begin, at - begin)));
    }
    words_.push_back(std::move(symbols));
    counts_.push_back(count);
  }

  /// A pair has come (count > 0) to a word, or gone from it.
  void change(Pair pair, std::int64_t count, std::uint32_t word) {
    pair_counts_[pair] += count;
    if (count <= 0) return;
    std::vector<std::uint32_t>& words = changed_[pair];
    if (words.empty() || words.back() != word) words.push_back(word);
  }

  void offer_changed() {
    for (auto& [pair, words] : changed_) {
      if (const std::int64_t count = pair_counts_[pair]; count > 0) queue_.push({pair, count, std::move(words)});
    }
    changed_.clear();
  }

  /// Merges the best pair wherever its candidate saw it; false where none is frequent enough.
  bool merge_best() {
    Candidate best = queue_.top();
    queue_.pop();
    const std::int64_t count = pair_counts_[best.pair];
    if (best.count != count) {  // it was counted before others merged
      best.count = count;
      queue_.push(std::move(best));
      return true;
    }
    if (count < 1 || static_cast<std::uint64_t>(count) < options_.least_frequency) return false;
    const auto left = static_cast<Symbol>(best.pair >> 32), right = static_cast<Symbol>(best.pair);
    std::string_view rest = tokens_[right];
    if (!training_.continuing_prefix.empty() && rest.starts_with(training_.continuing_prefix)) rest.remove_prefix(training_.continuing_prefix.size());
    const Symbol both = id_of(tokens_[left] + std::string(rest));
    merges_.push_back(best.pair);
    for (const std::uint32_t word : best.words) merge_in(word, best.pair, both);
    offer_changed();
    if (merges_.size() % 64 == 0) run_.step("merges", tokens_.size(), options_.vocabulary);
    return true;
  }

  void merge_in(std::uint32_t word, Pair pair, Symbol both) {
    const auto left = static_cast<Symbol>(pair >> 32), right = static_cast<Symbol>(pair);
    std::vector<Symbol>& symbols = words_[word];
    const std::int64_t count = counts_[word];
    std::size_t kept = 0;
    for (std::size_t i = 0; i < symbols.size(); ++i) {
      if (symbols[i] != left || i + 1 >= symbols.size() || symbols[i + 1] != right) {
        symbols[kept++] = symbols[i];
        continue;
      }
      if (kept > 0) {
        change(pair_of(symbols[kept - 1], left), -count, word);
        change(pair_of(symbols[kept - 1], both), count, word);
      }
      ++i;
      if (i + 1 < symbols.size()) {
        change(pair_of(right, symbols[i + 1]), -count, word);
        change(pair_of(both, symbols[i + 1]), count, word);
      }
      symbols[kept++] = both;
    }
    symbols.resize(kept);
  }

  /// A pair that merged twice, because its union could be made in two ways, stands where it merged last.
  std::vector<std::pair<std::string, std::string>> named_merges() const {
    std::unordered_map<Pair, std::size_t> last;
    for (std::size_t i = 0; i < merges_.size(); ++i) last[merges_[i]] = i;
    std::vector<std::pair<std::string, std::string>> named;
    for (std::size_t i = 0; i < merges_.size(); ++i) {
      if (last.at(merges_[i]) == i) named.emplace_back(tokens_[merges_[i] >> 32], tokens_[static_cast<Symbol>(merges_[i])]);
    }
    return named;
  }

  const MergeTraining& training_;
  const TrainingOptions& options_;
  Run& run_;
  std::vector<std::string> tokens_;
  std::unordered_map<std::string, Symbol> ids_;
  std::vector<std::vector<Symbol>> words_;
  std::vector<std::int64_t> counts_;
  std::unordered_map<Pair, std::int64_t> pair_counts_;
  std::unordered_map<Pair, std::vector<std::uint32_t>> changed_;
  std::priority_queue<Candidate> queue_;
  std::vector<Pair> merges_;
};

}  // namespace

LearntMerges learn_merges(const std::map<std::string, std::uint64_t>& pieces, const MergeTraining& training, const TrainingOptions& options,
                          Run& run) {
  LearntMerges learnt = MergeLearner(training, options, run).learn(pieces);
  if (learnt.tokens.size() > options.vocabulary) {
    throw Error({"--vocabulary", "at least " + std::to_string(learnt.tokens.size()) + ", the special tokens and the alphabet",
                 std::to_string(options.vocabulary), ""});
  }
  return learnt;
}

}  // namespace vitrine
