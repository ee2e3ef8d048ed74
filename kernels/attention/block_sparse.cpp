// History, causal, 9 heads x 64, F32 cache, two threads of Zen 4, a band of the test's options: 1.5 to 2.0 ms at 512 tokens, 8.3 ms at 2,048,
// 0.30 of flash. flash's own tiles over the keys of a band; single strided or random keys are gathered into tiles first.
#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <type_traits>
#include <vector>

#include "core/base/error.h"
#include "kernels/kernels.h"
#include "kernels/pattern/pattern.h"

// The key blocks that a block of queries sees lie in a few runs. Each run is a problem of its own over a part of the keys,
// which `flash` computes; the runs of a row are joined by their log-sum-exps, in order. Blocks outside are never read.

namespace vitrine {

const AttentionKernel& attention_kernel_flash();

namespace {

constexpr std::string_view name = "block_sparse";
constexpr double minus_infinity = -std::numeric_limits<double>::infinity();

PatternRule banded(const KernelOptions& options) {
  static constexpr std::string_view known[] = {"pattern", "block", "window", "stride", "dense_every"};
  refuse_other_options(name, options, known);
  return {.kind = PatternKind::softmax_blocks,
          .blocks = {.size = optional_count(name, options, "block", 64),
                     .window = required_count(name, options, "window"),
                     .stride = optional_count(name, options, "stride", 0)},
          .dense_every = optional_count(name, options, "dense_every", 0)};
}

/// What is not given is the paper's base model: three blocks in the window, two global, three random ones.
PatternRule bigbird(const KernelOptions& options) {
  static constexpr std::string_view known[] = {"pattern", "block", "window", "global", "random", "seed", "dense_every"};
  refuse_other_options(name, options, known);
  const std::size_t random = optional_count(name, options, "random", 3);
  if (random > most_random_blocks) {
    throw Error({"--kernel block_sparse", "random=N of at most " + std::to_string(most_random_blocks), std::to_string(random), ""}, Fault::usage);
  }
  return {.kind = PatternKind::softmax_blocks,
          .seed = optional_count(name, options, "seed", 1),
          .blocks = {.size = optional_count(name, options, "block", 64),
                     .window = optional_count(name, options, "window", 2),
                     .global = optional_count(name, options, "global", 2),
                     .random = random},
          .dense_every = optional_count(name, options, "dense_every", 0)};
}

PatternRule rule(const KernelOptions& options) {
  const auto found = options.named.find("pattern");
  const std::string pattern = found == options.named.end() ? "" : found->second;
  if (pattern == "banded") return banded(options);
  if (pattern == "bigbird") return bigbird(options);
  throw Error({"--kernel block_sparse", "pattern=banded or pattern=bigbird", pattern.empty() ? "none" : quoted(pattern),
               "for example block_sparse:pattern=banded,window=4,dense_every=2 or block_sparse:pattern=bigbird"}, Fault::usage);
}

std::string refuses(const AttentionProblem& problem, const KernelOptions&) {
  if (problem.score.mask == Mask::none && problem.score.window > 0) return "a causal mask where the model has a window of its own";
  return attention_kernel_flash().refuses(problem, {});
}

/// Some positions of a problem, all in one block of queries, and how far their runs have been worked off.
struct Strip {
  const AttentionProblem* problem;
  std::size_t first, count;  // rows of the problem
  std::size_t size;          // positions of a block
  std::size_t next;          // key block
  KeyBlocks blocks;
  // Of the run at hand; the last three are [count, heads] and so is the total below. The first run goes to the problem's own output.
  KeyBlocks::Run run;
  float* out;  // [count, heads, head_dim]
  float* normalizer;
  RowStats* stats;
  float* total;  // normalizer of the runs so far

