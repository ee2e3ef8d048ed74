#include <algorithm>

#include "core/base/error.h"
#include "core/shortcuts/heads.h"

namespace vitrine {
namespace {

std::vector<HeadPlace> listed(const ShortcutCall& call, const ModelSpec& spec) {
  std::vector<HeadPlace> heads;
  const std::string words = call.text("heads");
  for (std::size_t begin = 0; begin <= words.size();) {
    const std::size_t end = std::min(words.find('/', begin), words.size());
    const std::string word = words.substr(begin, end - begin);
    const std::optional<HeadPlace> place = parse_head(word);
    if (!place || place->layer >= spec.blocks.size() || place->head >= spec.blocks[place->layer].attention.heads) {
      throw Error({"shortcut drop_heads, heads", "heads of this model with '/' between them, such as L0H1/L2H0", quoted(word), ""}, Fault::usage);
    }
    heads.push_back(*place);
    begin = end + 1;
  }
  return heads;
}

/// Those that write least: ||W_O^h z_h||^2 summed over all rows of the text, by the Gram matrix of what the output matrix multiplies.
std::vector<HeadPlace> quietest(const ShortcutCall& call, const Model& model, const ShortcutBench& bench) {
  const std::size_t wanted = heads_wanted(call, model);
  const auto key_of = [&](std::size_t layer) { return WeightKey{Role::attn_out, static_cast<int>(layer), false, model.spec.stack}; };
  std::set<WeightKey> keys;
  for (std::size_t layer = 0; layer < model.spec.blocks.size(); ++layer) keys.insert(key_of(layer));
  const StatisticsOf statistics = input_statistics(bench.runner(model), bench.calibration, keys, Statistics::gram);
  std::vector<std::pair<double, HeadPlace>> written;
  Tensor numbers;  // [width, heads * head_dim] of the layer in hand
  for (const HeadPlace& place : attention_heads(model.spec)) {  // layer by layer
    const WeightKey key = key_of(place.layer);
    if (place.head == 0) numbers = expand(model.weights.at(key));
    const std::size_t dim = model.spec.blocks[place.layer].attention.head_dim, first = place.head * dim, rows = numbers.shape()[0], cols = numbers.shape()[1];
    Matrix weights(rows, dim), gram(dim, dim);
    for (std::size_t r = 0; r < rows; ++r) std::copy_n(numbers.floats().data() + r * cols + first, dim, &weights(r, 0));
    for (std::size_t i = 0; i < dim; ++i) std::copy_n(&statistics.at(key)->gram(first + i, first), dim, &gram(i, 0));
    written.emplace_back(squared_output(weights, gram), place);
  }
  std::ranges::stable_sort(written, {}, &std::pair<double, HeadPlace>::first);
  std::vector<HeadPlace> quiet;
  for (std::size_t i = 0; i < wanted; ++i) quiet.push_back(written[i].second);
  return quiet;
}

void check(const Model& model, const ShortcutCall& call, std::size_t) {
  if (call.has("heads") && (call.has("share") || call.has("count"))) {
    throw Error({"shortcut drop_heads", "heads, or how many", "both", ""}, Fault::usage);
  }
  if (call.has("heads")) listed(call, model.spec);
  else heads_wanted(call, model);
}

void apply(Model& model, const ShortcutCall& call, const ShortcutBench& bench, ShortcutReport& report) {
  const std::vector<HeadPlace> heads = call.has("heads") ? listed(call, model.spec) : quietest(call, model, bench);
  silence(model, heads, "silent", report);
  report.notes.push_back("silent: " + labels(heads));
}

std::size_t least_tokens(const ShortcutCall& call, const Model&) { return call.has("heads") ? 0 : 32; }

std::string control(const ShortcutCall& call) {
  const auto count = [](const std::string& words) { return std::to_string(std::ranges::count(words, '/') + 1); };
  if (call.has("share")) return "random_heads:share=" + call.text("share");
  return "random_heads:count=" + (call.has("heads") ? count(call.text("heads")) : call.text("count"));
}

}  // namespace

const Shortcut& shortcut_drop_heads() {
  static const Shortcut shortcut{"drop_heads", "silences heads of self attention: those named, or those that write least on a text", "", "drop_heads:share=0.25",
                                 {{"heads", "heads with '/' between them, L0H1/L2H0", "", true}, {"share", "of all heads, those that write least", "", true}, {"count", "so many of those that write least", "", true}},
                                 least_tokens, check, apply, control};
  return shortcut;
}

}  // namespace vitrine
