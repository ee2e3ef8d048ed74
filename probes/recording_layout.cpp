#include "probes/recording_layout_internal.h"

#include "core/base/error.h"

namespace vitrine {
namespace {

/// The numbers of a view, dense.
template <std::size_t Rank>
std::vector<float> dense(TensorView<const float, Rank> view) {
  std::vector<float> numbers;
  numbers.reserve(view.size());
  const auto add = [&](const float* row, std::size_t step, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) numbers.push_back(row[i * step]);
  };
  if constexpr (Rank == 3) {
    for (std::size_t i = 0; i < view.extent(0); ++i) {
      for (std::size_t h = 0; h < view.extent(1); ++h) add(&view(i, h, 0), view.stride(2), view.extent(2));
    }
  } else {
    for (std::size_t i = 0; i < view.extent(0); ++i) add(&view(i, 0), view.stride(1), view.extent(1));
  }
  return numbers;
}

void write_all(hid_t file, const std::string& name, const std::vector<hsize_t>& shape, std::span<const float> numbers, std::string_view where) {
  h5::create_numbers(file, name, shape, where);
  h5::write_numbers(file, name, 0, numbers, where);
}

}  // namespace

std::vector<AttentionPlace> attention_places(const ModelSpec& spec) {
  std::vector<AttentionPlace> places;
  if (!spec.encoder.empty()) places = attention_places(spec.encoder.front());
  for (std::size_t block = 0; block < spec.blocks.size(); ++block) {
    places.push_back({spec.stack, AttentionRole::self, static_cast<int>(block)});
    if (spec.blocks[block].cross) places.push_back({spec.stack, AttentionRole::cross, static_cast<int>(block)});
  }
  return places;
}

const AttentionSpec& attention_at(const ModelSpec& spec, const AttentionPlace& place) {
  const BlockSpec& block = stack_of(spec, place.point(Site::q))->blocks[static_cast<std::size_t>(place.block)];
  return place.role == AttentionRole::cross ? *block.cross : block.attention;
}

std::string attention_name(const AttentionPlace& place) {
  const std::string hook = point_name(place.point(Site::z));
  return hook.substr(0, hook.rfind('.'));
}

std::string attention_group(const AttentionPlace& place) { return "/attention/" + attention_name(place); }

bool has_encoder_rows(const ProbePoint& point) {
  if (point.stack == Stack::encoder) return true;
  return point.role == AttentionRole::cross && (point.site == Site::k || point.site == Site::v || point.site == Site::rot_k);
}

std::string activation_path(const ProbePoint& point) {
  return point.site == Site::logits ? "/logits" : "/activations/" + point_name(point);
}

std::string factor_path(const ProbePoint& point) {
  switch (point.site) {
    case Site::rot_q: return attention_group(place_of(point)) + "/q";
    case Site::rot_k: return attention_group(place_of(point)) + "/k";
    case Site::normalizer: return attention_group(place_of(point)) + "/normalizer";
    case Site::threshold: return attention_group(place_of(point)) + "/threshold";
    default: return {};
  }
}

std::vector<ResidualLink> residual_links(const ModelSpec& spec) {
  std::vector<ResidualLink> links;
  if (!spec.encoder.empty()) links = residual_links(spec.encoder.front());
  for (int block = 0; block + 1 < static_cast<int>(spec.blocks.size()); ++block) {
    if (spec.blocks[static_cast<std::size_t>(block)].placement == NormPlacement::post) continue;  // a norm lies between
    links.push_back({activation_path({.stack = spec.stack, .block = block, .site = Site::resid_post}),
                     activation_path({.stack = spec.stack, .block = block + 1, .site = Site::resid_pre})});
  }
  return links;
}

void write_root_attributes(hid_t file, const RecorderSource& source, const Json& provenance, std::uint64_t version) {
  const h5::Handle root(H5Gopen2(file, "/", H5P_DEFAULT), H5Gclose);
  const ModelSpec& spec = source.model.spec;
  const auto number = [&](const char* name, std::size_t value) {
    h5::write_attribute(root, name, static_cast<std::uint64_t>(value));
  };
  h5::write_attribute(root, "format", recording_format);
  number("format_version", version);
  number("finished", 0);
  h5::write_attribute(root, "model", source.model.path.filename().string());
  h5::write_attribute(root, "architecture", spec.architecture);
  number("blocks", spec.blocks.size());
  number("width", spec.width);
  number("vocabulary", spec.vocabulary);
  number("context", spec.context);
  h5::write_attribute(root, "precision", std::string(precision_name(source.ops.precision())));
  h5::write_attribute(root, "kernel", source.kernel.kernel->name);
  h5::write_attribute(root, "machine", source.ops.describe());
  h5::write_attribute(root, "provenance", provenance.dump());
}

