#include "core/model/probe_point.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <set>

#include "core/base/error.h"

namespace vitrine {
namespace {

struct SiteInfo {
  Site site;
  std::string_view name;   // behind "blocks.<i>." where the site lies in a block
  bool in_block;
  std::string_view alias;  // the command line's short name
};

// In the order in which the forward pass reaches them.
constexpr std::array sites{
    SiteInfo{Site::embed, "hook_embed", false, "embed"},
    SiteInfo{Site::pos_embed, "hook_pos_embed", false, "pos_embed"},
    SiteInfo{Site::resid_pre, "hook_resid_pre", true, "resid_pre"},
    SiteInfo{Site::ln1_scale, "ln1.hook_scale", true, "ln1_scale"},
    SiteInfo{Site::ln1_normalized, "ln1.hook_normalized", true, "ln1_normalized"},
    SiteInfo{Site::q, "attn.hook_q", true, "q"},
    SiteInfo{Site::k, "attn.hook_k", true, "k"},
    SiteInfo{Site::v, "attn.hook_v", true, "v"},
    SiteInfo{Site::q_norm_scale, "attn.q_norm.hook_scale", true, "q_norm_scale"},
    SiteInfo{Site::q_norm_normalized, "attn.q_norm.hook_normalized", true, "q_norm_normalized"},
    SiteInfo{Site::k_norm_scale, "attn.k_norm.hook_scale", true, "k_norm_scale"},
    SiteInfo{Site::k_norm_normalized, "attn.k_norm.hook_normalized", true, "k_norm_normalized"},
    SiteInfo{Site::rot_q, "attn.hook_rot_q", true, "rot_q"},
    SiteInfo{Site::rot_k, "attn.hook_rot_k", true, "rot_k"},
    SiteInfo{Site::attn_scores, "attn.hook_attn_scores", true, "scores"},
    SiteInfo{Site::pattern, "attn.hook_pattern", true, "pattern"},
    SiteInfo{Site::normalizer, "attn.hook_normalizer", true, "normalizer"},
    SiteInfo{Site::threshold, "attn.hook_threshold", true, "threshold"},
    SiteInfo{Site::row_stats, "attn.hook_row_stats", true, "row_stats"},
    SiteInfo{Site::z, "attn.hook_z", true, "z"},
    SiteInfo{Site::attn_module_out, "attn.hook_out", true, "attn_module_out"},
    SiteInfo{Site::ln1_post_scale, "ln1_post.hook_scale", true, "ln1_post_scale"},
    SiteInfo{Site::ln1_post_normalized, "ln1_post.hook_normalized", true, "ln1_post_normalized"},
    SiteInfo{Site::attn_out, "hook_attn_out", true, "attn_out"},
    SiteInfo{Site::resid_mid, "hook_resid_mid", true, "resid_mid"},
    SiteInfo{Site::ln2_scale, "ln2.hook_scale", true, "ln2_scale"},
    SiteInfo{Site::ln2_normalized, "ln2.hook_normalized", true, "ln2_normalized"},
    SiteInfo{Site::router_logits, "mlp.hook_router_logits", true, "router_logits"},
    SiteInfo{Site::expert_weights, "mlp.hook_expert_weights", true, "expert_weights"},
    SiteInfo{Site::expert_indices, "mlp.hook_expert_indices", true, "expert_indices"},
    SiteInfo{Site::mlp_pre, "mlp.hook_pre", true, "mlp_pre"},
    SiteInfo{Site::mlp_pre_linear, "mlp.hook_pre_linear", true, "mlp_pre_linear"},
    SiteInfo{Site::mlp_post, "mlp.hook_post", true, "mlp_post"},
    SiteInfo{Site::mlp_module_out, "mlp.hook_out", true, "mlp_module_out"},
    SiteInfo{Site::ln2_post_scale, "ln2_post.hook_scale", true, "ln2_post_scale"},
    SiteInfo{Site::ln2_post_normalized, "ln2_post.hook_normalized", true, "ln2_post_normalized"},
    SiteInfo{Site::mlp_out, "hook_mlp_out", true, "mlp_out"},
    SiteInfo{Site::resid_post, "hook_resid_post", true, "resid_post"},
    SiteInfo{Site::final_scale, "ln_final.hook_scale", false, "final_scale"},
    SiteInfo{Site::final_normalized, "ln_final.hook_normalized", false, "final_normalized"},
    SiteInfo{Site::logits, "logits", false, "logits"},
};

const SiteInfo& info_of(Site site) { return sites[static_cast<std::size_t>(site)]; }

// '*' stands for any run of characters.
bool matches(std::string_view pattern, std::string_view name) {
  std::size_t p = 0, n = 0, star = std::string_view::npos, mark = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p, ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool in_default(const ModelSpec& spec, const ProbePoint& point) {
  switch (point.site) {
    case Site::resid_pre: case Site::resid_mid: case Site::v: case Site::z: return true;
    case Site::resid_post: return point.block + 1 == static_cast<int>(stack_of(spec, point)->blocks.size());
    default: return false;
  }
}

/// What cross attention has one of for each row of the source.
bool is_key_or_value(Site site) { return site == Site::k || site == Site::v || site == Site::rot_k; }

/// Sites that cross attention has of its own.
bool in_cross(Site site) {
  switch (site) {
    case Site::ln1_scale: case Site::ln1_normalized: case Site::q: case Site::k: case Site::v: case Site::rot_q: case Site::rot_k:
    case Site::attn_scores: case Site::pattern: case Site::normalizer: case Site::threshold: case Site::row_stats: case Site::z:
    case Site::attn_module_out: case Site::attn_out: case Site::resid_mid: return true;
    default: return false;
  }
}

/// The last part of a point's name. Between attention and mlp a decoder's block has cross attention, with a norm of its own.
std::string site_name(const ProbePoint& point) {
  const std::string name(info_of(point.site).name);
  if (point.stack != Stack::decoder) return name;
  if (name.starts_with("ln2.")) return "ln3." + name.substr(4);
  if (point.role != AttentionRole::cross) return name;
  if (name.starts_with("ln1.")) return "ln2." + name.substr(4);
  if (name.starts_with("attn.")) return "cross_" + name;
  return point.site == Site::attn_out ? "hook_cross_attn_out" : "hook_resid_mid_cross";
}

/// Maps are large; thresholds say nothing but under one kernel, whose recordings hold them anyway.
bool only_by_name(Site site) { return is_square(site) || site == Site::threshold; }

}  // namespace

std::string point_name(const ProbePoint& point) {
  if (point.site == Site::logits) return "logits";
  const SiteInfo& info = info_of(point.site);
  std::string name = point.stack == Stack::encoder ? "encoder." : point.stack == Stack::decoder ? "decoder." : "";
  if (point.stream == Stream::query) name += "query.";
  if (info.in_block) name += "blocks." + std::to_string(point.block) + ".";
  return name + site_name(point);
}

std::optional<ProbePoint> parse_point(std::string_view name) {
  ProbePoint point;
  const auto skip = [&name](std::string_view prefix) {
    const bool found = name.starts_with(prefix);
    if (found) name.remove_prefix(prefix.size());
    return found;
  };
  if (skip("encoder.")) point.stack = Stack::encoder;
  else if (skip("decoder.")) point.stack = Stack::decoder;
  if (skip("query.")) point.stream = Stream::query;
  const bool in_block = skip("blocks.");
  if (in_block) {
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), point.block);
    if (error != std::errc() || point.block < 0) return std::nullopt;
    name.remove_prefix(static_cast<std::size_t>(end - name.data()));
    if (!skip(".")) return std::nullopt;
  }
  for (const AttentionRole role : {AttentionRole::self, AttentionRole::cross}) {
    if (role == AttentionRole::cross && point.stack != Stack::decoder) continue;
    for (const SiteInfo& info : sites) {
      point.role = role;
      point.site = info.site;
      if (info.in_block == in_block && (role == AttentionRole::self || in_cross(info.site)) && site_name(point) == name) return point;
    }
  }
  return std::nullopt;
}

