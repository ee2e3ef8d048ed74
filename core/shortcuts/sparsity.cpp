#include "core/shortcuts/sparsity.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

#include "core/base/error.h"

namespace vitrine {
namespace {

[[noreturn]] void refuse_pattern(const ShortcutCall& call, const std::string& found) {
  throw Error({"shortcut " + std::string(call.shortcut().name) + ", pattern", "N:M with 1 <= N < M <= 64, such as 2:4", found, ""}, Fault::usage);
}

/// Marks the `gone` lowest of these.
void mark(std::span<const double> scores, std::size_t gone, std::span<std::uint8_t> marks, std::vector<std::size_t>& order) {
  order.resize(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::nth_element(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(gone), order.end(), [&](std::size_t a, std::size_t b) {
    return scores[a] != scores[b] ? scores[a] < scores[b] : a < b;
  });
  for (std::size_t i = 0; i < gone; ++i) marks[order[i]] = 1;
}

}  // namespace

Sparsity sparsity_of(const ShortcutCall& call, const Model& model) {
  Sparsity sparsity{.share = call.number("sparsity", 0.0, 1.0)};
  if (!call.has("pattern")) return sparsity;
  const std::string pattern = call.text("pattern");
  const char* end = pattern.data() + pattern.size();
  const auto [colon, first] = std::from_chars(pattern.data(), end, sparsity.kept);
  if (first != std::errc() || colon == end || *colon != ':') refuse_pattern(call, quoted(pattern));
  const auto [last, second] = std::from_chars(colon + 1, end, sparsity.group);
  if (second != std::errc() || last != end || sparsity.kept < 1 || sparsity.group <= sparsity.kept || sparsity.group > 64) refuse_pattern(call, quoted(pattern));
  const double share = 1.0 - static_cast<double>(sparsity.kept) / static_cast<double>(sparsity.group);
  if (call.has("sparsity") && sparsity.share != share) refuse_pattern(call, quoted(pattern) + " beside another sparsity");
  sparsity.share = share;
  for (const WeightKey& key : block_matrices(model)) {
    if (const std::size_t cols = model.weights.at(key).cols; cols % sparsity.group != 0) {
      throw Error({matrix_name(key), "columns in groups of " + std::to_string(sparsity.group) + " for pattern " + pattern, std::to_string(cols) + " columns", "use sparsity alone"});
    }
  }
  return sparsity;
}

void check_sparsity(const Model& model, const ShortcutCall& call, std::size_t) { sparsity_of(call, model); }

std::string spelled(const Sparsity& sparsity) {
  if (sparsity.group > 0) return std::to_string(sparsity.kept) + ":" + std::to_string(sparsity.group);
  char text[32];
  std::snprintf(text, sizeof text, "%.4g%% zeros", 100.0 * sparsity.share);
  return text;
}

std::vector<std::uint8_t> lowest(std::span<const double> scores, std::size_t cols, const Sparsity& sparsity, MaskScope scope) {
  std::vector<std::uint8_t> marks(scores.size(), 0);
  std::vector<std::size_t> order;
  const std::size_t step = sparsity.group > 0 ? sparsity.group : scope == MaskScope::row ? cols : scores.size();
  if (step == 0) return marks;
  VITRINE_CHECK(scores.size() % step == 0);
  // The product of a share that a user writes and a count may come out just below the whole number that it means.
  const auto gone = sparsity.group > 0 ? sparsity.group - sparsity.kept
                                       : static_cast<std::size_t>(std::floor(sparsity.share * static_cast<double>(step) + 1e-9 * static_cast<double>(step)));
  for (std::size_t at = 0; at < scores.size(); at += step) mark(scores.subspan(at, step), std::min(gone, step), std::span(marks).subspan(at, step), order);
  return marks;
}

void zero_lowest(Tensor& numbers, std::span<const double> scores, const Sparsity& sparsity, MaskScope scope) {
  const std::vector<std::uint8_t> gone = lowest(scores, numbers.shape()[1], sparsity, scope);
  for (std::size_t i = 0; i < gone.size(); ++i) numbers.floats()[i] = gone[i] ? 0.0f : numbers.floats()[i];
}

std::string random_mask_like(const ShortcutCall& call) {
  return "random_mask:" + (call.has("pattern") ? "pattern=" + call.text("pattern") : "sparsity=" + call.text("sparsity"));
}

}  // namespace vitrine