void write_attention_attributes(hid_t file, const AttentionPlace& place, const AttentionSpec& spec, const PatternRule& rule) {
  const h5::Handle object(H5Gopen2(file, attention_group(place).c_str(), H5P_DEFAULT), H5Gclose);
  const auto number = [&](const char* name, std::size_t value) {
    h5::write_attribute(object, name, static_cast<std::uint64_t>(value));
  };
  if (place.role == AttentionRole::cross) h5::write_attribute(object, "keys", "encoder");
  number("heads", spec.heads);
  number("kv_heads", spec.kv_heads);
  number("head_dim", spec.head_dim);
  h5::write_attribute(object, "scale", static_cast<double>(spec.scale));
  h5::write_attribute(object, "soft_cap", static_cast<double>(spec.soft_cap));
  h5::write_attribute(object, "mask", spec.mask == Mask::causal ? "causal" : "none");
  number("window", spec.window);
  number("rule", static_cast<std::size_t>(rule.kind));
  number("rule_window", rule.window);
  number("rule_sinks", rule.sinks);
  number("rule_top_k", rule.top_k);
  number("rule_bf16", rule.bf16_factors ? 1 : 0);
  if (rule.kind == PatternKind::feature_map) {
    number("rule_feature", static_cast<std::size_t>(rule.feature));
    number("rule_features", rule.features);
    number("rule_seed", rule.seed);
  }
  if (rule.kind == PatternKind::softmax_blocks) {
    number("rule_block_size", rule.blocks.size);
    number("rule_block_window", rule.blocks.window);
    number("rule_block_stride", rule.blocks.stride);
    number("rule_block_global", rule.blocks.global);
    number("rule_block_random", rule.blocks.random);
    number("rule_seed", rule.seed);
  }
}

void write_distance_bias(hid_t file, const std::string& group, const DistanceBias& bias, std::string_view where) {
  const h5::Handle object(H5Gopen2(file, group.c_str(), H5P_DEFAULT), H5Gclose);
  if (!bias.table.empty()) {
    h5::write_attribute(object, "distance_first", static_cast<std::int64_t>(bias.first));
    write_all(file, group + "/distance_bias", {bias.table.extent(0), bias.table.extent(1)}, dense(bias.table), where);
  }
  if (!bias.slope.empty()) write_all(file, group + "/distance_slope", {bias.slope.size()}, bias.slope, where);
}

void create_positions(hid_t file, const std::string& group, const PositionsShape& shape, std::string_view where) {
  const h5::Handle object(H5Gopen2(file, group.c_str(), H5P_DEFAULT), H5Gclose);
  h5::write_attribute(object, "positions_first", -static_cast<std::int64_t>(shape.reach));
  const hsize_t positions[] = {2 * shape.reach + 1, shape.heads, shape.head_dim}, biases[] = {shape.heads, shape.head_dim},
                segments[] = {2, shape.heads, shape.head_dim};
  h5::create_numbers(file, group + "/positions", positions, where);
  h5::create_numbers(file, group + "/segment", segments, where);
  for (const char* name : {"/key_bias", "/positions_bias", "/segment_bias"}) h5::create_numbers(file, group + name, biases, where);
}

void write_positions(hid_t file, const std::string& group, const PositionsShape& shape, const ContentByDistance& content, std::string_view where) {
  const std::ptrdiff_t first = content.first + static_cast<std::ptrdiff_t>(shape.reach);
  VITRINE_CHECK(first >= 0 && static_cast<std::size_t>(first) + content.r.extent(0) <= 2 * shape.reach + 1);
  h5::write_numbers(file, group + "/positions", static_cast<hsize_t>(first), dense(content.r), where);
  h5::write_numbers(file, group + "/key_bias", 0, dense(content.key_bias), where);
  h5::write_numbers(file, group + "/positions_bias", 0, dense(content.distance_bias), where);
  if (!content.has_segments()) return;
  h5::write_numbers(file, group + "/segment", 0, dense(content.segment), where);
  h5::write_numbers(file, group + "/segment_bias", 0, dense(content.segment_bias), where);
}

std::vector<const char*> axis_labels(std::string_view name, std::size_t rank) {
  if (name.starts_with(encoder_prefix)) name.remove_prefix(encoder_prefix.size());
  if (name == "/mips/cell") return {"sequence"};
  if (name.starts_with("/mips/")) return {"query_cell", "head", "key_cell"};
  if (name.starts_with("/sequences/") || name.starts_with("/tokens/bytes")) return {};
  const bool by_head = rank == 3 || name.starts_with("/attention/");
  std::vector<const char*> labels{"pos", by_head ? "head" : "feature", "d_head"};
  labels.resize(rank);
  return labels;
}

void write_axis_labels(hid_t dataset, const std::vector<const char*>& labels, std::string_view where) {
  if (labels.empty()) return;
  const h5::Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type, H5T_VARIABLE);
  const hsize_t count = labels.size();
  const h5::Handle axes(H5Screate_simple(1, &count, nullptr), H5Sclose);
  const h5::Handle attribute(H5Acreate2(dataset, "DIMENSION_LABELS", type, axes, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  h5::require(attribute, where, "label the axes");
  h5::require(H5Awrite(attribute, type, labels.data()), where, "label the axes");
}

}  // namespace vitrine
