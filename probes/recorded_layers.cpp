#include "probes/recorded_layers.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/base/error.h"
#include "core/model/probe_point.h"

namespace vitrine {
namespace {

constexpr std::string_view folder = "/activations/";

std::string_view name_of(const Recording::Dataset& dataset) {
  return std::string_view(dataset.name).starts_with(folder) ? std::string_view(dataset.name).substr(folder.size())
                                                            : std::string_view(dataset.name).substr(1);
}

/// "resid_pre" of "blocks.3.hook_resid_pre", "z" of "blocks.3.attn.hook_z".
std::string_view word_of(std::string_view name) {
  const std::size_t hook = name.rfind("hook_");
  return hook == std::string_view::npos ? name : name.substr(hook + 5);
}

RecordedLayer layer_of(std::string label, const Recording::Dataset& dataset) {
  std::size_t width = 1;
  for (std::size_t axis = 1; axis < dataset.shape.size(); ++axis) width *= dataset.shape[axis];
  return {std::move(label), &dataset, width};
}

/// Before block b lies what is behind b - 1; behind the last block it has a name of its own.
std::vector<RecordedLayer> residual_layers(const Recording& recording) {
  std::map<int, const Recording::Dataset*> behind;  // -1: embed
  for (const Recording::Dataset& dataset : recording.activations()) {
    const std::optional<ProbePoint> point = parse_point(name_of(dataset));
    if (!point || dataset.side != Recording::Side::text || point->role != AttentionRole::self) continue;
    if (point->site == Site::resid_pre) behind.emplace(point->block - 1, &dataset);
    if (point->site == Site::resid_post) behind[point->block] = &dataset;
  }
  std::vector<RecordedLayer> layers;
  for (const auto& [block, dataset] : behind) layers.push_back(layer_of(block < 0 ? "embed" : std::to_string(block), *dataset));
  return layers;
}

}  // namespace

std::vector<RecordedLayer> recorded_layers(const Recording& recording, const std::string& word) {
  std::vector<RecordedLayer> layers;
  std::set<std::string> known;
  if (word == "resid") layers = residual_layers(recording);
  for (const Recording::Dataset& dataset : recording.activations()) {
    if (dataset.side != Recording::Side::text) continue;
    const std::string_view name = name_of(dataset);
    known.emplace(word_of(name));
    const std::optional<ProbePoint> point = parse_point(name);
    if (word != "resid" && (name == word || word_of(name) == word))
      layers.push_back(layer_of(point && point->block >= 0 ? std::to_string(point->block) : std::string(name), dataset));
  }
  if (word != "resid") std::ranges::stable_sort(layers, {}, [](const RecordedLayer& layer) { return std::pair(layer.label.size(), layer.label); });
  if (!layers.empty()) return layers;
  std::string names;
  for (const std::string& name : known) names += (names.empty() ? "" : ", ") + name;
  throw Error({recording.path().string() + ": --set point", names.empty() ? "recorded activations" : "resid, a hook's full name, or one of " + names,
               quoted(word), "record with --points"},
              Fault::usage);
}

RowChoice choose_rows(const Recording& recording, std::size_t most, FirstRows first) {
  RowChoice all, choice;
  for (std::size_t s = 0; s < recording.sequences(); ++s) {
    const Recording::Rows rows = recording.rows_of(s);
    for (std::size_t r = first == FirstRows::with ? 0 : 1; r < rows.count; ++r) {
      all.rows.push_back(rows.begin + r);
      all.sequence.push_back(s);
    }
  }
  if (all.rows.size() <= most) return all;
  for (std::size_t i = 0; i < most; ++i) {
    const std::size_t at = i * all.rows.size() / most;
    choice.rows.push_back(all.rows[at]);
    choice.sequence.push_back(all.sequence[at]);
  }
  return choice;
}

FloatMatrix values_of(const Recording& recording, const RecordedLayer& layer, const RowChoice& choice) {
  FloatMatrix values(choice.rows.size(), layer.width);
  for (std::size_t i = 0; i < choice.rows.size();) {  // a sequence at a time
    const Recording::Rows rows = recording.rows_of(choice.sequence[i]);
    const std::vector<float> read = recording.activation(*layer.dataset, rows);
    const std::size_t sequence = choice.sequence[i];
    for (; i < choice.rows.size() && choice.sequence[i] == sequence; ++i) {
      std::copy_n(read.begin() + static_cast<std::ptrdiff_t>((choice.rows[i] - rows.begin) * layer.width), layer.width, &values(i, 0));
    }
  }
  return values;
}

Matrix as_double(const FloatMatrix& a) {
  Matrix out(a.rows, a.columns);
  std::ranges::copy(a.numbers, out.numbers.begin());
  return out;
}

void require_same_texts(const Recording& a, const Recording& b) {
  const std::string where = b.path().string();
  if (a.sequences() != b.sequences())
    throw Error({where, std::to_string(a.sequences()) + " texts, as the first recording has", std::to_string(b.sequences()), ""});
  for (std::size_t s = 0; s < a.sequences(); ++s) {
    if (a.token_ids(s) != b.token_ids(s))
      throw Error({where + ", sequence " + std::to_string(s), "the tokens of the first recording", "others", "record the same texts"});
  }
}

}  // namespace vitrine
