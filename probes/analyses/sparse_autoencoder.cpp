#include "probes/sparse_autoencoder.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/error.h"
#include "probes/analysis.h"
#include "probes/recorded_layers.h"
#include "probes/token_labels.h"

// A dictionary of sparse features of a point's rows: one that was trained elsewhere (`file`, a folder of SAELens), or a small one trained
// here on the even texts of the recording (`train` features; probes/sparse_autoencoder.h). Of the rows of all texts, of a dictionary that
// was trained here of the odd ones, which it has not seen:
//   L0                  features of a row above 0
//   variance explained  1 - sum |x - x'|^2 / sum |x - mean|^2, rows of all such texts
//   dead                features that no row takes
// Beside the variance stands what as many leading principal directions as L0 explain: a dense code of the same size. Intervals are over
// texts. Source: Bricken et al. 2023, Towards Monosemanticity; Cunningham et al. 2023, arXiv:2309.08600; SAELens for names and files.

namespace vitrine {
namespace {

constexpr std::size_t most_features = 65536;

struct Rows {
  RowChoice choice;
  FloatMatrix values;
};

/// Rows of every text, or of those whose number is even or odd.
enum class Texts { all, even, odd };

Rows rows_of(const Recording& recording, const RecordedLayer& layer, Texts texts, const RowChoice& all) {
  Rows rows;
  for (std::size_t i = 0; i < all.rows.size(); ++i) {
    if (texts != Texts::all && (all.sequence[i] % 2 == 0) != (texts == Texts::even)) continue;
    rows.choice.rows.push_back(all.rows[i]);
    rows.choice.sequence.push_back(all.sequence[i]);
  }
  rows.values = values_of(recording, layer, rows.choice);
  return rows;
}

std::vector<double> mean_of(const FloatMatrix& x) {
  std::vector<double> mean(x.columns, 0.0);
  for (std::size_t i = 0; i < x.numbers.size(); ++i) mean[i % x.columns] += x.numbers[i] / static_cast<double>(x.rows);
  return mean;
}

/// Share of the variance that the leading directions of some rows hold in others.
double dense_share(const FloatMatrix& fitted, const FloatMatrix& tested, std::size_t directions) {
  const std::vector<double> mean = mean_of(fitted);
  const auto less_mean = [&](const FloatMatrix& x) {
    Matrix out = as_double(x);
    for (std::size_t i = 0; i < out.numbers.size(); ++i) out.numbers[i] -= mean[i % out.columns];
    return out;
  };
  const Matrix a = less_mean(fitted), b = less_mean(tested);
  const SymmetricEigen eigen = symmetric_eigen(product_of_transposed(a, a));
  const Matrix projected = product(b, eigen.vectors);  // columns rise with what they hold
  const double total = std::inner_product(b.numbers.begin(), b.numbers.end(), b.numbers.begin(), 0.0);
  double held = 0.0;
  for (std::size_t r = 0; r < projected.rows; ++r) {
    for (std::size_t c = projected.columns - std::min(directions, projected.columns); c < projected.columns; ++c)
      held += projected(r, c) * projected(r, c);
  }
  return total > 0.0 ? held / total : std::nan("");
}

SparseAutoencoder trained(const AnalysisInput& input, const FloatMatrix& rows, const std::string& hook) {
  const AnalysisOptions& options = input.options;
  const TrainingChoice choice{.features = options.whole("train", 1, most_features),
                              .steps = options.whole("steps", 4, 1000000),
                              .batch = options.whole("batch", 1, 65536),
                              .k = options.whole("k", 0, most_features),
                              .l1 = options.number("l1", 0.0, 1e6)};
  SparseAutoencoder autoencoder = train_sparse_autoencoder(rows, choice, [&](std::size_t step) {
    if (step % 10 == 0 || step == choice.steps) input.run.step("sparse_autoencoder", step, choice.steps);
  });
  autoencoder.hook = hook;
  if (!options.text("out").empty()) write_sparse_autoencoder(autoencoder, options.text("out"));
  return autoencoder;
}

/// What stands in the table of features.
struct Feature {
  std::size_t rows = 0;  // that take it
  float largest = 0.0f;
  std::size_t where = 0;  // the row of the largest
};

std::vector<Feature> features_of(const FloatMatrix& activations) {
  std::vector<Feature> features(activations.columns);
  for (std::size_t r = 0; r < activations.rows; ++r) {
    for (std::size_t f = 0; f < activations.columns; ++f) {
      const float value = activations(r, f);
      if (value <= 0.0f) continue;
      ++features[f].rows;
      if (value > features[f].largest) features[f] = {features[f].rows, value, r};
    }
  }
  return features;
}

/// Measures of a dictionary on rows, row by row.
struct Fit {
  std::vector<double> active, explained_share;  // [rows] features above 0; 1 - squared error over the mean squared distance from the mean
  FloatMatrix activations;
};

Fit fit_of(const SparseAutoencoder& autoencoder, const FloatMatrix& x) {
  Fit fit{{}, {}, autoencoder.encode(x)};
  const FloatMatrix rebuilt = autoencoder.decode(fit.activations);
  const std::vector<double> mean = mean_of(x);
  double total = 0.0;
  for (std::size_t i = 0; i < x.numbers.size(); ++i) total += std::pow(x.numbers[i] - mean[i % x.columns], 2.0) / static_cast<double>(x.rows);
  for (std::size_t r = 0; r < x.rows; ++r) {
    double error = 0.0, active = 0.0;
    for (std::size_t c = 0; c < x.columns; ++c) error += std::pow(x(r, c) - rebuilt(r, c), 2.0);
    for (std::size_t f = 0; f < autoencoder.features(); ++f) active += fit.activations(r, f) > 0.0f ? 1.0 : 0.0;
    fit.active.push_back(active);
    fit.explained_share.push_back(1.0 - error / total);
  }
  return fit;
}

std::string label_at(const Recording& recording, const RowChoice& choice, std::size_t row) {
  const std::size_t sequence = choice.sequence[row];
  return position_labels(recording, sequence)[choice.rows[row] - recording.rows_of(sequence).begin] + " of text " + std::to_string(sequence);
}

AnalysisTable feature_table(const Recording& recording, const Rows& rows, const Fit& fit, std::size_t top) {
  const std::vector<Feature> features = features_of(fit.activations);
  std::vector<std::size_t> order(features.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::ranges::greater{}, [&](std::size_t f) { return features[f].largest; });
  AnalysisTable table{"features with the largest activations", {"feature", "largest", "at token", "rows that take it, share"}, {}};
  for (std::size_t n = 0; n < std::min(top, order.size()); ++n) {
    const Feature& feature = features[order[n]];
    const Json where = feature.rows > 0 ? Json(label_at(recording, rows.choice, feature.where)) : Json();
    table.rows.push_back({static_cast<std::uint64_t>(order[n]), static_cast<double>(feature.largest), where,
                          static_cast<double>(feature.rows) / static_cast<double>(rows.values.rows)});
  }
  return table;
}

AnalysisTable token_table(const Recording& recording, const Rows& rows, const Fit& fit, std::size_t top) {
  AnalysisTable table{"largest features of the last rows of the last text", {"token", "features: activation"}, {}};
  const std::size_t shown = std::min<std::size_t>(rows.values.rows, 8);
  for (std::size_t r = rows.values.rows - shown; r < rows.values.rows; ++r) {
    std::vector<std::size_t> order(fit.activations.columns);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, std::ranges::greater{}, [&](std::size_t f) { return fit.activations(r, f); });
    std::string cell;
    for (std::size_t n = 0; n < std::min<std::size_t>(top, 5) && n < order.size() && fit.activations(r, order[n]) > 0.0f; ++n) {
      char text[64];
      std::snprintf(text, sizeof text, "%s%zu: %.3g", n == 0 ? "" : "  ", order[n], static_cast<double>(fit.activations(r, order[n])));
      cell += text;
    }
    table.rows.push_back({label_at(recording, rows.choice, r), cell});
  }
  return table;
}

void require_choice(const AnalysisInput& input) {
  const bool reads = !input.options.text("file").empty(), trains = !input.options.is("train", "0");
  if (reads == trains) throw Error({"--set", "file=FOLDER of a dictionary, or train=FEATURES", reads ? "both" : "neither", ""}, Fault::usage);
  if (trains && input.recordings.front()->sequences() < 2)
    throw Error(
        {input.recordings.front()->path().string(), "two texts or more, half of them to test the dictionary", "one", "record more texts (--lines)"});
  if (!trains && !input.options.text("out").empty())
    throw Error({"--set out", "a dictionary that is trained here (train=FEATURES)", "one that was read", ""}, Fault::usage);
}

RecordedLayer layer_of(const AnalysisInput& input, const SparseAutoencoder& read) {
  const Recording& recording = *input.recordings.front();
  const std::string& asked = input.options.text("point");
  const std::string word = !asked.empty() ? asked : !read.hook.empty() ? read.hook : "resid";
  const std::vector<RecordedLayer> layers = recorded_layers(recording, word);
  const std::string& label = input.options.text("layer");
  const auto found =
      label.empty() ? layers.begin() + static_cast<std::ptrdiff_t>(layers.size() / 2) : std::ranges::find(layers, label, &RecordedLayer::label);
  if (found != layers.end()) return *found;
  std::string known;
  for (const RecordedLayer& layer : layers) known += (known.empty() ? "" : ", ") + layer.label;
  throw Error({"--set layer", known, quoted(label), ""}, Fault::usage);
}

AnalysisResult run(const AnalysisInput& input) {
  require_choice(input);
  const Recording& recording = *input.recordings.front();
  const bool trains = !input.options.is("train", "0");
  const std::size_t top = input.options.whole("top", 1, most_features);
  SparseAutoencoder autoencoder;
  if (!trains) autoencoder = read_sparse_autoencoder(input.options.text("file"));
  const RecordedLayer layer = layer_of(input, autoencoder);
  const std::string hook = layer.dataset->name.substr(layer.dataset->name.rfind('/') + 1);
  const RowChoice all = choose_rows(recording, input.options.whole("rows", 2, 10000000), FirstRows::without);
  const Rows fitted = rows_of(recording, layer, trains ? Texts::even : Texts::all, all),
             tested = trains ? rows_of(recording, layer, Texts::odd, all) : fitted;
  if (fitted.values.rows == 0 || tested.values.rows == 0) throw Error({recording.path().string(), "texts of two tokens or more", "shorter ones", ""});
  if (trains) autoencoder = trained(input, fitted.values, hook);
  if (autoencoder.width() != layer.width)
    throw Error({hook, "rows of " + std::to_string(autoencoder.width()) + " numbers, as the dictionary reads", std::to_string(layer.width), ""});
  const Fit fit = fit_of(autoencoder, tested.values);
  Estimate sparsity = described_mean({"L0, features of a row", "features", "text"}, fit.active, tested.choice.sequence);
  Estimate explained = described_mean({"variance explained", "share", "text"}, fit.explained_share, tested.choice.sequence);
  const double active = std::accumulate(fit.active.begin(), fit.active.end(), 0.0) / static_cast<double>(tested.values.rows);
  const double share = std::accumulate(fit.explained_share.begin(), fit.explained_share.end(), 0.0) / static_cast<double>(tested.values.rows);
  const double dense = dense_share(fitted.values, tested.values, static_cast<std::size_t>(std::lround(active)));
  explained.control = dense;
  const std::vector<Feature> features = features_of(fit.activations);
  const auto dead = static_cast<double>(std::ranges::count(features, std::size_t{0}, &Feature::rows)) / static_cast<double>(features.size());
  AnalysisResult result;
  result.tables = {{hook + ", " + std::to_string(autoencoder.features()) + " features, " + std::to_string(tested.values.rows) + " rows",
                    {"L0", "variance explained", "as many principal directions", "dead features, share"},
                    {{active, share, dense, dead}}},
                   feature_table(recording, tested, fit, top),
                   token_table(recording, tested, fit, top)};
  result.estimates = {std::move(sparsity), std::move(explained)};
  result.notes = {trains ? "Trained on the even texts, measured on the odd ones." : "The dictionary's own training rows are not known here.",
                  "The first row of each text is left out. A name that a reader gives a feature by its largest tokens is a guess."};
  return result;
}

}  // namespace

