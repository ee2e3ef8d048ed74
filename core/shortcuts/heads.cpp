#include "core/shortcuts/heads.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"

namespace vitrine {

std::vector<HeadPlace> attention_heads(const ModelSpec& spec) {
  std::vector<HeadPlace> heads;
  for (std::size_t layer = 0; layer < spec.blocks.size(); ++layer) {
    for (std::size_t head = 0; head < spec.blocks[layer].attention.heads; ++head) heads.push_back({layer, head});
  }
  return heads;
}

std::size_t heads_wanted(const ShortcutCall& call, const Model& model) {
  const std::size_t heads = attention_heads(model.spec).size();
  if (call.has("share") == call.has("count")) {
    throw Error({"shortcut " + std::string(call.shortcut().name), "share of the heads, or their count", call.has("share") ? "both" : "neither",
                 "such as " + std::string(call.shortcut().example)}, Fault::usage);
  }
  if (call.has("count")) return call.whole("count", 0, heads);
  return static_cast<std::size_t>(std::llround(call.number("share", 0.0, 1.0) * static_cast<double>(heads)));
}

void silence(Model& model, std::span<const HeadPlace> heads, const std::string& made, ShortcutReport& report) {
  for (std::size_t layer = 0; layer < model.spec.blocks.size(); ++layer) {
    const AttentionSpec& attention = model.spec.blocks[layer].attention;
    const WeightKey key{Role::attn_out, static_cast<int>(layer), false, model.spec.stack};
    const auto count = std::ranges::count(heads, layer, &HeadPlace::layer);
    if (count == 0) continue;
    const Tensor before = expand(model.weights.at(key));
    Tensor numbers = copy_of(before);
    for (const HeadPlace& place : heads) {
      if (place.layer != layer) continue;
      for (std::size_t row = 0; row < numbers.shape()[0]; ++row) {
        std::fill_n(numbers.floats().data() + row * numbers.shape()[1] + place.head * attention.head_dim, attention.head_dim, 0.0f);
      }
    }
    put_numbers(model, key, numbers, {std::to_string(count) + " heads " + made, before}, report);
  }
}

std::string labels(std::span<const HeadPlace> heads) {
  std::string text;
  for (const HeadPlace& place : heads) text += (text.empty() ? "" : " ") + head_label(place.layer, place.head);
  return text;
}

}  // namespace vitrine
