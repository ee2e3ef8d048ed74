#include <algorithm>
#include <numeric>
#include <optional>
#include <string>

#include "core/base/error.h"
#include "core/decode/beams.h"
#include "core/text/token_ids.h"

namespace vitrine {
namespace {

const DecodeOption force_words{.name = "force-words", .summary = "words that the text must hold, as they stand in it (\" red\"); \"a|b\": one of them", .kind = OptionKind::text, .repeated = true};
const DecodeOption force_ids{.name = "force-ids", .summary = "the same as token ids: \"5,6\" or \"5,6|7\"", .kind = OptionKind::text, .repeated = true};

using Phrase = std::vector<TokenId>;
/// One of these phrases is wanted.
using Wanted = std::vector<Phrase>;

/// How far a text has come with what it must hold. One phrase is worked on at a time; a token that breaks it begins no other, as in
/// transformers.
class Progress {
 public:
  explicit Progress(std::span<const Wanted> all) : all_(all), open_(all.size()) {
    std::iota(open_.begin(), open_.end(), std::size_t{0});
    for (const Wanted& wanted : all) longest_ = std::max(longest_, height(wanted));
  }
  bool complete() const { return complete_; }
  /// How much is done: texts that are as far stand in one bank.
  std::size_t bank() const {
    return done_ * longest_ + (current_ ? longest_ - (height(all_[*current_]) - said_.size()) : 0);
  }
  /// Tokens that would bring it on.
  std::vector<TokenId> next() const {
    std::vector<TokenId> ids;
    if (complete_) return ids;
    if (current_) return next_of(all_[*current_], said_);
    for (const std::size_t wanted : open_) std::ranges::copy(next_of(all_[wanted], {}), std::back_inserter(ids));
    return ids;
  }
  void add(TokenId id) {
    if (complete_) return;
    if (current_) {
      if (!advances(*current_, id)) {
        open_.push_back(*current_);
        current_.reset();
        said_.clear();
        return;
      }
      said_.push_back(id);
    } else {
      const auto begun = std::ranges::find_if(open_, [&](std::size_t wanted) { return advances(wanted, id); });
      if (begun == open_.end()) return;
      current_ = *begun;
      open_.erase(begun);
      said_.assign(1, id);
    }
    if (!next_of(all_[*current_], said_).empty()) return;
    ++done_;
    current_.reset();
    said_.clear();
    complete_ = open_.empty();
  }

 private:
  static std::size_t height(const Wanted& wanted) { return std::ranges::max_element(wanted, {}, &Phrase::size)->size(); }
  /// What follows `said` in the phrases that begin with it, each once.
  static std::vector<TokenId> next_of(const Wanted& wanted, std::span<const TokenId> said) {
    std::vector<TokenId> ids;
    for (const Phrase& phrase : wanted) {
      if (phrase.size() <= said.size() || !std::equal(said.begin(), said.end(), phrase.begin())) continue;
      if (std::ranges::find(ids, phrase[said.size()]) == ids.end()) ids.push_back(phrase[said.size()]);
    }
    return ids;
  }
  bool advances(std::size_t wanted, TokenId id) const {
    const std::vector<TokenId> ids = next_of(all_[wanted], said_);
    return std::ranges::find(ids, id) != ids.end();
  }