  std::size_t position() const { return problem->q_start + first; }
  std::size_t heads() const { return problem->q.extent(1); }
  std::size_t run_begin() const { return run.begin * size; }
  std::size_t run_end() const { return std::min(run.end * size, problem->k.kv_len); }
  bool run_is_later() const { return run_begin() > position(); }
};
static_assert(std::is_trivially_copyable_v<Strip> && std::is_trivially_copyable_v<AttentionProblem>);

/// The rule of a problem's layer; a dense one is one block that holds everything.
PatternRule rule_of(const AttentionProblem& problem, const PatternRule& asked) {
  PatternRule own = asked.in_layer(problem.layer);
  if (own.kind != PatternKind::softmax_blocks) {
    own = {.kind = PatternKind::softmax_blocks, .blocks = {.size = std::max(problem.k.kv_len, problem.q_start + problem.q.extent(0)), .window = 1}};
  }
  return own;
}

/// Calls `visit(problem, first row, rows, rule)` for the rows of each block of queries.
template <class Visit>
void for_strips(std::span<const AttentionProblem> problems, const PatternRule& asked, Visit&& visit) {
  for (const AttentionProblem& problem : problems) {
    const PatternRule own = rule_of(problem, asked);
    for (std::size_t row = 0, rows = 0; row < problem.q.extent(0); row += rows) {
      rows = std::min(problem.q.extent(0) - row, own.blocks.size - (problem.q_start + row) % own.blocks.size);
      visit(problem, row, rows, own);
    }
  }
}

constexpr std::size_t aligned(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

struct Sizes {
  std::size_t strips = 0, numbers = 0, rows = 0;  // strips, numbers of the outputs, rows times heads
};

Sizes sizes_of(std::span<const AttentionProblem> problems, const PatternRule& asked) {
  Sizes sizes;
  for_strips(problems, asked, [&](const AttentionProblem& p, std::size_t, std::size_t rows, const PatternRule&) {
    ++sizes.strips;
    sizes.rows += rows * p.q.extent(1);
    sizes.numbers += rows * p.q.extent(1) * p.k.head_dim;
  });
  return sizes;
}

/// The scratch, cut up.
struct Layout {
  std::span<Strip> strips;
  std::span<AttentionProblem> runs;
  float *out, *normalizer, *total;
  RowStats* stats;
  std::span<std::byte> rest;  // flash's

  static std::size_t bytes(const Sizes& s) {
    return aligned(s.strips * sizeof(Strip)) + aligned(s.strips * sizeof(AttentionProblem)) + aligned(s.numbers * sizeof(float)) +
           2 * aligned(s.rows * sizeof(float)) + aligned(s.rows * sizeof(RowStats));
  }
  Layout(std::span<std::byte> scratch, const Sizes& s) {
    const auto take = [&scratch](std::size_t bytes) {
      std::byte* data = scratch.data();
      scratch = scratch.subspan(aligned(bytes));
      return data;
    };
    strips = {reinterpret_cast<Strip*>(take(s.strips * sizeof(Strip))), s.strips};
    runs = {reinterpret_cast<AttentionProblem*>(take(s.strips * sizeof(AttentionProblem))), s.strips};
    out = reinterpret_cast<float*>(take(s.numbers * sizeof(float)));
    normalizer = reinterpret_cast<float*>(take(s.rows * sizeof(float)));
    total = reinterpret_cast<float*>(take(s.rows * sizeof(float)));
    stats = reinterpret_cast<RowStats*>(take(s.rows * sizeof(RowStats)));
    rest = scratch;
  }
};

/// As many rows as the strips have, over all keys: what flash needs most scratch for.
std::size_t scratch_bytes(std::span<const AttentionProblem> problems, const KernelOptions& options, std::size_t threads) {
  const PatternRule asked = rule(options);
  std::vector<AttentionProblem> longest;
  for_strips(problems, asked, [&](const AttentionProblem& p, std::size_t first, std::size_t rows, const PatternRule&) {
    longest.push_back(p);
    longest.back().q = p.q.slice(first, rows);
  });
  return Layout::bytes(sizes_of(problems, asked)) + attention_kernel_flash().scratch_bytes(longest, {}, threads);
}

KvView part_of(KvView view, std::size_t first, std::size_t count) {
  view.rows = view.row(first, 0);
  view.kv_len = count;
  return view;
}

/// The strip's run as a problem of its own, whose positions count from its first key.
AttentionProblem problem_of(const Strip& strip, bool first_run) {
  const AttentionProblem& whole = *strip.problem;
  const std::size_t begin = strip.run_begin(), keys = strip.run_end() - begin;
  AttentionProblem part = whole;
  part.q = whole.q.slice(strip.first, strip.count);
  part.k = part_of(whole.k, begin, keys);
  part.v = part_of(whole.v, begin, keys);
  part.out = first_run ? whole.out.slice(strip.first, strip.count) : TensorView<float, 3>(strip.out, part.q.shape());
  part.normalizer = {first_run ? strip.total : strip.normalizer, {strip.count, strip.heads()}};
  if (!whole.stats.empty() && first_run) part.stats = whole.stats.slice(strip.first, strip.count);
  if (!whole.stats.empty() && !first_run) part.stats = {strip.stats, {strip.count, strip.heads()}};
  part.score = whole.score.of_rows(strip.first, strip.count).of_keys(begin, keys);
  part.score.sinks = whole.score.sinks > begin ? whole.score.sinks - begin : 0;
  // Positions before the first key are none. Without a mask they matter to nothing but the distance: the queries are put
  // behind the keys, and own_stats turns that around.
  part.q_start = strip.run_is_later() ? keys : strip.position() - begin;
  part.score.distance_shift += static_cast<std::ptrdiff_t>(begin + part.q_start) - static_cast<std::ptrdiff_t>(strip.position());
  return part;
}

/// Statistics of the run in the text's own positions.
RowStats own_stats(const Strip& strip, RowStats stats) {
  if (strip.run_begin() > 0) stats.first_key = 0.0f;
  if (strip.run_is_later()) stats.distance = static_cast<float>(strip.run_end() - strip.position()) - stats.distance;
  return stats;
}

double plus_log(double weight, double value) { return weight > 0.0 ? weight * (value - std::log(weight)) : 0.0; }

/// Puts the run behind those before it.
void join(const Strip& strip) {
  const AttentionProblem& p = *strip.problem;
  const std::size_t dim = p.k.head_dim;
  for (std::size_t i = 0; i < strip.count; ++i) {
    for (std::size_t h = 0; h < strip.heads(); ++h) {
      const std::size_t at = i * strip.heads() + h;
      const double before = strip.total[at], here = strip.normalizer[at];
      if (here == minus_infinity) continue;
      const double top = std::max(before, here), both = top + std::log(std::exp(before - top) + std::exp(here - top));
      const double kept = std::exp(before - both), added = std::exp(here - both);
      float* out = &p.out(strip.first + i, h, 0);
      const float* more = strip.out + at * dim;
      for (std::size_t d = 0; d < dim; ++d) out[d] = static_cast<float>(kept * out[d] + added * more[d]);
      strip.total[at] = static_cast<float>(both);
      if (p.stats.empty()) continue;
      const RowStats other = own_stats(strip, strip.stats[at]);
      RowStats& stats = p.stats(strip.first + i, h);
      stats = {static_cast<float>(plus_log(kept, stats.entropy) + plus_log(added, other.entropy)),
               static_cast<float>(kept * stats.distance + added * other.distance),
               static_cast<float>(kept * stats.first_key + added * other.first_key)};
    }
  }
}

void settle_first(const Strip& strip) {
  const AttentionProblem& p = *strip.problem;
  for (std::size_t i = 0; i < strip.count && !p.stats.empty(); ++i) {
    for (std::size_t h = 0; h < strip.heads(); ++h) {
      RowStats& stats = p.stats(strip.first + i, h);
      const bool empty_row = static_cast<double>(strip.total[i * strip.heads() + h]) == minus_infinity;
      stats = empty_row ? RowStats{} : own_stats(strip, stats);
    }
  }
}

/// Rows that see no block.
void make_empty(const Strip& strip) {
  const AttentionProblem& p = *strip.problem;
  std::fill_n(strip.total, strip.count * strip.heads(), -std::numeric_limits<float>::infinity());
  for (std::size_t i = 0; i < strip.count; ++i) {
    for (std::size_t h = 0; h < strip.heads(); ++h) {
      std::fill_n(&p.out(strip.first + i, h, 0), p.k.head_dim, 0.0f);
      if (!p.stats.empty()) p.stats(strip.first + i, h) = {};
    }
  }
}

void make_strips(const KernelCall& call, const PatternRule& asked, const Layout& layout) {
  std::size_t made = 0, numbers = 0, rows_before = 0;
  for_strips(call.problems, asked, [&](const AttentionProblem& p, std::size_t first, std::size_t rows, const PatternRule& own) {
    new (&layout.strips[made++]) Strip{.problem = &p, .first = first, .count = rows, .size = own.blocks.size, .next = 0, .blocks = {}, .run = {},
                                       .out = layout.out + numbers, .normalizer = layout.normalizer + rows_before,
                                       .stats = layout.stats + rows_before, .total = layout.total + rows_before};
    rows_before += rows * p.q.extent(1);
    numbers += rows * p.q.extent(1) * p.k.head_dim;
  });
  call.pool.run(made, [&](std::size_t index, std::size_t) {
    Strip& strip = layout.strips[index];
    strip.blocks = KeyBlocks(rule_of(*strip.problem, asked), strip.problem->score.mask, strip.position() / strip.size, strip.problem->k.kv_len);
  });
}

/// The next run of every strip that has one; those strips come first then. Returns how many they are.
std::size_t next_runs(std::span<Strip> strips, bool first_run) {
  std::size_t count = 0;
  for (Strip& strip : strips) {
    strip.run = strip.blocks.next(strip.next);
    strip.next = strip.run.end;
    if (strip.run.begin < strip.run.end) {
      std::swap(strips[count++], strip);
    } else if (first_run) {
      make_empty(strip);
    }
  }
  return count;
}

void run(const KernelCall& call) {
  static const KernelOptions none;
  const PatternRule asked = rule(call.options);
  const Layout layout(call.scratch, sizes_of(call.problems, asked));
  make_strips(call, asked, layout);
  std::span<Strip> strips = layout.strips;
  for (bool first_run = true; !strips.empty(); first_run = false) {
    strips = strips.first(next_runs(strips, first_run));
    for (std::size_t i = 0; i < strips.size(); ++i) new (&layout.runs[i]) AttentionProblem(problem_of(strips[i], first_run));
    if (strips.empty()) break;
    attention_kernel_flash().run({layout.runs.first(strips.size()), none, call.pool, layout.rest, call.report});
    call.pool.run(strips.size(), [&](std::size_t index, std::size_t) { first_run ? settle_first(strips[index]) : join(strips[index]); });
  }
  for (const Strip& strip : layout.strips) {
    for (std::size_t at = 0; at < strip.count * strip.heads() && !strip.problem->normalizer.empty(); ++at) {
      strip.problem->normalizer(strip.first + at / strip.heads(), at % strip.heads()) = strip.total[at];
    }
  }
}

}  // namespace

const AttentionKernel& attention_kernel_block_sparse() {
  static const AttentionKernel kernel{name,
                                      "blocks of keys that a pattern names: pattern=banded,window=N[,stride=N][,dense_every=2] (GPT-3) or "
                                      "pattern=bigbird (an approximation of a model that sees all)",
                                      "Child et al. 2019, arXiv:1904.10509; Brown et al. 2020, arXiv:2005.14165; Zaheer et al. 2020, arXiv:2007.14062",
                                      "cpu",
                                      1e-5f,
                                      rule,
                                      refuses,
                                      scratch_bytes,
                                      run,
                                      true,
                                      "pattern=bigbird,block=16,global=1,random=2"};
  return kernel;
}

}  // namespace vitrine
