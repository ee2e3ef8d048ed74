#include "probes/mediation.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>

#include "core/base/error.h"
#include "probes/statistics/many_hypotheses.h"

namespace vitrine {
namespace {

/// Rows of every head's pattern of one run: those of x from where the two texts part.
struct PatternRows {
  std::size_t first = 0, count = 0;                 // positions
  std::map<std::size_t, std::vector<float>> blocks;  // [rows, heads, keys], keys = first + count
};

/// One run among those that share a pass.
struct Job {
  const std::vector<TokenId>* text;
  const std::vector<TokenId>* candidate;
  double* score;
  const HeadSet* set = nullptr;         // whose patterns are another run's
  const PatternRows* source = nullptr;  // theirs
  PatternRows* kept = nullptr;          // where this run's own go
};

/// Keeps patterns of some runs and writes them into others. Row rules of causal attention: a row's keys are those up to itself.
class PatternExchange : public Observer {
 public:
  explicit PatternExchange(std::span<const Job> jobs, std::size_t blocks) : jobs_(jobs), wanted_(blocks, Access::none) {
    for (const Job& job : jobs) {
      if (job.kept != nullptr) std::ranges::fill(wanted_, Access::read);
    }
    for (const Job& job : jobs) {
      if (job.set == nullptr) continue;
      for (const HeadPlace& place : *job.set) wanted_.at(place.layer) = Access::write;
    }
  }
  Access access(const ProbePoint& point) const override {
    const bool own = point.site == Site::pattern && point.role == AttentionRole::self && point.stack != Stack::encoder;
    return own ? wanted_[static_cast<std::size_t>(point.block)] : Access::none;
  }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    const Job& job = jobs_[rows.front().sequence];
    const auto block = static_cast<std::size_t>(point.block);
    for (std::size_t r = 0; r < rows.size(); ++r) {
      if (job.kept != nullptr) keep(*job.kept, block, rows[r].position, values.slice(r, 1));
      if (job.source != nullptr) put(job, block, rows[r].position, values.slice(r, 1));
    }
  }

 private:
  /// @param row  [1, heads, keys]
  static void keep(PatternRows& kept, std::size_t block, std::size_t position, TensorView<const float, 3> row) {
    if (position < kept.first || position >= kept.first + kept.count) return;
    const std::size_t keys = kept.first + kept.count;
    std::vector<float>& numbers = kept.blocks[block];
    numbers.resize(kept.count * row.extent(1) * keys);
    for (std::size_t h = 0; h < row.extent(1); ++h) {
      for (std::size_t j = 0; j < keys; ++j) numbers[((position - kept.first) * row.extent(1) + h) * keys + j] = row(0, h, j);
    }
  }
  static void put(const Job& job, std::size_t block, std::size_t position, TensorView<float, 3> row) {
    const PatternRows& source = *job.source;
    if (position < source.first || position >= source.first + source.count) return;
    const std::size_t keys = source.first + source.count;
    const std::vector<float>& numbers = source.blocks.at(block);
    for (const HeadPlace& place : *job.set) {
      if (place.layer != block) continue;
      for (std::size_t j = 0; j <= position; ++j) {
        row(0, place.head, j) = numbers[((position - source.first) * row.extent(1) + place.head) * keys + j];
      }
    }
  }

  std::span<const Job> jobs_;
  std::vector<Access> wanted_;  // [blocks]
};

/// Runs jobs of one question behind the tokens that both of its texts begin with.
class QuestionRunner {
 public:
  QuestionRunner(const ModelRunner& runner, std::span<const TokenId> beginning) : runner_(runner), beginning_(runner.model.spec, runner.kv_format), shared_(beginning.size()) {
    if (beginning.empty()) return;
    const TapPlan none;
    const Segment segment{.sequence = 0, .ids = beginning, .cache = &beginning_};
    forward(runner.context(none), {&segment, 1}, {});
  }

  void run(std::span<const Job> jobs) {
    for (std::size_t begin = 0, end = 0; begin < jobs.size(); begin = end) {
      std::size_t rows = 0;
      while (end < jobs.size() && (end == begin || rows + rows_of(jobs[end]) <= max_rows)) rows += rows_of(jobs[end++]);
      run_pass(jobs.subspan(begin, end - begin));
    }
  }

 private:
  std::size_t rows_of(const Job& job) const { return job.text->size() - shared_ + job.candidate->size(); }

  void run_pass(std::span<const Job> jobs) {
    std::vector<std::vector<TokenId>> ids;
    std::deque<KvCache> caches;  // whose places in memory stay
    std::vector<Segment> segments;
    for (const Job& job : jobs) {
      *job.score = 0.0;
      std::vector<TokenId>& tail = ids.emplace_back(job.text->begin() + static_cast<std::ptrdiff_t>(shared_), job.text->end());
      tail.insert(tail.end(), job.candidate->begin(), job.candidate->end() - 1);  // the last token is only predicted
    }
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      Segment segment{.sequence = static_cast<std::uint32_t>(i), .ids = ids[i], .cache = &caches.emplace_back(runner_.model.spec, runner_.kv_format)};
      if (shared_ > 0) {
        segment.shared_from = &beginning_;
        segment.shared = shared_;
      }
      segments.push_back(segment);
    }
    PatternExchange exchange(jobs, runner_.model.spec.blocks.size());
    Observer* observers[] = {&exchange};
    const TapPlan taps(runner_.model.spec, observers);
    ForwardSinks sinks{.logit_rows = LogitRows::wanted};
    sinks.wants_logits = [&](const RowRef& row) { return row.position + 1 >= jobs[row.sequence].text->size(); };
    sinks.logits = [&](std::span<const RowRef> rows, TensorView<float, 2> logits) {
      std::vector<double> scores(rows.size());
      runner_.ops.pool().run(rows.size(), [&](std::size_t r, std::size_t) {
        const Job& job = jobs[rows[r].sequence];
        const TokenId next = (*job.candidate)[rows[r].position + 1 - job.text->size()];
        scores[r] = runner_.ops.log_probability({&logits(r, 0), logits.extent(1)}, static_cast<std::size_t>(next));
      });
      for (std::size_t r = 0; r < rows.size(); ++r) *jobs[rows[r].sequence].score += scores[r];
    };
    forward(runner_.context(taps), segments, sinks);
  }

