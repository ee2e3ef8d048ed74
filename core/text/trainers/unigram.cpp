#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <unordered_map>

#include "core/base/error.h"
#include "core/text/characters.h"
#include "core/text/trainer.h"
#include "core/text/trie.h"

// The unigram language model (Kudo 2018, section 3.2): from frequent substrings, expectation-maximisation gives each piece a
// probability; pieces without which the text loses least likelihood go; until the vocabulary has its size.

namespace vitrine {
namespace {

constexpr std::size_t longest_piece = 16;     // characters
constexpr std::size_t most_seeds = 1'000'000;
constexpr int iterations_a_round = 2;
constexpr double kept_a_round = 0.75;         // of the pieces
constexpr double more_than_wanted = 1.1;      // pieces when rounds end; the likeliest of them stay
constexpr double least_expected = 0.5;        // occurrences
constexpr double impossible = -std::numeric_limits<double>::infinity();

struct Piece {
  std::string text;
  double score = 0;  // ln probability
};

struct Word {
  std::string text;
  double count = 0;
};

/// d/dx ln gamma(x), by its recurrence and asymptotic series.
double digamma(double x) {
  double shifted = 0.0;
  for (; x < 7.0; ++x) shifted -= 1.0 / x;
  x -= 0.5;
  const double square = 1.0 / (x * x);
  return shifted + std::log(x) + square * (1.0 / 24.0 + square * (-7.0 / 960.0 + square * (31.0 / 8064.0 - square * 127.0 / 30720.0)));
}

double log_sum(double a, double b) {
  const double high = std::max(a, b), low = std::min(a, b);
  return low == impossible ? high : high + std::log1p(std::exp(low - high));
}

class UnigramLearner {
 public:
  UnigramLearner(std::vector<Word> words, std::size_t wanted, Run& run) : words_(std::move(words)), wanted_(wanted), run_(run) {}

  std::vector<Piece> learn() {
    seed();
    const auto end = static_cast<std::size_t>(static_cast<double>(wanted_) * more_than_wanted);
    const std::size_t seeds = pieces_.size();
    while (true) {
      for (int i = 0; i < iterations_a_round; ++i) maximise(expect());
      run_.step("pieces", seeds - std::min(seeds, pieces_.size()), seeds - std::min(seeds, end));
      if (pieces_.size() <= end) break;
      const std::size_t before = pieces_.size();
      prune(std::max(end, static_cast<std::size_t>(static_cast<double>(before) * kept_a_round)));
      if (pieces_.size() == before) break;
    }
    return finish();
  }

 private:
  struct Arc {
    std::size_t end;
    std::int32_t piece;
  };

  /// Substrings that occur twice and are not always followed by the same character; every character.
  void seed() {
    std::unordered_map<std::string_view, double> counts;
    for (const Word& word : words_) {
      const std::string_view text = word.text;
      for (std::size_t begin = 0; begin < text.size(); begin += character_size(text, begin)) {
        std::size_t end = begin;
        for (std::size_t length = 0; length < longest_piece && end < text.size(); ++length) {
          end += character_size(text, end);
          counts[text.substr(begin, end - begin)] += word.count;
        }
      }
    }
    std::unordered_map<std::string_view, bool> always_longer;
    for (const auto& [text, count] : counts) {
      std::size_t last = text.size();
      previous_character(text, last);
      if (last == 0) continue;
      const auto shorter = counts.find(text.substr(0, last));
      if (shorter != counts.end() && shorter->second == count) always_longer[shorter->first] = true;
    }
    for (const auto& [text, count] : counts) {
      const bool character = character_size(text, 0) == text.size();
      if (character) characters_.emplace(text, count);
      if (character || (count >= 2 && !always_longer.contains(text))) {
        pieces_.push_back({std::string(text), character ? count : count * static_cast<double>(count_characters(text))});
      }
    }
    const auto size_of = [](const Piece& piece) { return character_size(piece.text, 0) == piece.text.size(); };
    std::sort(pieces_.begin(), pieces_.end(), [&](const Piece& a, const Piece& b) {
      if (size_of(a) != size_of(b)) return size_of(a);
      return a.score != b.score ? a.score > b.score : a.text < b.text;
    });
    if (pieces_.size() > most_seeds) pieces_.resize(most_seeds);
    double sum = 0;
    for (const Piece& piece : pieces_) sum += piece.score;
    for (Piece& piece : pieces_) piece.score = std::log(piece.score / sum);
    index();
  }

