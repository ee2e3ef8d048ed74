#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/model/probe_point.h"
#include "probes/analysis.h"
#include "probes/steering/control_vector.h"
#include "probes/recorded_layers.h"

// Directions from one set of texts to another, for `steer` and llama.cpp: of each text one row, its last, or the mean of its rows; of
// every block that hands on the residual stream
//   mean  mean of the first recording's texts less that of the second's (Turner et al. 2023, arXiv:2308.10248; Rimsky et al. 2023)
//   pca   the first principal direction of the differences of pairs, text i of both, about 0, as long as the mean difference and turned to
//         its side (Zou et al. 2023, arXiv:2310.01405; vgel/repeng)
// Beside each direction: its length, the cosine of the directions of even and of odd texts (its reliability), and how many of the odd
// texts the direction of the even ones puts on the right side of the middle between the means, which a direction of noise does in half of
// the cases. `out` writes it as a control vector (probes/steering/control_vector.h), which has none of block 0.

namespace vitrine {
namespace {

/// One row a text.  [texts, width]
Matrix rows_of(const Recording& recording, const RecordedLayer& layer, const std::string& which) {
  Matrix out(recording.sequences(), layer.width);
  for (std::size_t s = 0; s < recording.sequences(); ++s) {
    const Recording::Rows rows = recording.rows_of(s);
    if (rows.count == 0) throw Error({recording.path().string(), "tokens in every text", "none in sequence " + std::to_string(s), ""});
    const bool last = which == "last";
    const Recording::Rows wanted = last ? Recording::Rows{rows.begin + rows.count - 1, 1} : rows;
    const std::vector<float> values = recording.activation(*layer.dataset, wanted);
    for (std::size_t i = 0; i < values.size(); ++i) out(s, i % layer.width) += values[i] / static_cast<double>(wanted.count);
  }
  return out;
}

enum class Part { all, even, odd };
bool in_part(Part part, std::size_t text) { return part == Part::all || (text % 2 == 0) == (part == Part::even); }

std::vector<double> mean_of(const Matrix& x, Part part) {
  std::vector<double> mean(x.columns, 0.0);
  double count = 0.0;
  for (std::size_t r = 0; r < x.rows; ++r) count += in_part(part, r) ? 1.0 : 0.0;
  for (std::size_t r = 0; r < x.rows; ++r) {
    for (std::size_t c = 0; in_part(part, r) && c < x.columns; ++c) mean[c] += x(r, c) / count;
  }
  return mean;
}

double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

double length(std::span<const double> a) { return std::sqrt(dot(a, a)); }

std::vector<double> difference(std::vector<double> a, std::span<const double> b) {
  for (std::size_t c = 0; c < a.size(); ++c) a[c] -= b[c];
  return a;
}

/// Of the Gram matrix of the differences, which is small: width does not matter.
std::vector<double> principal(const Matrix& a, const Matrix& b, Part part, std::span<const double> mean) {
  Matrix differences(0, a.columns);
  for (std::size_t r = 0; r < a.rows; ++r) {
    if (!in_part(part, r)) continue;
    for (std::size_t c = 0; c < a.columns; ++c) differences.numbers.push_back(a(r, c) - b(r, c));
    ++differences.rows;
  }
  const SymmetricEigen eigen = symmetric_eigen(product_with_transposed(differences, differences));
  std::vector<double> direction(a.columns, 0.0);
  for (std::size_t r = 0; r < differences.rows; ++r) {
    for (std::size_t c = 0; c < a.columns; ++c) direction[c] += eigen.vectors(r, differences.rows - 1) * differences(r, c);
  }
  const double size = length(direction), sign = dot(direction, mean) < 0.0 ? -1.0 : 1.0;
  for (double& number : direction) number *= size > 0.0 ? sign * length(mean) / size : 0.0;
  return direction;
}

std::vector<double> direction_of(const std::string& method, const Matrix& a, const Matrix& b, Part part) {
  const std::vector<double> mean = difference(mean_of(a, part), mean_of(b, part));
  return method == "mean" ? mean : principal(a, b, part, mean);
}

/// Odd texts that the direction of the even ones puts on their side.
std::size_t held_out_right(const Matrix& a, const Matrix& b, std::span<const double> direction) {
  const double middle = (dot(mean_of(a, Part::even), direction) + dot(mean_of(b, Part::even), direction)) / 2.0;
  std::size_t right = 0;
  for (std::size_t r = 1; r < a.rows; r += 2) right += dot({&a(r, 0), a.columns}, direction) > middle ? 1 : 0;
  for (std::size_t r = 1; r < b.rows; r += 2) right += dot({&b(r, 0), b.columns}, direction) < middle ? 1 : 0;
  return right;
}

void require_sets(const Recording& a, const Recording& b, const std::string& method) {
  for (const Recording* recording : {&a, &b}) {
    if (recording->sequences() < 4)
      throw Error({recording->path().string(), "at least 4 texts, half of them to test the direction of the others",
                   std::to_string(recording->sequences()), ""});
  }
  if (method == "pca" && a.sequences() != b.sequences())
    throw Error({b.path().string(), std::to_string(a.sequences()) + " texts, pairs with the first recording's", std::to_string(b.sequences()),
                 "use --set method=mean"});
}

AnalysisResult run(const AnalysisInput& input) {
  const Recording &first = *input.recordings[0], &second = *input.recordings[1];
  const std::string &method = input.options.choice("method", {"mean", "pca"}), &row = input.options.choice("row", {"last", "mean"}),
                    &out = input.options.text("out");
  require_sets(first, second, method);
  const std::vector<RecordedLayer> layers = recorded_layers(first, "resid"), others = recorded_layers(second, "resid");
  ControlVector vector;
  const Json& architecture = first.provenance()["architecture"];
  if (architecture.is_string()) vector.model_hint = architecture.string();
  AnalysisTable table{"directions from the texts of the second recording to those of the first",
                      {"behind block", "length", "cosine of halves", "held-out texts right, share", "low", "high"},
                      {}};
  Json directions;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const auto other = std::ranges::find(others, layers[l].label, &RecordedLayer::label);
    if (other == others.end() || other->width != layers[l].width)
      throw Error({second.path().string(), "the residual stream of the same model", "another", ""});
    const Matrix a = rows_of(first, layers[l], row), b = rows_of(second, *other, row);
    const std::vector<double> whole = direction_of(method, a, b, Part::all), even = direction_of(method, a, b, Part::even),
                              odd = direction_of(method, a, b, Part::odd);
    const double scale = length(even) * length(odd);
    const Estimate right = binomial_share("right", held_out_right(a, b, even), a.rows / 2 + b.rows / 2);
    table.rows.push_back({layers[l].label, length(whole), scale > 0.0 ? Json(dot(even, odd) / scale) : Json(), right.value, right.low, right.high});
    Json numbers = Json::array();
    for (const double number : whole) numbers.push(number);
    directions.set(layers[l].label, numbers);
    if (layers[l].label != "embed" && layers[l].label != "0") vector.directions[std::stoul(layers[l].label)].assign(whole.begin(), whole.end());
    input.run.step("steering_vector", l + 1, layers.size());
  }
  AnalysisResult result;
  result.tables = {std::move(table)};
  result.extra = Json::object().set("directions", directions);
  if (!out.empty()) {
    write_control_vector(vector, out);
    result.notes.push_back("Wrote " + out + ": directions of " + std::to_string(vector.directions.size()) + " blocks.");
  }
  result.notes.push_back("The share of held-out texts is one number a layer: the largest of many layers is picked for being large.");
  return result;
}

}  // namespace

const Analysis& analysis_steering_vector() {
  static constexpr AnalysisOption options[] = {
      {"method", "mean or pca", "mean"}, {"row", "of each text: last or mean", "last"}, {"out", "a control vector (GGUF) to write; empty: none", ""}};
  static const Analysis analysis{"steering_vector",
                                 "directions from one set of texts to another, as a control vector of llama.cpp",
                                 "Turner et al. 2023, arXiv:2308.10248; Zou et al. 2023, arXiv:2310.01405",
                                 "vitrine analyse steering_vector glad.h5 sad.h5 --set out=glad.gguf",
                                 AnalysisOf::recordings,
                                 options,
                                 run};
  return analysis;
}

}  // namespace vitrine
