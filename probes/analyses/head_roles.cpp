#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <random>

#include "core/base/error.h"
#include "probes/analysis.h"

// What heads do on random tokens that are said twice (Olsson et al. 2022; scores as TransformerLens' demos): A is a head's pattern on
// `half` random tokens and the same again, without BOS, T = 2 half rows. Means over a diagonal of A:
//   previous    A[i, i - 1]               i from 1
//   duplicate   A[i, i - half]            i from half
//   induction   A[i, i - half + 1]        i from half - 1
//   sink        sum_i A[i, 0] / T, the importance of the first key (sail-sg/Attention-Sink); a sink above 0.3, as there
//   positional  share of the variance of A[i, j] over visible keys j > 0 that their distances i - j explain (correlation ratio): 1 where
//               a head looks at distances and never at tokens
// Tokens are std::mt19937(0), 100 + g() % 19900, sequence after sequence (torch.manual_seed(0), randint(100, 20000)): with two
// sequences of 2 x 100 tokens the published numbers of GPT-2 small compare. Vocabularies below 20,000 tokens take g() from their upper half.
// A head has a role where the lower bound of the mean over sequences is above the threshold.

namespace vitrine {
namespace {

constexpr std::array<std::string_view, 5> roles{"previous", "duplicate", "induction", "sink", "positional"};
constexpr double sink_threshold = 0.3;
constexpr std::size_t fewest_for_bounds = 10;

/// Of one head on one sequence.
struct Sums {
  double previous = 0.0, duplicate = 0.0, induction = 0.0, first = 0.0;
  double weights = 0.0, squares = 0.0, cells = 0.0;  // of visible keys behind the first
  std::vector<double> by_distance, distance_cells;   // [2 T - 1], distance + T - 1
};

class RolesSeen : public Observer {
 public:
  RolesSeen(const ModelSpec& spec, std::size_t sequences, std::size_t half)
      : causal_(spec.causal()), half_(half), length_(2 * half), sequences_(sequences) {
    for (const BlockSpec& block : spec.blocks) {
      first_head_.push_back(heads_);
      heads_ += block.attention.heads;
    }
    sums_.resize(heads_ * sequences);
    for (Sums& sums : sums_) {
      sums.by_distance.resize(2 * length_ - 1);
      sums.distance_cells.resize(2 * length_ - 1);
    }
  }
  Access access(const ProbePoint& point) const override {
    const bool own = point.stack != Stack::encoder && point.role == AttentionRole::self && point.stream == Stream::content;
    return own && point.site == Site::pattern ? Access::read : Access::none;
  }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      for (std::size_t h = 0; h < values.extent(1); ++h) {
        Sums& sums = sums_[(first_head_[static_cast<std::size_t>(point.block)] + h) * sequences_ + rows[r].sequence];
        add_row(rows[r].position, {&values(r, h, 0), values.extent(2)}, sums);
      }
    }
  }

  /// [heads of all layers]
  std::size_t heads() const { return heads_; }
  /// Of a role, by sequence.
  std::vector<double> scores(std::size_t head, std::size_t role) const {
    std::vector<double> values;
    for (std::size_t s = 0; s < sequences_; ++s) values.push_back(score(sums_[head * sequences_ + s], role));
    return values;
  }

 private:
  void add_row(std::size_t i, std::span<const float> row, Sums& sums) const {
    if (i >= 1) sums.previous += row[i - 1];
    if (i >= half_) sums.duplicate += row[i - half_];
    if (i + 1 >= half_) sums.induction += row[i + 1 - half_];
    sums.first += row[0];
    for (std::size_t j = 1; j < row.size() && (j <= i || !causal_); ++j) {
      const double weight = row[j];
      const std::size_t distance = i + length_ - 1 - j;
      sums.weights += weight;
      sums.squares += weight * weight;
      sums.cells += 1.0;
      sums.by_distance[distance] += weight;
      sums.distance_cells[distance] += 1.0;
    }
  }
  double score(const Sums& sums, std::size_t role) const {
    const auto rows = static_cast<double>(length_), half = static_cast<double>(half_);
    switch (role) {
      case 0:
        return sums.previous / (rows - 1.0);
      case 1:
        return sums.duplicate / half;
      case 2:
        return sums.induction / (half + 1.0);
      case 3:
        return sums.first / rows;
      default:
        return explained(sums);
    }
  }
  static double explained(const Sums& sums) {
    double between = 0.0;
    const double mean = sums.weights / sums.cells, total = sums.squares - sums.cells * mean * mean;
    for (std::size_t d = 0; d < sums.by_distance.size(); ++d) {
      if (sums.distance_cells[d] == 0.0) continue;
      const double off = sums.by_distance[d] / sums.distance_cells[d] - mean;
      between += sums.distance_cells[d] * off * off;
    }
    return total > 0.0 ? between / total : 0.0;
  }

  bool causal_;
  std::size_t half_, length_, sequences_, heads_ = 0;
  std::vector<std::size_t> first_head_;
  std::vector<Sums> sums_;  // [head, sequence]
};

std::vector<ModelText> repeated_tokens(const ModelSpec& spec, std::size_t sequences, std::size_t half) {
  std::mt19937 random(0);
  const std::size_t first = spec.vocabulary >= 20000 ? 100 : spec.vocabulary / 2, count = std::min<std::size_t>(spec.vocabulary, 20000) - first;
  std::vector<ModelText> texts(sequences);
  for (ModelText& text : texts) {
    for (std::size_t i = 0; i < half; ++i) text.ids.push_back(static_cast<TokenId>(first + random() % count));
    text.ids.insert(text.ids.end(), text.ids.begin(), text.ids.end());
  }
  return texts;
}