  void index() {
    std::vector<std::pair<std::string_view, std::int32_t>> keys;
    for (std::size_t i = 0; i < pieces_.size(); ++i) keys.emplace_back(pieces_[i].text, static_cast<std::int32_t>(i));
    trie_ = Trie(std::move(keys));
    least_score_ = 0;
    for (const Piece& piece : pieces_) least_score_ = std::min(least_score_, piece.score);
  }

  double score(std::int32_t piece) const { return piece < 0 ? least_score_ - 10.0 : pieces_[static_cast<std::size_t>(piece)].score; }

  /// The pieces that begin at a place; an unknown character where none has its size.
  void arcs_from(std::string_view text, std::size_t at, std::vector<Arc>& arcs) const {
    arcs.clear();
    const std::size_t character = character_size(text, at);
    bool whole = false;
    std::uint32_t node = Trie::root;
    for (std::size_t end = at; end < text.size();) {
      node = trie_.next(node, text[end++]);
      if (node == Trie::nowhere) break;
      if (trie_.value(node) == Trie::no_value) continue;
      arcs.push_back({end, trie_.value(node)});
      whole = whole || end - at == character;
    }
    if (!whole) arcs.push_back({at + character, -1});
  }

  /// How often each piece is expected in the text: forward and backward sums over all ways to write each word.
  std::vector<double> expect() const {
    std::vector<double> expected(pieces_.size(), 0.0), forward, backward;
    std::vector<std::vector<Arc>> arcs;
    for (const Word& word : words_) {
      const std::string_view text = word.text;
      if (arcs.size() < text.size()) arcs.resize(text.size());
      forward.assign(text.size() + 1, impossible);
      backward.assign(text.size() + 1, impossible);
      forward[0] = backward[text.size()] = 0.0;
      for (std::size_t at = 0; at < text.size(); at += character_size(text, at)) {
        arcs_from(text, at, arcs[at]);
        for (const Arc& arc : arcs[at]) forward[arc.end] = log_sum(forward[arc.end], forward[at] + score(arc.piece));
      }
      for (std::size_t at = text.size(); at > 0;) {
        previous_character(text, at);
        for (const Arc& arc : arcs[at]) backward[at] = log_sum(backward[at], backward[arc.end] + score(arc.piece));
        for (const Arc& arc : arcs[at]) {
          if (arc.piece < 0) continue;
          expected[static_cast<std::size_t>(arc.piece)] +=
              word.count * std::exp(forward[at] + score(arc.piece) + backward[arc.end] - forward[text.size()]);
        }
      }
    }
    return expected;
  }

  /// The Bayesian estimate, which favours few pieces: digamma in the place of the logarithm.
  void maximise(const std::vector<double>& expected) {
    std::vector<Piece> kept;
    double sum = 0;
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
      if (expected[i] < least_expected) continue;
      kept.push_back({std::move(pieces_[i].text), expected[i]});
      sum += expected[i];
    }
    for (Piece& piece : kept) piece.score = digamma(piece.score) - digamma(sum);
    pieces_ = std::move(kept);
    index();
  }

  /// The likeliest way to write a text, without the piece that is all of it where `whole` says so.
  enum class Whole { allowed, excluded };
  std::vector<std::int32_t> best_path(std::string_view text, Whole whole, double* total = nullptr) const {
    struct Step {
      double score = impossible;
      std::size_t begin = 0;
      std::int32_t piece = -1;
    };
    std::vector<Step> steps(text.size() + 1);
    std::vector<Arc> arcs;
    steps[0].score = 0.0;
    for (std::size_t at = 0; at < text.size(); at += character_size(text, at)) {
      arcs_from(text, at, arcs);
      for (const Arc& arc : arcs) {
        if (whole == Whole::excluded && at == 0 && arc.end == text.size()) continue;
        const double sum = steps[at].score + score(arc.piece);
        if (sum > steps[arc.end].score) steps[arc.end] = {sum, at, arc.piece};
      }
    }
    if (total) *total = steps[text.size()].score;
    std::vector<std::int32_t> path;
    if (steps[text.size()].score == impossible) return path;
    for (std::size_t end = text.size(); end > 0; end = steps[end].begin) path.push_back(steps[end].piece);
    return path;
  }

