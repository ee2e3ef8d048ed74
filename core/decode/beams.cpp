#include "core/decode/beams.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/base/error.h"
#include "core/decode/by_grammar.h"
#include "core/decode/growing_text.h"
#include "core/decode/scores.h"

namespace vitrine {

const BeamOptions& beam_options() {
  static const BeamOptions options{
      .beams = {.name = "beams", .summary = "how many texts are kept at a time (4)", .kind = OptionKind::whole, .fallback = 4, .low = 1, .high = 512},
      .length_penalty = {.name = "length-penalty", .summary = "a text's log-probability is divided by its length to this power (1): more favours longer texts", .fallback = 1, .low = -100, .high = 100},
      .early_stopping = {.name = "early-stopping", .summary = "yes: as soon as there are as many complete texts as beams; no (default): when no beam is better now; never: when none can become better",
                         .kind = OptionKind::text}};
  return options;
}

BeamTask beam_task(const SearchProblem& problem) {
  require_unobserved(problem);
  const std::size_t beams = problem.values.whole(beam_options().beams);
  if (problem.texts > beams) throw Error({"--beams", "at least as many as texts, " + std::to_string(problem.texts), std::to_string(beams), ""}, Fault::usage);
  const std::size_t most = most_tokens(problem);
  return {.prompt = problem.prompt, .source = problem.source_ids, .max_tokens = most, .texts = problem.texts, .ends = problem.ends,
          .samplers = problem.samplers, .draws_tokens = problem.draws_tokens, .draws = problem.draws, .values = problem.values, .likeliest = problem.likeliest,
          .on_step = [&run = problem.context.run, most](std::size_t length) { run.step("generate", length, most); },
          .tokenizer = problem.tokenizer, .vocabulary = problem.context.model.spec.vocabulary,
          .grammar = problem.grammar};
}

std::vector<Beam> first_beam(const BeamTask& task) {
  std::vector<Beam> beams(1);
  beams.front().samplers = task.samplers.copy();
  if (task.grammar) beams.front().grammar = *task.grammar;
  return beams;
}

BeamSettings beam_settings(const BeamTask& task) {
  const BeamOptions& options = beam_options();
  BeamSettings settings{.beams = task.values.whole(options.beams), .length_penalty = task.values.number(options.length_penalty), .max_tokens = task.max_tokens};
  for (const std::string& word : task.values.texts(options.early_stopping)) {
    if (word != "yes" && word != "no" && word != "never") throw Error({"--early-stopping", "yes, no or never", quoted(word), ""}, Fault::usage);
    settings.early = word == "yes" ? EarlyStopping::yes : word == "no" ? EarlyStopping::no : EarlyStopping::never;
  }
  return settings;
}

double Complete::scaled(double sum, std::size_t length) const { return sum / std::pow(static_cast<double>(length), settings_.length_penalty); }

void Complete::add(GeneratedText text, double sum, std::size_t length) {
  text.score = scaled(sum, length);
  const auto worst = std::ranges::min_element(texts_, {}, [](const GeneratedText& kept) { return *kept.score; });
  if (texts_.size() == capacity_) {
    if (*text.score <= *worst->score) return;
    texts_.erase(worst);
  }
  texts_.push_back(std::move(text));
}

bool Complete::settled(double best_sum, std::size_t length) const {
  if (texts_.size() < capacity_) return false;
  if (settings_.early == EarlyStopping::yes) return true;
  // The longest text has the largest divisor, where a length counts for a text.
  const bool longest = settings_.early == EarlyStopping::never && settings_.length_penalty > 0.0;
  const double attainable = scaled(best_sum, longest ? settings_.max_tokens : length);
  return std::ranges::all_of(texts_, [&](const GeneratedText& text) { return *text.score >= attainable; });
}

std::vector<GeneratedText> Complete::best(std::vector<GeneratedText> texts, std::size_t count) {
  std::ranges::stable_sort(texts, std::greater(), [](const GeneratedText& text) { return *text.score; });
  if (texts.size() > count) texts.resize(count);
  return texts;
}

bool Expansion::ends(TokenId id) const { return std::ranges::find(task_.ends, id) != task_.ends.end(); }

void Expansion::score(TensorView<float, 2> logits, std::span<Beam> beams, const Change& before) {
  logits_ = logits, beams_ = beams, vocabulary_ = logits.extent(1);
  scores_.resize(std::max(scores_.size(), beams.size() * vocabulary_));
  log_sums_.resize(beams.size());
  for (std::size_t b = 0; b < beams.size(); ++b) {
    const std::span<const float> row{&logits(beams[b].row, 0), vocabulary_};
    const std::span<float> scores{scores_.data() + b * vocabulary_, vocabulary_};
    log_sums_[b] = model_.log_sum(row);
    const auto log_sum = static_cast<float>(log_sums_[b]);
    for (std::size_t v = 0; v < vocabulary_; ++v) scores[v] = row[v] - log_sum;
    if (before) before(scores);
    if (beams[b].grammar) mask_by(*beams[b].grammar, task_.max_tokens - beams[b].made.size() - 1, scores);
    beams[b].samplers.apply(scores, {task_.prompt, task_.source, beams[b].made, task_.draws});
  }
}

std::vector<Candidate> Expansion::best(std::size_t count, double sibling_penalty) const {
  std::vector<Candidate> all;
  for (std::size_t b = 0; b < beams_.size(); ++b) {
    Ranking ranking(row_of(b));
    for (std::size_t i = 0; i < count && ranking.has(i); ++i) {
      all.push_back(at(b, ranking[i]));
      all.back().score -= sibling_penalty * static_cast<double>(i + 1);
    }
  }
  std::ranges::stable_sort(all, std::greater(), &Candidate::score);
  if (all.size() > count) all.resize(count);
  return all;
}

std::vector<Candidate> Expansion::drawn(std::size_t count) const {
  constexpr std::uint64_t beam_stream = 0x6265616d;  // of Draws: the first candidate of a step, the next ones behind it
  double top = -std::numeric_limits<double>::infinity();
  for (std::size_t b = 0; b < beams_.size(); ++b) top = std::max(top, beams_[b].score + highest(row_of(b)));
  std::vector<double> weights(beams_.size() * vocabulary_);
  double total = 0.0;
  for (std::size_t i = 0; i < weights.size(); ++i) total += weights[i] = std::exp(sum(i / vocabulary_, i % vocabulary_) - top);
  std::vector<Candidate> drawn;
  for (std::uint64_t draw = 0; draw < count; ++draw) {
    double target = task_.draws.number(beams_.front().made.size(), beam_stream + draw) * total;
    std::size_t place = weights.size();
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (weights[i] == 0.0) continue;
      place = i;
      if ((target -= weights[i]) < 0.0) break;
    }
    if (place == weights.size()) break;  // all were drawn
    drawn.push_back(at(place / vocabulary_, static_cast<TokenId>(place % vocabulary_)));
    total -= weights[place];
    weights[place] = 0.0;
  }
  std::ranges::stable_sort(drawn, std::greater(), &Candidate::score);
  return drawn;
}