bool is_square(Site site) { return site == Site::pattern || site == Site::attn_scores; }

const ModelSpec* stack_of(const ModelSpec& spec, const ProbePoint& point) {
  if (point.stack == spec.stack) return &spec;
  return point.stack == Stack::encoder && !spec.encoder.empty() ? &spec.encoder.front() : nullptr;
}

namespace {

PointShape shape_outside_blocks(const ModelSpec& spec, const ProbePoint& point) {
  const auto one_row = [](bool there, std::size_t width) { return there ? PointShape{1, width} : PointShape{}; };
  if (point.role != AttentionRole::self) return {};
  switch (point.site) {
    case Site::embed: return one_row(point.stream == Stream::content, spec.token_width());
    case Site::pos_embed:  // added to what the tokens are projected to, or to the tokens
      return one_row(spec.learned_positions && point.stream == Stream::content, spec.projection_first ? spec.width : spec.token_width());
    case Site::final_scale: return one_row(spec.final_norm && point.stream == Stream::content, 1);
    case Site::final_normalized: return one_row(spec.final_norm && point.stream == Stream::content, spec.width);
    default: return one_row(spec.has_head && point.stream == Stream::content, spec.vocabulary);
  }
}

}  // namespace

/// Whether a block computes what a site shows; the others are there in every block.
static bool has_site(const BlockSpec& block, const AttentionSpec& attention, Site site) {
  switch (site) {
    case Site::q_norm_scale: case Site::q_norm_normalized: case Site::k_norm_scale: case Site::k_norm_normalized: return attention.qk_norm;
    case Site::ln1_post_scale: case Site::ln1_post_normalized: case Site::ln2_post_scale: case Site::ln2_post_normalized:
      return block.placement == NormPlacement::sandwich;
    case Site::ln2_scale: case Site::ln2_normalized: return block.placement != NormPlacement::parallel_shared;
    case Site::resid_mid: return !is_parallel(block.placement);
    case Site::router_logits: case Site::expert_weights: case Site::expert_indices: return block.mlp.experts > 0;
    case Site::mlp_pre: case Site::mlp_post: return block.mlp.experts == 0;
    case Site::mlp_pre_linear: return block.mlp.gated && block.mlp.experts == 0;
    default: return true;
  }
}

