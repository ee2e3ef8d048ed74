#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "core/base/error.h"
#include "core/shortcuts/layers.h"

namespace vitrine {
namespace {

std::vector<std::size_t> listed(const ShortcutCall& call, const ModelSpec& spec) {
  std::vector<std::size_t> layers;
  const std::string words = call.text("layers");
  for (const char *at = words.data(), *end = at + words.size();;) {
    std::size_t layer = 0;
    const auto [after, error] = std::from_chars(at, end, layer);
    const bool known = error == std::errc() && (after == end || *after == '/') && layer < spec.blocks.size();
    if (!known || std::ranges::find(layers, layer) != layers.end()) {
      throw Error({"shortcut drop_layers, layers", "different blocks from 0 to " + std::to_string(spec.blocks.size() - 1) + " with '/' between them", quoted(words), ""}, Fault::usage);
    }
    layers.push_back(layer);
    if (after == end) break;
    at = after + 1;
  }
  if (layers.size() == spec.blocks.size()) throw Error({"shortcut drop_layers, layers", "at least one block that stays", "all " + std::to_string(layers.size()), ""}, Fault::usage);
  std::ranges::sort(layers);
  return layers;
}

/// 1 - the mean cosine between what enters a block and what enters the next: Block Influence (equation 1 of ShortGPT).
class Influence : public Observer {
 public:
  explicit Influence(const ModelSpec& spec) : spec_(spec), sums_(spec.blocks.size()) {}

  Access access(const ProbePoint& point) const override { return is_entry(point) || is_end(point) ? Access::read : Access::none; }

  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    const std::size_t width = values.extent(2);
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const float* now = &values(r, 0, 0);
      if (const std::size_t before = static_cast<std::size_t>(point.block) - (is_end(point) ? 0 : 1); is_end(point) || point.block > 0) {
        sums_[before] += cosine({before_.data() + r * width, width}, {now, width});
        if (before == 0) ++rows_;
      }
      if (is_end(point)) continue;
      before_.resize(std::max(before_.size(), (r + 1) * width));
      std::copy_n(now, width, before_.data() + r * width);
    }
  }
  std::vector<double> values() const {
    std::vector<double> all;
    for (const double sum : sums_) all.push_back(1.0 - sum / static_cast<double>(rows_));
    return all;
  }

 private:
  bool is_entry(const ProbePoint& point) const { return point.stack == spec_.stack && point.stream == Stream::content && point.site == Site::resid_pre; }
  bool is_end(const ProbePoint& point) const {
    return point.stack == spec_.stack && point.stream == Stream::content && point.site == Site::resid_post && static_cast<std::size_t>(point.block) + 1 == spec_.blocks.size();
  }
  static double cosine(std::span<const float> a, std::span<const float> b) {
    double both = 0.0, of_a = 0.0, of_b = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      both += static_cast<double>(a[i]) * b[i];
      of_a += static_cast<double>(a[i]) * a[i];
      of_b += static_cast<double>(b[i]) * b[i];
    }
    return both == 0.0 ? 0.0 : both / std::sqrt(of_a * of_b);
  }

  const ModelSpec& spec_;
  std::vector<double> sums_;   // [blocks] of cosines
  std::vector<float> before_;  // [rows of a pass, width] what entered the last block seen
  std::size_t rows_ = 0;
};

std::vector<std::size_t> least_influence(const ShortcutCall& call, const Model& model, const ShortcutBench& bench, ShortcutReport& report) {
  const std::size_t wanted = blocks_wanted(call, model);
  Influence influence(model.spec);
  Observer* observers[] = {&influence};
  for (std::size_t i = 0; i < bench.calibration.size(); ++i) {
    run_texts(bench.runner(model), bench.calibration.subspan(i, 1), observers, {});
    bench.run.step("influence of blocks", i + 1, bench.calibration.size());
  }
  const std::vector<double> values = influence.values();
  std::vector<std::size_t> layers(values.size());
  std::string text;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    layers[i] = i;
    char number[32];
    std::snprintf(number, sizeof number, " %.4f", values[i]);
    text += number;
  }
  report.notes.push_back("block influence:" + text);
  std::ranges::stable_sort(layers, {}, [&](std::size_t layer) { return values[layer]; });
  layers.resize(wanted);
  std::ranges::sort(layers);
  return layers;
}

void check(const Model& model, const ShortcutCall& call, std::size_t) {
  if (call.has("layers") == call.has("count")) {
    throw Error({"shortcut drop_layers", "layers, or the count of those with the least influence", call.has("count") ? "both" : "neither", ""}, Fault::usage);
  }
  if (call.has("layers")) listed(call, model.spec);
  else blocks_wanted(call, model);
}

void apply(Model& model, const ShortcutCall& call, const ShortcutBench& bench, ShortcutReport& report) {
  remove_blocks(model, call.has("layers") ? listed(call, model.spec) : least_influence(call, model, bench, report), report);
}

std::size_t least_tokens(const ShortcutCall& call, const Model&) { return call.has("layers") ? 0 : 32; }

std::string control(const ShortcutCall& call) {
  if (call.has("count")) return "random_layers:count=" + call.text("count");
  return "random_layers:count=" + std::to_string(std::ranges::count(call.text("layers"), '/') + 1);
}

}  // namespace

const Shortcut& shortcut_drop_layers() {
  static const Shortcut shortcut{"drop_layers", "takes whole blocks out: those named, or those with the least influence on a text", "Men et al. 2024, arXiv:2403.03853", "drop_layers:count=2",
                                 {{"layers", "blocks with '/' between them, 3/5", "", true}, {"count", "so many of those with the least influence", "", true}},
                                 least_tokens, check, apply, control};
  return shortcut;
}

}  // namespace vitrine