std::optional<GrammarMatcher> Expansion::grammar_behind(const Candidate& candidate) const {
  std::optional<GrammarMatcher> grammar = beams_[candidate.beam].grammar;
  if (grammar) grammar->accept(candidate.id);
  return grammar;
}

bool Expansion::stops(const Candidate& candidate) const {
  if (ends(candidate.id)) return true;
  const std::optional<GrammarMatcher>& grammar = beams_[candidate.beam].grammar;
  return grammar && !grammar->knows_ends() && grammar_behind(candidate)->must_end();
}

std::vector<GeneratedToken> Expansion::tokens_of(const Candidate& candidate) const {
  const std::size_t b = candidate.beam;
  std::vector<GeneratedToken> tokens = beams_[b].tokens;
  if (!ends(candidate.id)) tokens.push_back(told_token(candidate.id, {&logits_(beams_[b].row, 0), vocabulary_}, log_sums_[b], task_.likeliest));
  return tokens;
}

GeneratedText Expansion::text_of(const Candidate& candidate) const {
  GeneratedText text{.tokens = tokens_of(candidate), .ended = ends(candidate.id)};
  if (const std::optional<GrammarMatcher> grammar = grammar_behind(candidate)) text.ended = text.ended ? grammar->ended() : grammar->may_end();
  return text;
}

Beam Expansion::grown(const Candidate& candidate, std::size_t row) const {
  const Beam& parent = beams_[candidate.beam];
  Beam child{.tokens = tokens_of(candidate), .made = parent.made, .score = candidate.score, .samplers = parent.samplers.copy(), .grammar = grammar_behind(candidate), .row = row};
  child.made.push_back(candidate.id);
  child.samplers.chosen(candidate.id, row_of(candidate.beam));
  return child;
}

std::size_t candidates_of(std::size_t beams, const BeamTask& task) { return std::max<std::size_t>(2, 1 + task.ends.size()) * beams; }

TensorView<float, 2> go_on(NextScores& model, const Expansion& expansion, std::span<const Candidate> going, std::vector<Beam>& beams) {
  std::vector<NextScores::Growth> growths;
  std::vector<Beam> grown;
  for (const Candidate& candidate : going) {
    growths.push_back({beams[candidate.beam].row, candidate.id});
    grown.push_back(expansion.grown(candidate, grown.size()));
  }
  beams = std::move(grown);
  return model.grow(growths);
}

}  // namespace vitrine