PointShape point_shape(const ModelSpec& model, const ProbePoint& point) {
  const ModelSpec* stack = stack_of(model, point);
  if (!stack) return {};
  const ModelSpec& spec = *stack;
  const bool in_block = info_of(point.site).in_block;
  if (!in_block) return shape_outside_blocks(spec, point);
  if (point.block < 0 || point.block >= static_cast<int>(spec.blocks.size())) return {};
  const BlockSpec& block = spec.blocks[static_cast<std::size_t>(point.block)];
  const bool cross = point.role == AttentionRole::cross;
  if (point.stream == Stream::query && (!spec.query_stream || is_key_or_value(point.site))) return {};
  if (cross && (!block.cross || !in_cross(point.site))) return {};
  const AttentionSpec& attention = cross ? *block.cross : block.attention;
  if (!has_site(block, attention, point.site)) return {};
  switch (point.site) {
    case Site::q: case Site::rot_q: case Site::z: return {attention.heads, attention.head_dim};
    case Site::k: case Site::rot_k: case Site::v: return {attention.kv_heads, attention.head_dim};
    case Site::attn_scores: case Site::pattern: return {attention.heads, 0};
    case Site::normalizer: case Site::threshold: return {attention.heads, 1};
    case Site::row_stats: return {attention.heads, 3};
    case Site::q_norm_scale: return {attention.heads, 1};
    case Site::q_norm_normalized: return {attention.heads, attention.head_dim};
    case Site::k_norm_scale: return {attention.kv_heads, 1};
    case Site::k_norm_normalized: return {attention.kv_heads, attention.head_dim};
    case Site::ln1_scale: case Site::ln2_scale: case Site::ln1_post_scale: case Site::ln2_post_scale: return {1, 1};
    case Site::router_logits: case Site::expert_weights: return {1, block.mlp.experts};
    case Site::expert_indices: return {1, block.mlp.experts_per_row};
    case Site::mlp_pre: case Site::mlp_post: case Site::mlp_pre_linear: return {1, block.mlp.width};
    default: return {1, spec.width};
  }
}

