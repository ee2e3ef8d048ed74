#include <algorithm>
#include <functional>

#include "core/base/error.h"
#include "probes/analysis.h"
#include "probes/patching/ablation.h"

// What each head is worth: the rise of a text's cross-entropy, in nats a token, where the head's z is 0 (or its mean over the text's rows) in
// every row (Michel et al. 2019, section 3, one head at a time). A head whose work another does as well shows nothing: see joint sets of
// `vitrine study mediation`. Interval over texts: cluster mean of the texts' rises.

namespace vitrine {
namespace {

AnalysisResult run(const AnalysisInput& input) {
  const AblationValue value = input.options.choice("value", {"zero", "mean"}) == "zero" ? AblationValue::zero : AblationValue::mean;
  std::vector<std::vector<double>> rises;  // [heads of all layers, texts]
  HeadAblation last;
  std::vector<double> losses;
  for (const ModelText& text : input.texts) {
    last = ablate_heads(*input.model, text, value);
    rises.resize(last.ablated.size());
    for (std::size_t h = 0; h < rises.size(); ++h) rises[h].push_back((last.ablated[h] - last.loss) / static_cast<double>(last.tokens));
    losses.push_back(last.loss / static_cast<double>(last.tokens));
  }
  AnalysisTable table{"rise of cross-entropy without the head, nats a token", {"head", "layer", "number", "rise", "low", "high"}, {}};
  std::vector<double> means;
  for (std::size_t h = 0; h < rises.size(); ++h) {
    const Estimate mean = clustered_mean("", rises[h], {});
    double sum = 0.0;
    for (const double rise : rises[h]) sum += rise / static_cast<double>(rises[h].size());
    means.push_back(sum);
    const std::size_t layer = h / last.heads, head = h % last.heads;
    table.rows.push_back({head_label(layer, head), static_cast<std::uint64_t>(layer), static_cast<std::uint64_t>(head), sum, mean.low, mean.high});
  }
  std::ranges::stable_sort(table.rows, std::ranges::greater{}, [](const std::vector<Json>& row) { return row[3].number(); });
  AnalysisResult result{.tables = {std::move(table)}, .grids = {head_grid("rise of cross-entropy without the head", "nats a token", last.heads, std::move(means))}, .estimates = {}, .notes = {}, .extra = {}};
  result.notes.push_back(losses.size() < 2 ? "One text: nothing says how much texts differ; --lines takes a file of many." : "Intervals are of each head by itself, over " + std::to_string(losses.size()) + " texts; the largest of many heads is expected to stand out by chance.");
  return result;
}

}  // namespace

const Analysis& analysis_head_ablation() {
  static constexpr AnalysisOption options[] = {{"value", "zero, or mean: of the head's own z over the text", "zero"}};
  static const Analysis analysis{"head_ablation", "how much worse a text is predicted without each head", "Michel et al. 2019, arXiv:1905.10650",
                                 "vitrine analyse head_ablation model.gguf --text 'The cat sat on the mat. The cat sat on the' --svg pictures", AnalysisOf::model_and_texts, options, run};
  return analysis;
}

}  // namespace vitrine