  std::span<const Wanted> all_;
  std::vector<std::size_t> open_;         // not begun
  std::optional<std::size_t> current_{};  // begun
  std::vector<TokenId> said_{};           // of it
  std::size_t done_ = 0, longest_ = 0;
  bool complete_ = false;
};

/// "a|b" as phrases. @param read  a phrase of its words
template <typename Read>
Wanted read_wanted(std::string_view words, const Read& read) {
  Wanted wanted;
  for (bool more = true; more;) {
    const std::size_t bar = words.find('|');
    wanted.push_back(read(words.substr(0, bar)));
    more = bar != std::string_view::npos;
    if (more) words.remove_prefix(bar + 1);
  }
  return wanted;
}

/// A phrase that another one begins with would be reached and passed at once.
void require_distinct(const Wanted& wanted, const std::string& where, std::string_view words) {
  for (const Phrase& phrase : wanted) {
    const bool begins_other = std::ranges::any_of(wanted, [&](const Phrase& other) {
      return &other != &phrase && other.size() >= phrase.size() && std::equal(phrase.begin(), phrase.end(), other.begin());
    });
    if (phrase.empty() || begins_other) throw Error({where, "phrases of at least one token, none the beginning of another", quoted(words), ""}, Fault::usage);
  }
}

std::vector<Wanted> wanted_of(const BeamTask& task) {
  std::vector<Wanted> all;
  for (const std::string& words : task.values.texts(force_words)) {
    if (!task.tokenizer) throw Error({"--force-words", "a model with a tokenizer", "none", "use --force-ids"}, Fault::usage);
    all.push_back(read_wanted(words, [&](std::string_view phrase) { return ids_of(task.tokenizer->encode(phrase, {.add_special = false, .parse_special = false})); }));
    require_distinct(all.back(), "--force-words", words);
  }
  for (const std::string& words : task.values.texts(force_ids)) {
    all.push_back(read_wanted(words, [&](std::string_view phrase) { return token_ids_of(force_ids, phrase, task.vocabulary); }));
    require_distinct(all.back(), "--force-ids", words);
  }
  if (all.empty()) throw Error({"--search constrained_beam", "what the text must hold", "nothing", "say --force-words or --force-ids"}, Fault::usage);
  std::size_t least = 0;
  for (const Wanted& wanted : all) least += std::ranges::max_element(wanted, {}, &Phrase::size)->size();
  if (task.max_tokens < least) throw Error({"--max-tokens", "at least " + std::to_string(least) + ", the tokens of the forced words", std::to_string(task.max_tokens), ""}, Fault::usage);
  return all;
}

Progress progress_of(std::span<const Wanted> all, std::span<const TokenId> made) {
  Progress progress(all);
  for (const TokenId id : made) progress.add(id);
  return progress;
}

/// A candidate and how far it is.
struct Banked {
  Candidate candidate;
  std::size_t bank;
};

/// The best of each bank in turn, the furthest bank first (dynamic beam allocation), of what goes on by itself and of what brings a beam on.
/// As many as go on by themselves.
/// @param progress  [beams]
std::vector<Candidate> allocate(const Expansion& expansion, std::span<const Progress> progress, std::span<const Candidate> going) {
  std::vector<Banked> banked;
  const auto add = [&](const Candidate& candidate) {
    Progress then = progress[candidate.beam];
    then.add(candidate.id);
    banked.push_back({candidate, then.bank()});
  };
  for (const Candidate& candidate : going) add(candidate);
  for (std::size_t b = 0; b < progress.size(); ++b) {
    for (const TokenId id : progress[b].next()) {
      const Candidate candidate = expansion.at(b, id);
      const bool known = std::ranges::any_of(banked, [&](const Banked& other) { return other.candidate.beam == b && other.candidate.id == id; });
      if (!known && candidate.score > -std::numeric_limits<double>::infinity()) add(candidate);
    }
  }
  if (banked.size() == going.size()) return {going.begin(), going.end()};
  // A bank weighs a hundred nats, as in transformers.
  std::ranges::stable_sort(banked, std::greater(), [](const Banked& one) { return 100.0 * static_cast<double>(one.bank) + one.candidate.score; });
  std::vector<std::pair<std::size_t, Candidate>> by_turn;  // how many of its bank come before it
  for (std::size_t i = 0; i < banked.size(); ++i) by_turn.emplace_back(i > 0 && banked[i].bank == banked[i - 1].bank ? by_turn.back().first + 1 : 0, banked[i].candidate);
  std::ranges::stable_sort(by_turn, {}, [](const auto& turn) { return turn.first; });
  std::vector<Candidate> allocated;
  for (std::size_t i = 0; i < std::min(by_turn.size(), going.size()); ++i) allocated.push_back(by_turn[i].second);
  return allocated;
}

std::vector<GeneratedText> run(const SearchProblem& problem) {
  ModelScores scores(problem);
  return constrained_beam_search(scores, beam_task(problem));
}

}  // namespace

// As transformers 4 does it; but the prompt's words are not counted among those that the text holds, and a text that lacks some is not told.
std::vector<GeneratedText> constrained_beam_search(NextScores& model, const BeamTask& task) {
  const BeamSettings settings = beam_settings(task);
  if (task.draws_tokens) throw Error({"--search constrained_beam", "the likeliest tokens", "tokens that are drawn", "leave the temperature at 0"}, Fault::usage);
  const std::vector<Wanted> all = wanted_of(task);
  Complete complete(settings, settings.beams);
  Expansion expansion(model, task);
  std::vector<Beam> beams = first_beam(task);
  TensorView<float, 2> logits = model.begin({&task.prompt, 1});
  for (std::size_t length = 1;; ++length) {
    expansion.score(logits, beams);
    const std::vector<Candidate> candidates = expansion.best(candidates_of(settings.beams, task));
    std::vector<Progress> progress;
    for (const Beam& beam : beams) progress.push_back(progress_of(all, beam.made));
    std::vector<Candidate> going;
    for (std::size_t rank = 0; rank < candidates.size() && going.size() < settings.beams; ++rank) {
      const Candidate& candidate = candidates[rank];
      if (!expansion.stops(candidate)) {
        going.push_back(candidate);
        continue;
      }
      Progress then = progress[candidate.beam];
      if (!expansion.ends(candidate.id)) then.add(candidate.id);
      if (rank < settings.beams && then.complete()) complete.add(expansion.text_of(candidate), candidate.score, length);
    }
    going = allocate(expansion, progress, going);
    if (task.on_step) task.on_step(length);
    if (going.empty() || complete.settled(candidates.front().score, length)) break;
    if (length == task.max_tokens) {
      for (const Candidate& candidate : going) {
        Progress then = progress[candidate.beam];
        then.add(candidate.id);
        if (then.complete()) complete.add(expansion.text_of(candidate), candidate.score, length);
      }
      break;
    }
    logits = go_on(model, expansion, going, beams);
  }
  std::vector<GeneratedText> texts = Complete::best(complete.take(), task.texts);
  if (texts.empty()) throw Error({"--force-words", "words that can be said under the other rules", "no text that holds them all", "raise --max-tokens or --beams, or drop a rule"});
  return texts;
}

const Search& search_constrained_beam() {
  static const Search search{"constrained_beam", "beams that are led to hold given words", "Hu et al. 2019 (dynamic beam allocation), as transformers 4",
                             {beam_options().beams, beam_options().length_penalty, beam_options().early_stopping, force_words, force_ids}, run};
  return search;
}

}  // namespace vitrine