const Analysis& analysis_sparse_autoencoder() {
  static constexpr AnalysisOption options[] = {{"file", "a folder of SAELens (cfg.json, sae_weights.safetensors); empty: none", ""},
                                               {"train", "features of a dictionary to train here; 0: none", "0"},
                                               {"point", "resid (behind each layer) or a point; empty: the dictionary's own", ""},
                                               {"layer", "which, as embed, 0, 1, ...; empty: the middle", ""},
                                               {"k", "of training: the k largest activations of a row; 0: relu with l1", "0"},
                                               {"l1", "of training: weight of the sum of activations", "1"},
                                               {"steps", "of training", "1000"},
                                               {"batch", "rows of a step", "256"},
                                               {"out", "of training: a folder to write; empty: none", ""},
                                               {"rows", "at most so many rows, evenly", "20000"},
                                               {"top", "features in the table", "20"}};
  static const Analysis analysis{"sparse_autoencoder",
                                 "sparse features of a point's rows: read from a file of SAELens, or trained here",
                                 "Bricken et al. 2023, Towards Monosemanticity; Cunningham et al. 2023, arXiv:2309.08600",
                                 "vitrine analyse sparse_autoencoder run.h5 --set train=1024 --set k=16 --set out=dictionary",
                                 AnalysisOf::recording,
                                 options,
                                 run};
  return analysis;
}

}  // namespace vitrine
