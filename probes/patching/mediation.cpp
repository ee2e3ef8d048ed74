#include "probes/patching/mediation.h"

#include <algorithm>
#include <cmath>
#include <deque>

#include "core/base/error.h"
#include "probes/patching/point_values.h"
#include "probes/statistics/many_hypotheses.h"

namespace vitrine {
namespace {

ProbePoint at(const ModelSpec& spec, std::size_t block, Site site) { return {.stack = spec.stack, .block = static_cast<int>(block), .site = site}; }

/// What enters every block, and every pattern, of the rows behind the beginning.
std::vector<ProbePoint> kept_points(const ModelSpec& spec) {
  std::vector<ProbePoint> points;
  for (const Site site : {Site::resid_pre, Site::pattern}) {
    for (std::size_t block = 0; block < spec.blocks.size(); ++block) points.push_back(at(spec, block, site));
  }
  return points;
}

/// One run among those that share a pass.
struct Job {
  const std::vector<TokenId>* text;
  const std::vector<TokenId>* candidate;
  double* score;
  const HeadSet* set = nullptr;          // whose patterns are another run's
  const PointValues* source = nullptr;   // which has them
  const PointValues* stream = nullptr;   // the same text and candidate without the exchange: nothing changes before first_block
  std::size_t first_block = 0;
};

/// Writes other runs' patterns into sequences: job i is sequence i.
class PatternExchange : public Observer {
 public:
  PatternExchange(std::span<const Job> jobs, const ModelSpec& spec, std::size_t beginning) : jobs_(jobs), spec_(spec), beginning_(beginning), written_(spec.blocks.size(), false) {
    for (const Job& job : jobs) {
      if (job.set == nullptr) continue;
      for (const HeadIndex& place : *job.set) written_.at(place.layer) = true;
    }
  }
  Access access(const ProbePoint& point) const override {
    const bool pattern = point.block >= 0 && point == at(spec_, static_cast<std::size_t>(point.block), Site::pattern);
    return pattern && written_[static_cast<std::size_t>(point.block)] ? Access::write : Access::none;
  }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    const Job& job = jobs_[rows.front().sequence];
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const std::size_t position = rows[r].position;
      if (position >= job.text->size()) continue;  // a candidate's rows keep their own
      for (const HeadIndex& place : *job.set) {
        if (place.layer != static_cast<std::size_t>(point.block)) continue;
        const std::span<const float> row = job.source->row(point, position - beginning_, place.head);
        for (std::size_t j = 0; j <= position; ++j) values(r, place.head, j) = row[j];
      }
    }
  }

 private:
  std::span<const Job> jobs_;
  const ModelSpec& spec_;
  std::size_t beginning_;
  std::vector<bool> written_;  // [blocks]
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

  /// Jobs without an exchange, in one pass. @param observers  of it
  void run_plain(std::span<const Job> jobs, std::span<Observer* const> observers) { run_pass(jobs, observers); }

  /// Jobs enter at their blocks, those of earlier blocks first.
  void run(std::span<Job> jobs) {
    std::ranges::stable_sort(jobs, {}, &Job::first_block);
    for (std::size_t begin = 0, end = 0; begin < jobs.size(); begin = end) {
      end = pass_end(begin, jobs.size(), [&](std::size_t i) { return rows_of(jobs[i]); });
      PatternExchange exchange(jobs.subspan(begin, end - begin), runner_.model.spec, shared_);
      Observer* observers[] = {&exchange};
      run_pass(jobs.subspan(begin, end - begin), observers);
      if (runner_.run.cancelled()) throw Cancelled();
    }
  }

 private:
  /// The candidate's last token is only predicted.
  std::size_t rows_of(const Job& job) const { return job.text->size() - shared_ + job.candidate->size() - 1; }

  KvCache& empty_cache(std::size_t index) {
    while (caches_.size() <= index) caches_.emplace_back(runner_.model.spec, runner_.kv_format);
    caches_[index].truncate(0);
    return caches_[index];
  }

  void run_pass(std::span<const Job> jobs, std::span<Observer* const> observers) {
    std::vector<std::vector<TokenId>> ids;
    std::vector<Segment> segments;
    for (const Job& job : jobs) {
      *job.score = 0.0;
      std::vector<TokenId>& tail = ids.emplace_back(job.text->begin() + static_cast<std::ptrdiff_t>(shared_), job.text->end());
      tail.insert(tail.end(), job.candidate->begin(), job.candidate->end() - 1);
    }
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      Segment segment{.sequence = static_cast<std::uint32_t>(i), .ids = ids[i], .cache = &empty_cache(i)};
      segment.first_block = jobs[i].first_block;
      if (jobs[i].stream != nullptr) segment.residual = jobs[i].stream->matrix(at(runner_.model.spec, segment.first_block, Site::resid_pre));
      if (shared_ > 0) {
        segment.shared_from = &beginning_;
        segment.shared = shared_;
      }
      segments.push_back(segment);
    }
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
  std::deque<KvCache> caches_;  // whose places in memory stay
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

std::vector<HeadIndex> all_heads(const ModelSpec& spec) {
  std::vector<HeadIndex> heads;
  for (std::size_t layer = 0; layer < spec.blocks.size(); ++layer) {
    for (std::size_t head = 0; head < spec.blocks[layer].attention.heads; ++head) heads.push_back({layer, head});
  }
  return heads;
}

MediationRuns run_mediation(const ModelRunner& runner, const MediationTexts& texts, std::span<const HeadSet> sets) {
  const std::size_t beginning = checked_beginning(runner, texts);
  QuestionRunner question(runner, std::span(texts.base).first(beginning));
  MediationRuns runs{.base = {}, .alternative = {}, .indirect = std::vector<CandidateScores>(sets.size()), .direct = std::vector<CandidateScores>(sets.size())};
  const Job plain[]{{&texts.base, &texts.candidate1, &runs.base.first}, {&texts.base, &texts.candidate2, &runs.base.second},
                    {&texts.alternative, &texts.candidate1, &runs.alternative.first}, {&texts.alternative, &texts.candidate2, &runs.alternative.second}};
  std::vector<PointValues> kept;
  for (std::uint32_t i = 0; i < std::size(plain); ++i) kept.emplace_back(kept_points(runner.model.spec), i);
  Observer* observers[] = {&kept[0], &kept[1], &kept[2], &kept[3]};
  question.run_plain(plain, observers);
  std::vector<Job> jobs;
  for (std::size_t s = 0; s < sets.size(); ++s) {
    VITRINE_CHECK(!sets[s].empty());
    CandidateScores &indirect = runs.indirect[s], &direct = runs.direct[s];
    double* scores[] = {&indirect.first, &indirect.second, &direct.first, &direct.second};
    for (std::size_t i = 0; i < std::size(plain); ++i) {
      const PointValues& other = kept[i < 2 ? 2 : 0];  // patterns over the text do not depend on the candidate behind it
      jobs.push_back({plain[i].text, plain[i].candidate, scores[i], &sets[s], &other, &kept[i], std::ranges::min(sets[s]).layer});
    }
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