std::vector<ProbePoint> all_points(const ModelSpec& model) {
  std::vector<ProbePoint> points;
  const auto add = [&](const ProbePoint& point) {
    if (point_shape(model, point).heads > 0) points.push_back(point);
  };
  const auto add_block = [&](ProbePoint point, bool (*wanted)(Site)) {
    for (const SiteInfo& info : sites) {
      point.site = info.site;
      if (info.in_block && wanted(info.site)) add(point);
    }
  };
  const auto add_stack = [&](const ModelSpec& spec) {
    for (const Site site : {Site::embed, Site::pos_embed}) add({.stack = spec.stack, .site = site});
    for (int block = 0; block < static_cast<int>(spec.blocks.size()); ++block) {
      add_block({.stack = spec.stack, .block = block}, [](Site site) { return site <= Site::resid_mid; });
      add_block({.stack = spec.stack, .role = AttentionRole::cross, .block = block}, [](Site site) { return !is_key_or_value(site); });
      add_block({.stack = spec.stack, .block = block}, [](Site site) { return site > Site::resid_mid; });
      add_block({.stack = spec.stack, .stream = Stream::query, .block = block}, [](Site) { return true; });
    }
    for (const Site site : {Site::final_scale, Site::final_normalized, Site::logits}) add({.stack = spec.stack, .site = site});
  };
  for (const ModelSpec& encoder : model.encoder) {
    add_stack(encoder);
    for (int block = 0; block < static_cast<int>(model.blocks.size()); ++block) {
      add_block({.stack = model.stack, .role = AttentionRole::cross, .block = block}, is_key_or_value);
    }
  }
  add_stack(model);
  return points;
}

/// Short names of points, each once.
static std::string aliases_of(std::span<const ProbePoint> points) {
  std::string list;
  std::set<std::string_view> seen;
  for (const ProbePoint& point : points) {
    const std::string_view alias = info_of(point.site).alias;
    if (!alias.empty() && seen.insert(alias).second) list += (list.empty() ? "" : ", ") + std::string(alias);
  }
  return list;
}

std::vector<ProbePoint> select_points(const ModelSpec& spec, std::span<const std::string> words) {
  const std::vector<ProbePoint> every = all_points(spec);
  std::vector<bool> chosen(every.size(), false);
  for (const std::string& word : words) {
    bool hit = false;
    const bool wild = word == "all" || word.find('*') != std::string::npos;
    for (std::size_t i = 0; i < every.size(); ++i) {
      const bool wanted = word == "all" || (word == "default" && in_default(spec, every[i])) ||
                          word == info_of(every[i].site).alias || matches(word, point_name(every[i]));
      if (!wanted || (wild && only_by_name(every[i].site)) || every[i].stream == Stream::query) continue;
      chosen[i] = hit = true;
    }
    if (!hit) {
      throw Error({"--points", "a hook name (with *), default, all, or one of " + aliases_of(every), quoted(word), "see `vitrine list points`"}, Fault::usage);
    }
  }
  std::vector<ProbePoint> points;
  for (std::size_t i = 0; i < every.size(); ++i) {
    if (chosen[i]) points.push_back(every[i]);
  }
  return points;
}

}  // namespace vitrine
