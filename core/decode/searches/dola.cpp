#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>

#include "core/base/error.h"
#include "core/decode/by_grammar.h"
#include "core/decode/growing_text.h"
#include "core/decode/scores.h"
#include "core/model/unembed.h"

namespace vitrine {
namespace {

const DecodeOption layers{.name = "dola-layers", .summary = "streams that may be contrasted with the last: low (default), high, or block numbers 2,4,6", .kind = OptionKind::text};
const DecodeOption normed{.name = "dola-norm", .summary = "early streams pass the final norm, as the last one does (the authors' program leaves it out)", .kind = OptionKind::flag, .high = 1};

/// The stream that enters some blocks, of the last row that passed.
class EarlyStreams : public Observer {
 public:
  explicit EarlyStreams(std::span<const int> blocks) {
    for (const int block : blocks) streams_[block];
  }
  Access access(const ProbePoint& point) const override {
    return point.site == Site::resid_pre && streams_.contains(point.block) ? Access::read : Access::none;
  }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    std::vector<float>& stream = streams_.at(point.block);
    stream.clear();
    for (std::size_t h = 0; h < values.extent(1); ++h) {
      for (std::size_t c = 0; c < values.extent(2); ++c) stream.push_back(values(rows.size() - 1, h, c));
    }
  }
  std::map<int, std::vector<float>>& all() { return streams_; }

 private:
  std::map<int, std::vector<float>> streams_;  // [width] by block
};

bool head_is_embedding(const Model& model) {
  const Weight* head = model.weights.find({Role::head, -1, false, model.spec.stack});
  const Weight* table = model.weights.find({Role::token_embedding, -1, false, model.spec.stack});
  return head && table && head->data == table->data;
}

/// As the authors and transformers choose them: every other block of a half, at most 20 blocks deep. A head that is the embedding says of
/// the embedding nothing but itself, and such models begin at block 2.
std::vector<int> early_blocks(const SearchProblem& problem) {
  const Model& model = problem.context.model;
  const int count = static_cast<int>(model.spec.blocks.size());
  const auto said = problem.values.texts(layers);
  const std::string words = said.empty() ? "low" : said.front();
  std::vector<int> blocks;
  if (words == "low" || words == "high") {
    const int first = !head_is_embedding(model) ? 0 : count > 2 ? 2 : count == 2 ? 1 : 0;
    const int half = count <= 40 ? count / 2 : 20;
    for (int b = words == "low" ? first : count <= 40 ? half : count - 20; b < (words == "low" ? half : count); b += 2) blocks.push_back(b);
    if (words == "low" && first == count / 2) blocks.assign(1, first);
    if (blocks.empty()) throw Error({"--dola-layers", "a model with more blocks, or block numbers", std::to_string(count) + " blocks", ""}, Fault::usage);
    return blocks;
  }
  for (const TokenId block : token_ids_of(layers, words, model.spec.blocks.size())) blocks.push_back(block);
  return blocks;
}

/// Log-probabilities and probabilities of a row of logits.
struct Distribution {
  explicit Distribution(std::span<const float> logits) : logs(logits.size()), shares(logits.size()) {
    const float top = highest(logits);
    const double log_sum = top + std::log(sum_of_weights(logits, top));
    for (std::size_t v = 0; v < logits.size(); ++v) {
      logs[v] = logits[v] - log_sum;
      shares[v] = std::exp(logs[v]);
    }
  }
  std::vector<double> logs, shares;
};

/// The divergence that picks the layer: of the mean from both, as in the authors' program (Jensen-Shannon has the mean second).
double divergence(const Distribution& a, const Distribution& b) {
  double sum = 0.0;
  for (std::size_t v = 0; v < a.logs.size(); ++v) {
    const double mean = 0.5 * (a.shares[v] + b.shares[v]);
    if (mean > 0.0) sum += mean * (std::log(mean) - 0.5 * (a.logs[v] + b.logs[v]));
  }
  return sum;
}

/// What the last layer says less what the early one said, among tokens that are at least a tenth as likely as the likeliest.
std::vector<float> contrast(const Distribution& last, const Distribution& early) {
  const double least = std::ranges::max(last.logs) + std::log(0.1);
  std::vector<float> scores(last.logs.size(), never_chosen);
  for (std::size_t v = 0; v < scores.size(); ++v) {
    if (last.logs[v] >= least) scores[v] = static_cast<float>(last.logs[v] - early.logs[v]);
  }
  return scores;
}

Distribution early_distribution(const ForwardContext& context, std::vector<float>& stream, bool passes_norm) {
  TensorView<float, 2> row(stream.data(), {1, stream.size()});
  const TensorView<float, 2> logits = passes_norm ? logits_of_residual(context, row) : unembed(context, row);
  return Distribution({&logits(0, 0), logits.extent(1)});
}

/// The early layer that is furthest from the last.
Distribution furthest(const ForwardContext& context, EarlyStreams& early, const Distribution& last, bool passes_norm) {
  std::optional<Distribution> best;
  double most = 0.0;
  for (auto& [block, stream] : early.all()) {
    Distribution one = early_distribution(context, stream, passes_norm);
    const double far = early.all().size() > 1 ? divergence(last, one) : 0.0;
    if (best && far <= most) continue;
    best = std::move(one);
    most = far;
  }
  return std::move(*best);
}

/// What the last layer says of tokens that the grammar allows: only they are compared with the likeliest.
Distribution allowed(const GrammarMatcher& grammar, std::size_t left, std::span<const float> logits) {
  std::vector<float> masked(logits.begin(), logits.end());
  mask_by(grammar, left, masked);
  return Distribution(masked);
}

std::vector<GeneratedText> run(const SearchProblem& problem) {
  if (problem.source) throw Error({"--search dola", "a model without an encoder", "an encoder-decoder", ""}, Fault::usage);
  const std::vector<int> blocks = early_blocks(problem);
  const bool passes_norm = problem.values.flag(normed);
  return one_by_one(problem, [&](GrowingText& text) {
    EarlyStreams early(blocks);
    Observer* observers[] = {&early};
    const ForwardContext& plain = problem.context;
    const TapPlan taps = plain.taps.followed_by(TapPlan(plain.model.spec, observers));
    const ForwardContext context{plain.model, plain.ops, plain.kernel, plain.workspace, plain.run, taps};
    ModelScores model(problem, context);
    TensorView<float, 2> logits = model.begin({&problem.prompt, 1});
    while (true) {
      const std::span<const float> row{&logits(0, 0), logits.extent(1)};
      const Distribution last(row);
      const Distribution other = furthest(context, early, last, passes_norm);
      std::vector<float> scores = contrast(text.grammar() ? allowed(*text.grammar(), text.left() - 1, row) : last, other);
      const TokenId id = text.choose(scores);
      text.add(id, scores, row);
      if (text.complete()) return;
      const NextScores::Growth growth{0, id};
      logits = model.grow({&growth, 1});
    }
  });
}

}  // namespace

const Search& search_dola() {
  static const Search search{"dola", "the last layer's words less an early layer's", "Chuang et al. 2023, arXiv:2309.03883", {layers, normed}, run, one_problem_at_a_time<run>};
  return search;
}

}  // namespace vitrine