  /// Keeps the pieces without which the text loses the most likelihood.
  void prune(std::size_t size) {
    std::vector<double> frequency(pieces_.size(), 0.0);
    double words = 0, sum = 0;
    for (const Word& word : words_) {
      words += word.count;
      for (const std::int32_t piece : best_path(word.text, Whole::allowed)) {
        if (piece >= 0) frequency[static_cast<std::size_t>(piece)] += word.count;
      }
    }
    for (const double each : frequency) sum += each;
    std::vector<std::pair<double, std::size_t>> losses;
    std::vector<bool> keeps(pieces_.size(), false);
    std::size_t kept = 0;
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
      double other = impossible;
      const std::vector<std::int32_t> instead = best_path(pieces_[i].text, Whole::excluded, &other);
      const bool replaceable = !instead.empty() && std::none_of(instead.begin(), instead.end(), [](std::int32_t piece) { return piece < 0; });
      if (!replaceable) {
        keeps[i] = true;
        ++kept;
      } else if (other <= pieces_[i].score && frequency[i] > 0) {
        const double more = std::log(sum + frequency[i] * (static_cast<double>(instead.size()) - 1.0));
        double with = std::log(frequency[i] / sum), without = 0;
        for (const std::int32_t piece : instead) without += std::log(frequency[static_cast<std::size_t>(piece)] + frequency[i]) - more;
        losses.emplace_back(frequency[i] / words * (with - without), i);
      }
    }
    std::sort(losses.begin(), losses.end(), [](const auto& a, const auto& b) { return a.first != b.first ? a.first > b.first : a.second < b.second; });
    for (std::size_t i = 0; i < losses.size() && kept < size; ++i, ++kept) keeps[losses[i].second] = true;
    std::vector<Piece> left;
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
      if (keeps[i]) left.push_back(std::move(pieces_[i]));
    }
    pieces_ = std::move(left);
    index();
  }

  /// Every character has a piece, unlikely where it was pruned; then the likeliest.
  std::vector<Piece> finish() {
    constexpr double apart = 0.0001;
    if (characters_.size() > wanted_) {
      throw Error({"--vocabulary", "at least " + std::to_string(characters_.size()) + " and the special tokens: one a character", std::to_string(wanted_), ""});
    }
    std::vector<Piece> kept;
    double rarer = least_score_;
    for (const auto& [character, count] : characters_) {
      const std::int32_t piece = trie_.find(character);
      kept.push_back({character, piece == Trie::no_value ? rarer -= apart : score(piece)});
    }
    std::stable_sort(pieces_.begin(), pieces_.end(), [](const Piece& a, const Piece& b) { return a.score > b.score; });
    for (const Piece& piece : pieces_) {
      if (kept.size() >= wanted_) break;
      if (!characters_.contains(piece.text)) kept.push_back(piece);
    }
    std::stable_sort(kept.begin(), kept.end(), [](const Piece& a, const Piece& b) { return a.score > b.score; });
    return kept;
  }

  std::vector<Word> words_;
  std::size_t wanted_;
  Run& run_;
  std::map<std::string, double, std::less<>> characters_;  // with how often they occur
  std::vector<Piece> pieces_;
  Trie trie_;
  double least_score_ = 0;
};

Json train(std::string_view text, const TrainingOptions& options, Run& run) {
  const std::vector<std::string> special{"<unk>", "<s>", "</s>", "<pad>"};
  if (options.vocabulary <= special.size()) throw Error({"--vocabulary", "more than the special tokens", std::to_string(options.vocabulary), ""});
  const Json normalizer = Json::object().set("type", "NFKC");
  const Json marks = Json::object().set("type", "Metaspace").set("replacement", "\u2581").set("prepend_scheme", "always").set("split", true);
  std::vector<Word> words;
  for (const auto& [piece, count] : count_pieces(text, normalizer, marks, run)) {
    if (count >= options.least_frequency && is_utf8(piece)) words.push_back({piece, static_cast<double>(count)});
  }
  if (words.empty()) throw Error({"--file", "a text with words", "none", ""});
  Json::Array vocab;
  for (const std::string& token : special) vocab.push_back(Json(Json::Array{token, 0.0}));
  for (const Piece& piece : UnigramLearner(std::move(words), options.vocabulary - special.size(), run).learn()) {
    vocab.push_back(Json(Json::Array{piece.text, piece.score}));
  }
  Json model = Json::object().set("type", "Unigram").set("unk_id", 0).set("byte_fallback", false).set("vocab", Json(std::move(vocab)));
  const Json stages = Json::object().set("normalizer", normalizer).set("pre_tokenizer", marks).set("decoder", marks);
  return tokenizer_json(stages, std::move(model), special);
}

}  // namespace

const TokenizerTrainer& tokenizer_trainer_unigram() {
  static const TokenizerTrainer trainer{"unigram", "pieces of a unigram language model, as T5", train};
  return trainer;
}

}  // namespace vitrine
