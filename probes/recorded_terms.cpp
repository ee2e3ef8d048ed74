#include "probes/recorded_terms_internal.h"

#include <algorithm>

#include "probes/recording_layout_internal.h"

namespace vitrine {
namespace {

constexpr std::int64_t furthest = std::int64_t{1} << 40;
constexpr std::size_t most_numbers = std::size_t{1} << 28;  // of one head's table: 1 GiB

std::string group_of(const Recording::Module& module) { return "/attention/" + module.name; }

/// Requires f32 of a shape, whose first extent may be anything from 1 where `shape` says 0. Returns that extent.
std::size_t require_shape(const CheckedFile& file, const std::string& name, std::vector<std::size_t> shape) {
  const CheckedFile::Info info = file.info(name);
  if (shape[0] == 0 && !info.shape.empty() && info.shape[0] > 0) shape[0] = info.shape[0];
  if (info.shape == shape && info.type == "f32") return shape[0];
  std::string expected = "f32 [";
  for (const std::size_t extent : shape) expected += (expected.back() == '[' ? "" : ", ") + (extent == 0 ? "n" : std::to_string(extent));
  file.fail(name, expected + "]", "another type or shape");
}

void read_bias(const CheckedFile& file, const std::string& group, Recording::Module& module) {
  if (file.has(group + "/distance_slope")) {
    require_shape(file, group + "/distance_slope", {module.heads});
    module.slopes = true;
  }
  const std::string name = group + "/distance_bias";
  if (!file.has(name)) return;
  const CheckedFile::Info info = file.info(name);
  module.distances = info.shape.size() == 2 ? info.shape[1] : 0;
  if (module.distances == 0 || module.distances > most_numbers) file.fail(name, "[head, distance] of a possible size", "another shape");
  require_shape(file, name, {module.heads, module.distances});
  module.score.by_distance.first = file.whole(group, "distance_first", furthest);
}

void read_positions(const CheckedFile& file, const std::string& group, Recording::Module& module) {
  if (!file.has(group + "/positions")) return;
  module.positions = require_shape(file, group + "/positions", {0, module.heads, module.head_dim});
  if (module.positions > most_numbers / std::max<std::size_t>(module.head_dim, 1)) {
    file.fail(group + "/positions", "a possible number of distances", std::to_string(module.positions));
  }
  module.score.content.first = file.whole(group, "positions_first", furthest);
  for (const char* name : {"/key_bias", "/positions_bias"}) require_shape(file, group + name, {module.heads, module.head_dim});
  module.segments = file.has(group + "/segment");
  if (!module.segments) return;
  require_shape(file, group + "/segment", {2, module.heads, module.head_dim});
  require_shape(file, group + "/segment_bias", {module.heads, module.head_dim});
}

}  // namespace

void read_terms_of_module(const CheckedFile& file, const std::string& group, Recording::Module& module) {
  read_bias(file, group, module);
  read_positions(file, group, module);
  module.allowed = file.count_if_there(group, "allowed", 1) == 1;
  const bool any = module.distances > 0 || module.slopes || module.positions > 0 || module.allowed;
  if (any && module.rule.kind == PatternKind::feature_map) file.fail(group, "no biases beside rule 2", "some");
}

void read_terms_of_head(const CheckedFile& file, const TermsPlace& place, Recording::Head& head) {
  const Recording::Module& module = place.module;
  const std::string group = group_of(module);
  const std::size_t h = place.head, dim = module.head_dim;
  ScoreRule& score = head.factors.score;
  if (module.distances > 0) {
    head.bias = file.read<float>(group + "/distance_bias", {{h, 0}, {1, module.distances}});
    score.by_distance.table = {head.bias.data(), {1, module.distances}};
  }
  if (module.slopes) {
    head.slope = file.read<float>(group + "/distance_slope", {{h}, {1}});
    score.by_distance.slope = head.slope;
  }
  if (module.allowed) {
    const std::size_t words = BitView::words_of(place.rows.count);
    head.allowed = file.read<std::uint64_t>("/tokens/allowed", {{place.rows.begin, 0}, {place.rows.count, words}});
    score.allowed = {head.allowed.data(), place.rows.count, place.rows.count, words, 0};
  }
  if (module.positions == 0) return;
  ContentByDistance& content = score.content;
  const auto of_head = [&](const char* name) { return file.read<float>(group + name, {{h, 0}, {1, dim}}); };
  head.positions = file.read<float>(group + "/positions", {{0, h, 0}, {module.positions, 1, dim}});
  head.key_bias = of_head("/key_bias");
  head.positions_bias = of_head("/positions_bias");
  content.r = {head.positions.data(), {module.positions, 1, dim}};
  content.key_bias = {head.key_bias.data(), {1, dim}};
  content.distance_bias = {head.positions_bias.data(), {1, dim}};
  if (!module.segments) return;
  head.segment = file.read<float>(group + "/segment", {{0, h, 0}, {2, 1, dim}});
  head.segment_bias = of_head("/segment_bias");
  head.segments = file.read<std::int32_t>("/tokens/segment", {{place.rows.begin}, {place.rows.count}});
  if (std::ranges::find(head.segments, no_segment) != head.segments.end()) return;  // a text without any
  content.segment = {head.segment.data(), {2, 1, dim}};
  content.segment_bias = {head.segment_bias.data(), {1, dim}};
  content.query_segment = content.key_segment = head.segments;
}

}  // namespace vitrine