  const ModelRunner& runner_;
  KvCache beginning_;
  std::size_t shared_;
};

std::size_t checked_beginning(const ModelRunner& runner, const MediationTexts& texts) {
  const ModelSpec& spec = runner.model.spec;
  if (!spec.causal() || !spec.has_head || !spec.encoder.empty()) throw Error({"mediation", "a decoder that predicts next tokens", spec.architecture, ""});
  if (texts.base.size() != texts.alternative.size()) {
    throw Error({"mediation", "two texts of as many tokens", std::to_string(texts.base.size()) + " and " + std::to_string(texts.alternative.size()), ""});
  }
  if (texts.candidate1.empty() || texts.candidate2.empty()) throw Error({"mediation", "candidates of at least one token", "an empty one", ""});
  const std::size_t beginning = static_cast<std::size_t>(std::ranges::mismatch(texts.base, texts.alternative).in1 - texts.base.begin());
  if (beginning == texts.base.size()) throw Error({"mediation", "two texts that differ", "the same tokens", ""});
  return beginning;
}

}  // namespace

std::vector<HeadPlace> all_heads(const ModelSpec& spec) {
  std::vector<HeadPlace> heads;
  for (std::size_t layer = 0; layer < spec.blocks.size(); ++layer) {
    for (std::size_t head = 0; head < spec.blocks[layer].attention.heads; ++head) heads.push_back({layer, head});
  }
  return heads;
}

MediationRuns run_mediation(const ModelRunner& runner, const MediationTexts& texts, std::span<const HeadSet> sets) {
  const std::size_t beginning = checked_beginning(runner, texts);
  QuestionRunner question(runner, std::span(texts.base).first(beginning));
  PatternRows of_base{.first = beginning, .count = texts.base.size() - beginning, .blocks = {}}, of_alternative = of_base;
  MediationRuns runs{.base = {}, .alternative = {}, .indirect = std::vector<CandidateScores>(sets.size()), .direct = std::vector<CandidateScores>(sets.size())};
  std::vector<Job> jobs{{&texts.base, &texts.candidate1, &runs.base.first, nullptr, nullptr, &of_base},
                        {&texts.alternative, &texts.candidate1, &runs.alternative.first, nullptr, nullptr, &of_alternative},
                        {&texts.base, &texts.candidate2, &runs.base.second},
                        {&texts.alternative, &texts.candidate2, &runs.alternative.second}};
  question.run(jobs);
  jobs.clear();
  for (std::size_t s = 0; s < sets.size(); ++s) {
    jobs.push_back({&texts.base, &texts.candidate1, &runs.indirect[s].first, &sets[s], &of_alternative});
    jobs.push_back({&texts.base, &texts.candidate2, &runs.indirect[s].second, &sets[s], &of_alternative});
    jobs.push_back({&texts.alternative, &texts.candidate1, &runs.direct[s].first, &sets[s], &of_base});
    jobs.push_back({&texts.alternative, &texts.candidate2, &runs.direct[s].second, &sets[s], &of_base});
  }
  question.run(jobs);
  return runs;
}

double odds_of(EffectScale scale, const CandidateScores& scores, const CandidateLengths& lengths) {
  if (scale == EffectScale::log_odds) return scores.second - scores.first;
  return std::exp(scores.second / static_cast<double>(lengths.second) - scores.first / static_cast<double>(lengths.first));
}

double effect(EffectScale scale, double changed, double from) { return scale == EffectScale::log_odds ? changed - from : changed / from - 1.0; }

MediationEffects effects_of(EffectScale scale, const MediationRuns& runs, const CandidateLengths& lengths) {
  const double from = odds_of(scale, runs.base, lengths);
  MediationEffects effects{.total = effect(scale, odds_of(scale, runs.alternative, lengths), from), .indirect = {}, .direct = {}, .remainder = {}};
  for (std::size_t s = 0; s < runs.indirect.size(); ++s) {
    effects.indirect.push_back(effect(scale, odds_of(scale, runs.indirect[s], lengths), from));
    effects.direct.push_back(effect(scale, odds_of(scale, runs.direct[s], lengths), from));
    effects.remainder.push_back(effects.total - effects.direct.back() - effects.indirect.back());
  }
  return effects;
}

PublishedFilter published_filter(std::span<const double> total_effects) {
  PublishedFilter filter;
  std::vector<double> ratios;
  for (const double total : total_effects) {
    if (total > 0.0) ratios.push_back(total + 1.0);
  }
  filter.positive = ratios.size();
  filter.threshold = quantile(ratios, 0.25);
  for (const double total : total_effects) filter.kept.push_back(total > 0.0 && total + 1.0 > filter.threshold);
  return filter;
}

}  // namespace vitrine
