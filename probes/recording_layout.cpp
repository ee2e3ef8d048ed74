#include "probes/recording_layout_internal.h"

namespace vitrine {

std::string attention_group(int block) { return "/attention/blocks." + std::to_string(block) + ".attn"; }

std::string activation_path(const ProbePoint& point) {
  return point.site == Site::logits ? "/logits" : "/activations/" + point_name(point);
}

std::string factor_path(const ProbePoint& point) {
  switch (point.site) {
    case Site::rot_q: return attention_group(point.block) + "/q";
    case Site::rot_k: return attention_group(point.block) + "/k";
    case Site::normalizer: return attention_group(point.block) + "/normalizer";
    case Site::threshold: return attention_group(point.block) + "/threshold";
    default: return {};
  }
}

std::vector<ResidualLink> residual_links(const ModelSpec& spec) {
  std::vector<ResidualLink> links;
  for (int block = 0; block + 1 < static_cast<int>(spec.blocks.size()); ++block) {
    if (spec.blocks[static_cast<std::size_t>(block)].placement == NormPlacement::post) continue;  // a norm lies between
    links.push_back({activation_path({.block = block, .site = Site::resid_post}),
                     activation_path({.block = block + 1, .site = Site::resid_pre})});
  }
  return links;
}

void write_root_attributes(hid_t file, const RecorderSource& source, const Json& provenance) {
  const h5::Handle root(H5Gopen2(file, "/", H5P_DEFAULT), H5Gclose);
  const ModelSpec& spec = source.model.spec;
  const auto number = [&](const char* name, std::size_t value) {
    h5::write_attribute(root, name, static_cast<std::uint64_t>(value));
  };
  h5::write_attribute(root, "format", recording_format);
  number("format_version", recording_version);
  number("finished", 0);
  h5::write_attribute(root, "model", source.model.path.filename().string());
  h5::write_attribute(root, "architecture", spec.architecture);
  number("blocks", spec.blocks.size());
  number("width", spec.width);
  number("vocabulary", spec.vocabulary);
  number("context", spec.context);
  h5::write_attribute(root, "precision", source.ops.precision() == Precision::exact ? "exact" : "fast");
  h5::write_attribute(root, "kernel", source.kernel.kernel->name);
  h5::write_attribute(root, "machine", source.ops.describe());
  h5::write_attribute(root, "provenance", provenance.dump());
}

void write_attention_attributes(hid_t file, const std::string& group, const AttentionSpec& spec, const PatternRule& rule) {
  const h5::Handle object(H5Gopen2(file, group.c_str(), H5P_DEFAULT), H5Gclose);
  const auto number = [&](const char* name, std::size_t value) {
    h5::write_attribute(object, name, static_cast<std::uint64_t>(value));
  };
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

std::vector<const char*> axis_labels(std::string_view name, std::size_t rank) {
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