/// Above which a mean over sequences gives a head the role.
double threshold_of(std::size_t role, double asked) { return roles[role] == "sink" ? sink_threshold : asked; }

std::vector<ModelText> texts_for(const AnalysisInput& input, std::size_t sequences, std::size_t half) {
  const ModelSpec& spec = input.model->model.spec;
  const std::string where = input.model->model.path.filename().string();
  if (!spec.encoder.empty()) throw Error({where, "a model of one stack", "an encoder-decoder", "record a text and use `vitrine heads`"});
  if (spec.context > 0 && 2 * half > spec.context) {
    throw Error({"--set half=" + std::to_string(half), "twice as many tokens within the context of " + std::to_string(spec.context),
                 std::to_string(2 * half), "give a smaller half"},
                Fault::usage);
  }
  return repeated_tokens(spec, sequences, half);
}

struct HeadRoles {
  std::vector<Json> row;
  std::array<double, roles.size()> values;
};

HeadRoles roles_of(const RolesSeen& seen, std::size_t head, std::size_t sequences, double threshold) {
  HeadRoles result;
  std::string names;
  for (std::size_t role = 0; role < roles.size(); ++role) {
    const std::vector<double> scores = seen.scores(head, role);
    const double mean = std::accumulate(scores.begin(), scores.end(), 0.0) / static_cast<double>(scores.size());
    const Estimate bounds = described_mean({std::string(roles[role]), "share", "sequence"}, scores, {});
    const double held = sequences >= fewest_for_bounds ? bounds.low : mean;
    if (held > threshold_of(role, threshold)) names += (names.empty() ? "" : ", ") + std::string(roles[role]);
    result.values[role] = mean;
    result.row.push_back(mean);
    result.row.push_back(bounds.low);
    result.row.push_back(bounds.high);
  }
  result.row.push_back(names);
  return result;
}

AnalysisResult run(const AnalysisInput& input) {
  const ModelSpec& spec = input.model->model.spec;
  const std::size_t sequences = input.options.whole("sequences", 1, 10000), half = input.options.whole("half", 2, 100000);
  const double threshold = input.options.number("threshold", 0.0, 1.0);
  const std::vector<ModelText> texts = texts_for(input, sequences, half);
  RolesSeen seen(spec, sequences, half);
  Observer* observers[] = {&seen};
  for (std::size_t s = 0; s < texts.size(); ++s) {
    std::vector<ModelText> one(s + 1);  // a text that is empty is left out: sequence s keeps its number
    one[s] = texts[s];
    run_texts(*input.model, one, observers, {});
    input.run.step("head_roles", s + 1, texts.size());
  }
  std::size_t most = 0, head = 0;
  for (const BlockSpec& block : spec.blocks) most = std::max(most, block.attention.heads);
  std::vector<std::vector<double>> cells(roles.size(), std::vector<double>(spec.blocks.size() * most, std::nan("")));
  AnalysisTable table{
      "means over " + std::to_string(sequences) + " sequences of 2 x " + std::to_string(half) + " random tokens", {"head", "roles"}, {}};
  AnalysisTable bounds{"the same with bounds", {"head"}, {}};
  for (const std::string_view role : roles) {
    table.header.insert(table.header.end() - 1, std::string(role));
    for (const char* of : {"", " low", " high"}) bounds.header.push_back(std::string(role) + of);
  }
  for (std::size_t layer = 0; layer < spec.blocks.size(); ++layer) {
    for (std::size_t h = 0; h < spec.blocks[layer].attention.heads; ++h, ++head) {
      HeadRoles of = roles_of(seen, head, sequences, threshold);
      std::vector<Json> row{head_label(layer, h)};
      for (std::size_t role = 0; role < roles.size(); ++role) row.push_back(cells[role][layer * most + h] = of.values[role]);
      row.push_back(of.row.back());
      table.rows.push_back(std::move(row));
      of.row.back() = head_label(layer, h);
      std::ranges::rotate(of.row, of.row.end() - 1);
      bounds.rows.push_back(std::move(of.row));
    }
  }
  std::ranges::stable_partition(table.rows, [](const std::vector<Json>& row) { return !row.back().string().empty(); });
  AnalysisResult result;
  result.tables = {std::move(table), std::move(bounds)};
  for (std::size_t role = 0; role < roles.size(); ++role)
    result.grids.push_back(head_grid(std::string(roles[role]), "share", most, std::move(cells[role])));
  result.notes = {sequences >= fewest_for_bounds ? "Roles are given where the lower bound (95%) is above the threshold."
                                                 : "Fewer than 10 sequences: roles go by the mean, without bounds.",
                  "A role on random tokens; texts may use the head otherwise."};
  return result;
}

}  // namespace

const Analysis& analysis_head_roles() {
  static constexpr AnalysisOption options[] = {{"sequences", "random sequences (2 as published for GPT-2 small)", "10"},
                                               {"half", "tokens that are said twice", "100"},
                                               {"threshold", "share above which a head has a role (a sink: 0.3)", "0.4"}};
  static const Analysis analysis{"head_roles",
                                 "previous-token, duplicate, induction, sink and positional heads, on repeated random tokens",
                                 "Olsson et al. 2022, arXiv:2209.11895; Gu et al. 2024, arXiv:2410.10781",
                                 "vitrine analyse head_roles MODEL --set sequences=2 --svg pictures",
                                 AnalysisOf::weights,
                                 options,
                                 run};
  return analysis;
}

}  // namespace vitrine
