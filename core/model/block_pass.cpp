#include "core/model/block_pass.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>

#include "core/base/error.h"
#include "core/model/block_slots_internal.h"
#include "core/model/distance_bias.h"
#include "core/model/kernel_check.h"

namespace vitrine {

namespace {

/// Terms by distance, those of segments only where the text has them.
void add_content(const ContentByDistance& content, const ContentByDistance& segments, ScoreRule& score) {
  score.content = content;
  score.content.query_segment = segments.query_segment;
  score.content.key_segment = segments.key_segment;
  if (segments.key_segment.empty()) score.content.segment = {};
}

/// The same problems, a few queries of one text over a cache of fewer bits than f32 one by one, as decoding brings them: with several at
/// once kernels read such a cache in another order. Tokens that are checked beside each other come out as if each came alone, in every bit.
std::pmr::vector<AttentionProblem> with_few_queries_apart(std::span<const AttentionProblem> problems, std::pmr::memory_resource* lists) {
  constexpr std::size_t few_rows = 8;  // as many as products multiply in one way
  std::pmr::vector<AttentionProblem> apart(lists);
  for (const AttentionProblem& problem : problems) {
    const std::size_t count = problem.q.extent(0);
    if (problem.k.type == DType::f32 || count > few_rows) {
      apart.push_back(problem);
      continue;
    }
    for (std::size_t row = 0; row < count; ++row) {
      AttentionProblem one = problem;
      one.q = problem.q.slice(row, 1), one.out = problem.out.slice(row, 1), one.q_start = problem.q_start + row;
      if (!problem.normalizer.empty()) one.normalizer = problem.normalizer.slice(row, 1);
      if (!problem.threshold.empty()) one.threshold = problem.threshold.slice(row, 1);
      if (!problem.stats.empty()) one.stats = problem.stats.slice(row, 1);
      if (problem.score.mask == Mask::causal) one.k.kv_len = one.v.kv_len = one.q_start + 1;
      apart.push_back(one);
    }
  }
  return apart;
}

}  // namespace

TensorView<float, 2> BlockPass::matrix(std::size_t slot, std::size_t cols) const {
  return context_.workspace.matrix(content_ ? slot + query_slots : slot, live_rows_, cols);
}

const Weight* BlockPass::weight(Role role, int block, bool bias) const {
  return context_.model.weights.find({role, block, bias, spec_.stack});
}

/// SmolLM2 in Q8_0, KL to exact of `vitrine bench` with 8 bits in these products alone: q, k, v 4.1e-3 nats more than without, gate
/// and up 1.8e-3, down 2.3e-3, the attention's output below 1e-4, the head 1.9e-3.
static bool is_coarse(Role role) {
  return role == Role::attn_out || role == Role::cross_out || role == Role::mlp_gate || role == Role::mlp_up || role == Role::mlp_down;
}

Product BlockPass::product(Role role, int block, TensorView<float, 2> out, int expert) const {
  const WeightStore& weights = context_.model.weights;
  return {&weights.at({role, block, false, spec_.stack, expert}), weights.find({role, block, true, spec_.stack, expert}), out, is_coarse(role)};
}

void BlockPass::show(const ProbePoint& point, TensorView<float, 2> values) const {
  if (context_.taps.wants(point)) context_.taps.show(point, rows_.rows, as_heads(values, 1, values.extent(1)));
}

void BlockPass::show_heads(const ProbePoint& point, TensorView<float, 3> values) const {
  if (context_.taps.wants(point)) context_.taps.show(point, rows_.rows, values);
}

/// Rows of the position table.
std::pmr::vector<std::int32_t> BlockPass::table_positions() const {
  std::pmr::vector<std::int32_t> places(context_.workspace.lists());
  const auto offset = static_cast<std::int32_t>(spec_.position_offset);
  std::size_t row = 0;
  for (const Segment& segment : rows_.segments) {
    std::int32_t uncounted = 0;
    for (const TokenId id : segment.ids) {
      const bool counts = !spec_.uncounted_token || id != *spec_.uncounted_token;
      uncounted += counts ? 0 : 1;
      places.push_back(counts ? static_cast<std::int32_t>(rows_.positions[row]) - uncounted + offset : offset - 1);
      ++row;
    }
  }
  return places;
}

TensorView<float, 2> BlockPass::embed() {
  Ops& ops = context_.ops;
  const std::size_t width = spec_.token_width();
  lay_out_distances();
  if (spec_.query_stream) lay_out_permutation();
  TensorView<float, 2> stream = matrix(stream_a, width);
  ops.gather(*weight(Role::token_embedding, -1), rows_.ids, spec_.embedding_scale, stream);
  show(at(-1, Site::embed), stream);
  if (spec_.token_types > 0) {
    std::pmr::vector<std::int32_t> types(context_.workspace.lists());
    for (const Segment& segment : rows_.segments) {
      for (std::size_t i = 0; i < segment.ids.size(); ++i) types.push_back(segment.types.empty() ? 0 : segment.types[i]);
    }
    TensorView<float, 2> rows = matrix(type_rows, width);
    ops.gather(*weight(Role::type_embedding, -1), types, 1.0f, rows);
    ops.add(stream, rows, stream);
  }
  if (!spec_.projection_first) add_positions(stream);
  if (spec_.embedding_norm) {
    const TensorView<float, 2> sum = stream;
    stream = matrix(stream_b, width);
    const BlockSpec& block = spec_.blocks.front();
    ops.normalize({block.norm, block.norm_epsilon, weight(Role::embedding_norm, -1), weight(Role::embedding_norm, -1, true)},
                  sum, stream, {});
  }
  if (spec_.embedding_width == 0) return stream;
  TensorView<float, 2> out = matrix(spec_.embedding_norm ? stream_a : stream_b, spec_.width);
  const Product projection[] = {product(Role::embedding_projection, -1, out)};
  ops.multiply(stream, projection);
  return spec_.projection_first ? add_positions(out) : out;
}

TensorView<float, 2> BlockPass::enter(TensorView<float, 2> before) {
  lay_out_distances();
  if (spec_.query_stream) lay_out_permutation();
  const bool in_a = context_.workspace.floats(stream_a, 1) == before.data();  // which must not grow while it is read
  const TensorView<float, 2> stream = matrix(in_a ? stream_b : stream_a, spec_.width);
  std::pmr::vector<std::size_t> places(before.extent(0), context_.workspace.lists());
  std::iota(places.begin(), places.end(), std::size_t{0});
  if (!places.empty()) context_.ops.select(before, places, stream.slice(0, places.size()));
  for (std::size_t s = 0; s < rows_.segments.size(); ++s) {
    if (rows_.first_row[s] < before.extent(0)) continue;
    const TensorView<const float, 2> from = rows_.segments[s].residual;
    for (std::size_t r = 0; r < from.extent(0); ++r) std::copy_n(&from(r, 0), spec_.width, &stream(rows_.first_row[s] + r, 0));
    context_.ops.wrote(stream.slice(rows_.first_row[s], from.extent(0)));
  }
  return stream;
}

TensorView<float, 2> BlockPass::add_positions(TensorView<float, 2> stream) {
  if (!spec_.learned_positions) return stream;
  TensorView<float, 2> rows = matrix(position_rows, stream.extent(1));
  context_.ops.gather(*weight(Role::position_embedding, -1), table_positions(), 1.0f, rows);
  show(at(-1, Site::pos_embed), rows);
  context_.ops.add(stream, rows, stream);
  return stream;
}

TensorView<float, 2> BlockPass::normalize(int index, const NormSites& sites, TensorView<float, 2> x, std::size_t slot) {
  const ModelSpec& spec = spec_;
  const BlockSpec& block = spec.blocks[index < 0 ? spec.blocks.size() - 1 : static_cast<std::size_t>(index)];
  const ProbePoint scale_point = at(index, sites.scale, sites.of), point = at(index, sites.normalized, sites.of);
  const Weight* gain = weight(sites.role, index);
  TensorView<float, 2> out = matrix(slot, spec.width), raw, scale;
  if (context_.taps.wants(scale_point)) scale = matrix(norm_scale, 1);
  const bool show_raw = block.norm == NormKind::rms && context_.taps.wants(point);
  if (show_raw) raw = matrix(normed_raw, spec.width);
  const Weight* bias = weight(sites.role, index, true);
  context_.ops.normalize({block.norm, block.norm_epsilon, show_raw ? nullptr : gain, bias}, x, show_raw ? raw : out, scale);
  if (!scale.empty()) show(scale_point, scale);
  show(point, show_raw ? raw : out);  // rms norm: before the weight; layer norm: after weight and bias
  if (show_raw) context_.ops.scale_columns(gain, raw, out);
  return out;
}

/// Of every head with the same weight, into columns of one buffer; the queries' and the keys' lie side by side.
/// @param x  [rows, heads, head_dim]
TensorView<float, 3> BlockPass::normalize_heads(int index, const NormSites& sites, TensorView<float, 3> x, std::size_t column) {
  const BlockSpec& block = spec_.blocks[static_cast<std::size_t>(index)];
  const std::size_t heads = x.extent(1), dim = x.extent(2), all_heads = block.attention.heads + block.attention.kv_heads;
  const ProbePoint scale_point = at(index, sites.scale), point = at(index, sites.normalized);
  const bool show_scale = context_.taps.wants(scale_point), show_raw = context_.taps.wants(point);
  const auto heads_of = [&](std::size_t slot, std::size_t width) {
    return as_heads(columns(matrix(slot, all_heads * width), column * width, heads * width), heads, width);
  };
  const TensorView<float, 3> out = heads_of(qk_normed, dim), raw = show_raw ? heads_of(qk_normed_raw, dim) : TensorView<float, 3>{},
                             scale = show_scale ? heads_of(qk_norm_scale, 1) : TensorView<float, 3>{};
  const Weight* gain = weight(sites.role, index);
  // A head's rows or a row's heads in one call: as few calls as can be.
  const bool by_row = x.extent(0) < heads;
  const auto part = [&](TensorView<float, 3> of, std::size_t i) -> TensorView<float, 2> {
    if (of.empty()) return {};
    if (by_row) return {&of(i, 0, 0), {heads, of.extent(2)}, {of.stride(1), 1}};
    return {&of(0, i, 0), {of.extent(0), of.extent(2)}, {of.stride(0), 1}};
  };
  for (std::size_t i = 0; i < (by_row ? x.extent(0) : heads); ++i) {
    context_.ops.normalize({NormKind::rms, block.norm_epsilon, show_raw ? nullptr : gain, nullptr}, part(x, i), part(show_raw ? raw : out, i), part(scale, i));
  }
  if (show_scale) show_heads(scale_point, scale);
  if (!show_raw) return out;
  show_heads(point, raw);
  for (std::size_t i = 0; i < (by_row ? x.extent(0) : heads); ++i) context_.ops.scale_columns(gain, part(raw, i), part(out, i));
  return out;
}

/// What a module adds to the residual stream, from what it puts out.
TensorView<float, 2> BlockPass::contribution(int index, const NormSites& sites, TensorView<float, 2> out) {
  if (spec_.blocks[static_cast<std::size_t>(index)].placement != NormPlacement::sandwich) return out;
  return normalize(index, sites, out, module_normed);
}

TensorView<float, 2> BlockPass::block(int index, TensorView<float, 2> residual) {
  const ModelSpec& spec = spec_;
  const NormPlacement placement = spec.blocks[static_cast<std::size_t>(index)].placement;
  const bool post = placement == NormPlacement::post, parallel = is_parallel(placement);
  Ops& ops = context_.ops;
  show(at(index, Site::resid_pre), residual);
  const NormSites first{Role::attn_norm, Site::ln1_scale, Site::ln1_normalized};
  const NormSites second{Role::mlp_norm, Site::ln2_scale, Site::ln2_normalized};

  const TensorView<float, 2> input = post ? residual : normalize(index, first, residual, normed);
  TensorView<float, 2> attn_out = attention(index, input);
  if (live_rows_ == 0) return attn_out;
  if (is_last(index) && !rows_.first_wanted.empty()) residual = wanted_rows(residual);
  show(at(index, Site::attn_module_out), attn_out);
  attn_out = contribution(index, {Role::attn_post_norm, Site::ln1_post_scale, Site::ln1_post_normalized}, attn_out);
  show(at(index, Site::attn_out), attn_out);
  TensorView<float, 2> resid_mid = matrix(mid, spec.width);
  ops.add(residual, attn_out, resid_mid);
  if (!parallel) show(at(index, Site::resid_mid), resid_mid);

  TensorView<float, 2> base = post ? normalize(index, first, resid_mid, mid_normed) : resid_mid;
  if (spec.blocks[static_cast<std::size_t>(index)].cross) resid_mid = base = cross_block(index, base, post);
  const TensorView<float, 2> mlp_input = post ? base : placement == NormPlacement::parallel_shared ? input
                                                     : normalize(index, second, parallel ? residual : base, normed);
  TensorView<float, 2> mlp_out = mlp(index, mlp_input);
  show(at(index, Site::mlp_module_out), mlp_out);
  mlp_out = contribution(index, {Role::mlp_post_norm, Site::ln2_post_scale, Site::ln2_post_normalized}, mlp_out);
  show(at(index, Site::mlp_out), mlp_out);
  TensorView<float, 2> out = matrix(residual.data() == matrix(stream_a, spec.width).data() ? stream_b : stream_a, spec.width);
  ops.add(base, mlp_out, out);
  show(at(index, Site::resid_post), out);
  if (!post) return out;
  return normalize(index, second, out, out.data() == matrix(stream_a, spec.width).data() ? stream_b : stream_a);
}

TensorView<float, 2> BlockPass::attention(int index, TensorView<float, 2> input) {
  if (content_) return query_attention(index, input);
  const AttentionSpec& spec = spec_.blocks[static_cast<std::size_t>(index)].attention;
  const std::size_t q_width = spec.heads * spec.head_dim, kv_width = spec.kv_heads * spec.head_dim;
  TensorView<float, 2> fused = matrix(qkv, q_width + 2 * kv_width);  // [row, q | k | v]
  TensorView<float, 2> q_rows = columns(fused, 0, q_width), k_rows = columns(fused, q_width, kv_width),
                       v_rows = columns(fused, q_width + kv_width, kv_width);
  const Product products[] = {product(Role::attn_q, index, q_rows), product(Role::attn_k, index, k_rows),
                              product(Role::attn_v, index, v_rows)};
  context_.ops.multiply(input, products);
  TensorView<float, 3> q = as_heads(q_rows, spec.heads, spec.head_dim), k = as_heads(k_rows, spec.kv_heads, spec.head_dim),
                       v = as_heads(v_rows, spec.kv_heads, spec.head_dim);
  show_heads(at(index, Site::q), q);
  show_heads(at(index, Site::k), k);
  show_heads(at(index, Site::v), v);
  if (spec.qk_norm) {
    q = normalize_heads(index, {Role::attn_q_norm, Site::q_norm_scale, Site::q_norm_normalized}, q, 0);
    k = normalize_heads(index, {Role::attn_k_norm, Site::k_norm_scale, Site::k_norm_normalized}, k, spec.heads);
  }
  rotate(spec, q);
  rotate(spec, k);
  show_heads(at(index, Site::rot_q), q);
  show_heads(at(index, Site::rot_k), k);
  attend(index, q, k, v);
  return project_out(index);
}

TensorView<float, 2> BlockPass::project_out(int index) {
  const AttentionSpec& spec = spec_.blocks[static_cast<std::size_t>(index)].attention;
  TensorView<float, 2> out = matrix(module_out, spec_.width);
  if (live_rows_ == 0) return out;
  const Product projection[] = {product(Role::attn_out, index, out)};
  context_.ops.multiply(matrix(attention_z, spec.heads * spec.head_dim), projection);
  return out;
}

void BlockPass::rotate(const AttentionSpec& spec, TensorView<float, 3> x) {
  if (spec.rope == RopeKind::none) return;
  if (spec.rope_far_factors.empty()) return context_.ops.rotate(spec, RopeReach::near, rows_.positions, x, x);
  for (std::size_t s = 0; s < rows_.segments.size(); ++s) {
    const std::size_t first = rows_.first_row[s], count = rows_.segments[s].ids.size();
    const TensorView<float, 3> rows = x.slice(first, count);
    context_.ops.rotate(spec, rows_.segments[s].cache->reach(), std::span(rows_.positions).subspan(first, count), rows, rows);
  }
}

/// Keys and values from position `start` on into the segment's cache, as it holds them; queries turn with the keys.
void BlockPass::append(int index, const Segment& segment, std::size_t start, const HeadRows& rows) {
  KvCache& cache = *segment.cache;
  if (segment.shared > 0) cache.copy_rows(static_cast<std::size_t>(index), *segment.shared_from, segment.shared);
  if (cache.format().hadamard) context_.ops.hadamard(rows.q, rows.q);
  store(index, cache, start, rows);
}

void BlockPass::store(int index, KvCache& cache, std::size_t start, const HeadRows& rows) {
  const auto block = static_cast<std::size_t>(index);
  if (cache.format().hadamard) {
    for (const TensorView<float, 3>& x : {rows.k, rows.v}) context_.ops.hadamard(x, x);
  }
  const auto put = [&](TensorView<const float, 3> x, std::byte* target) {
    bool fits = true;
    for (std::size_t h = 0; h < x.extent(1); ++h) {
      fits &= context_.ops.store({&x(0, h, 0), {x.extent(0), x.extent(2)}, {x.stride(0), 1}}, cache.format().type,
                                 target + h * cache.head_bytes(block), cache.row_bytes(block));
    }
    return fits;
  };
  const bool keys_fit = put(rows.k, cache.key_row(block, start)), values_fit = put(rows.v, cache.value_row(block, start));
  if (keys_fit && values_fit) return;
  const char* most = cache.format().type == DType::q8_0 ? "8319008" : "65504";  // 127 times the largest half, or that itself
  throw Error({"block " + std::to_string(index), std::string(keys_fit ? "values" : "keys") + " up to " + most + ", for a cache in " +
               kv_format_name(cache.format()), "larger ones", "use --kv f32"});
}

/// What the heads of turned caches put out.
void BlockPass::turn_back(const KvCache* cache, std::span<const AttentionProblem> problems) {
  if (!cache || !cache->format().hadamard) return;
  for (const AttentionProblem& problem : problems) context_.ops.hadamard(problem.out, problem.out);
}

TensorView<float, 2> BlockPass::wanted_rows(TensorView<float, 2> residual) {
  TensorView<float, 2> kept = matrix(last_residual, residual.extent(1));
  std::pmr::vector<std::size_t> rows(context_.workspace.lists());
  for (std::size_t s = 0; s < rows_.segments.size(); ++s) {
    for (std::size_t r = rows_.dropped(s); r < rows_.segments[s].ids.size(); ++r) rows.push_back(rows_.first_row[s] + r);
  }
  context_.ops.select(residual, rows, kept);
  return kept;
}

void BlockPass::attend(int index, TensorView<float, 3> q, TensorView<float, 3> k, TensorView<float, 3> v) {
  const auto block = static_cast<std::size_t>(index);
  if (is_last(index)) {
    for (std::size_t s = 0; s < rows_.segments.size(); ++s) live_rows_ -= rows_.dropped(s);
  }
  std::pmr::vector<AttentionProblem> problems(context_.workspace.lists());
  for (std::size_t s = 0; s < rows_.segments.size(); ++s) {
    const Segment& segment = rows_.segments[s];
    const std::size_t first = rows_.first_row[s], count = segment.ids.size(), start = rows_.positions[first];
    const std::size_t dropped = is_last(index) ? rows_.dropped(s) : 0;
    AttentionProblem problem{.q = q.slice(first + dropped, count - dropped), .k = view_of(k.slice(first, count)),
                             .v = view_of(v.slice(first, count)), .out = {}};
    if (!first_word_.empty()) problem.score.allowed = seen_by_content(s);
    if (!segment.types.empty()) problem.score.content.query_segment = problem.score.content.key_segment = segment.types;
    if (segment.cache) {
      append(index, segment, start, {q.slice(first, count), k.slice(first, count), v.slice(first, count)});
      problem.k = segment.cache->keys(block, start + count);
      problem.v = segment.cache->values(block, start + count);
    }
    problem.q_start = start + dropped;
    if (count > dropped) problems.push_back(problem);
  }
  solve(index, AttentionRole::self, problems);
}

void BlockPass::solve(int index, AttentionRole role, std::span<AttentionProblem> problems) {
  if (problems.empty()) return;
  const BlockSpec& block = spec_.blocks[static_cast<std::size_t>(index)];
  const AttentionSpec& spec = role == AttentionRole::cross ? *block.cross : block.attention;
  const ProbePoint normalizer_point = at(index, Site::normalizer, role), stats_point = at(index, Site::row_stats, role),
                   threshold_point = at(index, Site::threshold, role);
  const TensorView<float, 3> z = as_heads(matrix(attention_z, spec.heads * spec.head_dim), spec.heads, spec.head_dim);
  const TensorView<float, 2> log_sums = matrix(normalizer, spec.heads), sums = matrix(row_stats, spec.heads * 3);
  static_assert(sizeof(RowStats) == 3 * sizeof(float));
  const bool wants_map = wants_maps({index, role}), wants_stats = context_.taps.wants(stats_point);
  const bool wants_threshold = context_.taps.wants(threshold_point) || wants_map;
  const bool wants_normalizer = context_.taps.wants(normalizer_point) || wants_map;
  TensorView<float, 2> thresholds;
  if (wants_threshold) {
    thresholds = matrix(threshold, spec.heads);
    std::fill_n(thresholds.data(), thresholds.size(), -std::numeric_limits<float>::infinity());
  }
  const bool own = role == AttentionRole::self;
  const ContentByDistance content = own ? content_by_distance(index) : ContentByDistance{};
  const DistanceBias bias = own ? distance_bias(spec_, context_.model.weights, index) : DistanceBias{};
  std::size_t row = 0;
  for (AttentionProblem& problem : problems) {
    const std::size_t count = problem.q.extent(0);
    problem.out = z.slice(row, count);
    problem.layer = static_cast<std::size_t>(index);
    const ScoreRule asked = problem.score;  // what depends on the segment
    problem.score = {.scale = spec.scale, .soft_cap = spec.soft_cap, .mask = spec.mask, .window = spec.window};
    problem.score.allowed = asked.allowed;
    if (!content.empty()) add_content(content, asked.content, problem.score);
    problem.score.by_distance = bias;
    if (!content.empty() && context_.taps.wants(at(index, Site::rot_q))) {
      context_.taps.show_rule(at(index, Site::rot_q), std::span(rows_.rows).subspan(row, count), problem.score);
    }
    if (wants_normalizer) problem.normalizer = log_sums.slice(row, count);
    if (wants_threshold) problem.threshold = thresholds.slice(row, count);
    if (wants_stats) problem.stats = {reinterpret_cast<RowStats*>(&sums(row, 0)), {count, spec.heads}};
    row += count;
    require_kernel(context_.kernel, context_.model.spec, problem);
  }
  run_kernel(problems);
  show_maps({index, role}, problems);
  const Segment& front = rows_.segments.front();  // all caches are of one format
  turn_back(role == AttentionRole::cross ? front.memory : front.cache, problems);
  if (wants_normalizer) show_heads(normalizer_point, as_heads(log_sums, spec.heads, 1));
  if (wants_threshold) show_heads(threshold_point, as_heads(thresholds, spec.heads, 1));
  if (wants_stats) show_heads(stats_point, as_heads(sums, spec.heads, 3));
  show_heads(at(index, Site::z, role), z);
}

void BlockPass::run_kernel(std::span<const AttentionProblem> whole) {
  const AttentionKernel& kernel = *context_.kernel.kernel;
  const std::pmr::vector<AttentionProblem> problems = with_few_queries_apart(whole, context_.workspace.lists());
  const std::size_t scratch = kernel.scratch_bytes(problems, context_.kernel.options, context_.ops.pool().threads());
  auto* bytes = reinterpret_cast<std::byte*>(context_.workspace.floats(attention_scratch, scratch / sizeof(float) + 16));
  context_.ops.attend(context_.kernel, problems, {bytes, scratch});
}

TensorView<float, 2> BlockPass::mlp(int index, TensorView<float, 2> input) {
  return spec_.blocks[static_cast<std::size_t>(index)].mlp.experts > 0 ? expert_mlp(index, input) : dense_mlp(index, input);
}

TensorView<float, 2> BlockPass::dense_mlp(int index, TensorView<float, 2> input) {
  const MlpSpec& spec = spec_.blocks[static_cast<std::size_t>(index)].mlp;
  TensorView<float, 2> pre = matrix(gate, spec.width), linear;
  if (spec.gated) {
    linear = matrix(up, spec.width);
    const Product products[] = {product(Role::mlp_gate, index, pre), product(Role::mlp_up, index, linear)};
    context_.ops.multiply(input, products);
    show(at(index, Site::mlp_pre), pre);
    show(at(index, Site::mlp_pre_linear), linear);
  } else {
    const Product products[] = {product(Role::mlp_up, index, pre)};
    context_.ops.multiply(input, products);
    show(at(index, Site::mlp_pre), pre);
  }
  TensorView<float, 2> post = matrix(activated, spec.width);
  context_.ops.activate(spec.activation, pre, linear, post);
  show(at(index, Site::mlp_post), post);
  TensorView<float, 2> out = matrix(mlp_result, spec_.width);
  const Product products[] = {product(Role::mlp_down, index, out)};
  context_.ops.multiply(post, products);
  return out;
}

TensorView<float, 2> BlockPass::finish(TensorView<float, 2> residual) {
  if (!spec_.final_norm) return residual;
  return normalize(-1, {Role::final_norm, Site::final_scale, Site::final_normalized}, residual, final_rows);
}

}  // namespace vitrine
