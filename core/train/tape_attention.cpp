#include <algorithm>
#include <limits>

#include "core/base/error.h"
#include "core/train/tape_ops.h"

// Attention on the tape: factors are kept where the pass will write over them, the map is computed anew going back.

namespace vitrine {
namespace {

/// One head of keys or values where they lie. [kv_len, head_dim]
TensorView<const float, 2> head_of(const KvView& rows, std::size_t head) {
  return {reinterpret_cast<const float*>(rows.row(0, head)), {rows.kv_len, rows.head_dim}, {static_cast<std::size_t>(rows.row_bytes) / sizeof(float), 1}};
}

/// All heads of keys or values, copied so that the view looks at the copy.
void keep_rows(KvView& rows, Numbers& kept) {
  kept = {rows.kv_len, rows.kv_heads * rows.head_dim, std::vector<float>(rows.kv_len * rows.kv_heads * rows.head_dim)};
  for (std::size_t h = 0; h < rows.kv_heads; ++h) {
    for (std::size_t j = 0; j < rows.kv_len; ++j) std::copy_n(&head_of(rows, h)(j, 0), rows.head_dim, &kept.view()(j, h * rows.head_dim));
  }
  rows.rows = reinterpret_cast<const std::byte*>(kept.data.data());
  rows.row_bytes = static_cast<std::ptrdiff_t>(kept.cols * sizeof(float));
  rows.head_bytes = static_cast<std::ptrdiff_t>(rows.head_dim * sizeof(float));
}

/// Where a problem's factors lay in the pass.
struct Places {
  TensorView<const float, 3> q;  // [q_len, heads, head_dim]
  KvView k, v;
};

/// Adds what flows into keys or values. @param flow  [kv_len, kv_heads, head_dim], dense
void add_rows(const KvView& rows, const Numbers& flow, AdjointMemory& memory) {
  for (std::size_t h = 0; h < rows.kv_heads; ++h) {
    memory.add(head_of(rows, h), {flow.data.data() + h * rows.head_dim, {rows.kv_len, rows.head_dim}, {flow.cols, 1}});
  }
}

Numbers zeros_for(const KvView& rows) { return {rows.kv_len, rows.kv_heads * rows.head_dim, std::vector<float>(rows.kv_len * rows.kv_heads * rows.head_dim)}; }

TensorView<float, 3> as_heads(Numbers& numbers, std::size_t heads) { return {numbers.data.data(), {numbers.rows, heads, numbers.cols / heads}}; }

void give_maps(KeptProblem& kept, Numbers& pattern, Numbers& scores) {
  const std::size_t heads = kept.problem.q.extent(1), keys = kept.problem.k.kv_len;
  for (const KeptProblem::Rewritten& tile : kept.rewritten) {
    for (std::size_t i = 0; i < tile.flow.rows && !pattern.data.empty(); ++i) {
      std::copy_n(&tile.flow.view()(i, 0), keys, &as_heads(pattern, heads)(tile.row + i, tile.head, 0));
    }
  }
  for (const KeptProblem::MapRead& read : kept.reads) {
    read.give(TensorView<const float, 3>(as_heads(read.scores ? scores : pattern, heads)).slice(read.first_row, read.rows));
  }
  kept.rewritten.clear();
}

void pull_attention(Ops& ops, const Places& places, const Step& own, const Step& other, AdjointMemory& memory) {
  KeptProblem& kept = *own.attention;
  const AttentionProblem& problem = kept.problem;
  const std::size_t rows = problem.q.extent(0), heads = problem.q.extent(1), dim = problem.q.extent(2);
  Numbers flow = memory.take({problem.out.data(), {rows, heads * dim}, {problem.out.stride(0), 1}});
  if (flow.data.empty() && kept.reads.empty()) return;
  flow.data.resize(rows * heads * dim);
  const auto map_for = [&](bool of_scores) {
    const bool wanted = std::ranges::any_of(kept.reads, [&](const KeptProblem::MapRead& read) { return read.scores == of_scores; });
    return wanted ? Numbers{rows, heads * problem.k.kv_len, std::vector<float>(rows * heads * problem.k.kv_len)} : Numbers{};
  };
  Numbers q{rows, heads * dim, std::vector<float>(rows * heads * dim)}, k = zeros_for(problem.k), v = zeros_for(problem.v), pattern = map_for(false),
          scores = map_for(true);
  AttentionAdjoint adjoint{.problem = problem, .other = other.attention->problem, .rule = kept.rule, .z = as_heads(flow, heads), .q = as_heads(q, heads),
                           .k = as_heads(k, problem.k.kv_heads), .v = as_heads(v, problem.v.kv_heads)};
  if (!pattern.data.empty()) adjoint.pattern = as_heads(pattern, heads);
  if (!scores.data.empty()) adjoint.scores = as_heads(scores, heads);
  ops.attention_adjoint(adjoint);
  give_maps(kept, pattern, scores);
  memory.add({places.q.data(), {rows, heads * dim}, {places.q.stride(0), 1}}, q.view());
  add_rows(places.k, k, memory);
  add_rows(places.v, v, memory);
}

}  // namespace

std::shared_ptr<KeptProblem> TapeOps::keep(const AttentionProblem& problem, const PatternRule& rule) const {
  auto kept = std::make_shared<KeptProblem>();
  AttentionProblem& own = kept->problem = problem;
  kept->rule = rule;
  const std::size_t heads = problem.q.extent(1), dim = problem.q.extent(2);
  VITRINE_CHECK(problem.q.stride(1) == dim && problem.out.stride(1) == dim && problem.k.type == DType::f32 && problem.v.type == DType::f32);
  kept->q = copy_of({problem.q.data(), {problem.q.extent(0), heads * dim}, {problem.q.stride(0), 1}});
  own.q = {kept->q.data.data(), {problem.q.extent(0), heads, dim}};
  if (!stored_.contains(problem.k.rows)) keep_rows(own.k, kept->k);
  if (!stored_.contains(problem.v.rows)) keep_rows(own.v, kept->v);
  if (!problem.threshold.empty()) {
    kept->threshold = copy_of(problem.threshold);
    own.threshold = kept->threshold.view();
  }
  own.normalizer = {};
  own.stats = {};
  ContentByDistance& content = own.score.content;
  if (!content.empty()) {
    kept->r = copy_of({content.r.data(), {content.r.extent(0), heads * dim}, {content.r.stride(0), 1}});
    content.r = {kept->r.data.data(), {content.r.extent(0), heads, dim}};
  }
  if (!own.score.allowed.empty()) {
    const BitView& bits = problem.score.allowed;
    const std::size_t words = bits.row_words == 0 ? BitView::words_of(bits.first_bit + bits.columns)
                                                  : (bits.rows - 1) * bits.row_words + BitView::words_of(bits.first_bit + bits.columns);
    kept->allowed.assign(bits.words, bits.words + words);
    own.score.allowed.words = kept->allowed.data();
  }
  return kept;
}

void TapeOps::attend(const KernelChoice& kernel, std::span<const AttentionProblem> problems, std::span<std::byte> scratch) {
  std::vector<AttentionProblem> run(problems.begin(), problems.end());
  std::vector<Numbers> thresholds(run.size());
  for (std::size_t i = 0; i < run.size(); ++i) {
    const bool needed = kernel.kernel->rule(kernel.options).kind == PatternKind::softmax_top_k && run[i].threshold.empty();
    if (!needed) continue;
    thresholds[i] = {run[i].q.extent(0), run[i].q.extent(1), std::vector<float>(run[i].q.extent(0) * run[i].q.extent(1), -std::numeric_limits<float>::infinity())};
    run[i].threshold = thresholds[i].view();
  }
  base_.attend(kernel, run, scratch);
  current_.clear();
  read_scores_ = read_weights_ = 0;
  for (const AttentionProblem& problem : run) {
    current_.push_back(keep(problem, kernel.kernel->rule(kernel.options).in_layer(problem.layer)));
    tape_.push({.attention = current_.back(), .pull = [this, places = Places{problem.q, problem.k, problem.v}](const Step& own, const Step& other, AdjointMemory& memory) {
      pull_attention(base_, places, own, other, memory);
    }});
  }
}

void TapeOps::read_map(KeptProblem::MapRead read) {
  std::size_t& done = read.scores ? read_scores_ : read_weights_;
  std::size_t first = done;
  done += read.rows;
  for (const std::shared_ptr<KeptProblem>& kept : current_) {
    const std::size_t rows = kept->problem.q.extent(0);
    if (first < rows) {
      VITRINE_CHECK(first + read.rows <= rows);
      read.first_row = first;
      return kept->reads.push_back(std::move(read));
    }
    first -= rows;
  }
  VITRINE_CHECK(!"rows of a map");
}

/// z = W V where W was written: dV += W^T G and, for whoever reads, dW = G V^T.
void TapeOps::weigh_values(const HeadTile& tile, TensorView<const float, 2> weights) {
  base_.weigh_values(tile, weights);
  const auto same = [&](const std::shared_ptr<KeptProblem>& kept) { return kept->problem.out.data() == tile.problem.out.data(); };
  const auto found = std::ranges::find_if(current_, same);
  VITRINE_CHECK(found != current_.end());
  Step step;
  step.kept.push_back(copy_of(weights));
  const KvView values = tile.problem.v;
  const std::size_t dim = values.head_dim, kv_head = tile.head / (tile.problem.q.extent(1) / values.kv_heads);
  const TensorView<const float, 2> out{&tile.problem.out(tile.row, tile.head, 0), {weights.extent(0), dim}, {tile.problem.out.stride(0), 1}};
  step.pull = [out, values, kv_head, head = tile.head, row = tile.row, kept = *found](const Step& own, const Step& other, AdjointMemory& memory) {
    Numbers flow = memory.take(out);
    if (flow.data.empty()) return;
    const TensorView<const float, 2> held = head_of(kept->problem.v, kv_head);
    if (&own != &other) throw Error({"difference of two texts", "attention that nobody wrote", "written weights", "use a method of gradients"}, Fault::usage);
    Numbers into_values{values.kv_len, values.head_dim, std::vector<float>(values.kv_len * values.head_dim)}, into_weights{flow.rows, values.kv_len, std::vector<float>(flow.rows * values.kv_len)};
    for (std::size_t i = 0; i < flow.rows; ++i) {
      for (std::size_t j = 0; j < values.kv_len; ++j) {
        double sum = 0.0;
        for (std::size_t d = 0; d < flow.cols; ++d) {
          into_values.view()(j, d) += own.kept[0].view()(i, j) * flow.view()(i, d);
          sum += static_cast<double>(flow.view()(i, d)) * held(j, d);
        }
        into_weights.view()(i, j) = static_cast<float>(sum);
      }
    }
    memory.add(head_of(values, kv_head), into_values.view());
    kept->rewritten.push_back({head, row, std::move(into_weights)});
  };
  tape_.push(std::move(step));
}

}  // namespace vitrine
