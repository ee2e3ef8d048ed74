// Every attention kernel with every set of options, on every instruction set, over a table of shapes: against the plain
// definition in double, and against the tiles that explain it.
#include <algorithm>
#include <map>

#include "kernels/pattern/pattern.h"
#include "kernels/pattern/random.h"
#include "tests/kernels/attention_problem.h"
#include "tests/kernels/simd_targets.h"

namespace vitrine {
namespace {

/// The definition of KeyBlocks, by sorting all lots.
std::vector<bool> blocks_seen(const PatternRule& rule, Mask mask, std::size_t own, std::size_t count) {
  const BlockPattern& pattern = rule.blocks;
  std::vector<bool> seen(std::max(count, own + 1));
  std::vector<std::pair<std::uint64_t, std::size_t>> lots;
  const std::uint64_t stream = scrambled(rule.seed + scramble_step * (own + 1));
  for (std::size_t block = 0; block < (mask == Mask::causal ? own + 1 : count); ++block) {
    const std::size_t distance = std::max(own, block) - std::min(own, block);
    seen[block] = distance < pattern.window || block < pattern.global || own < pattern.global || (pattern.stride > 0 && distance % pattern.stride == 0);
    if (!seen[block]) lots.emplace_back(scrambled(stream + scramble_step * (block + 1)), block);
  }
  std::sort(lots.begin(), lots.end());
  for (std::size_t i = 0; i < std::min(pattern.random, lots.size()); ++i) seen[lots[i].second] = true;
  return seen;
}

/// Attention as it is defined, in double, for every rule but feature maps.
class Definition {
 public:
  std::vector<float> out, normalizer;
  std::vector<RowStats> stats;

  Definition(const Data& data, const AttentionProblem& problem, const PatternRule& rule) : data_(data), p_(problem), rule_(rule) {
    for (std::size_t i = 0; i < p_.q.extent(0); ++i) {
      for (std::size_t h = 0; h < p_.q.extent(1); ++h) add_row(i, h);
    }
  }

 private:
  const float* row_of(const std::vector<float>& rows, std::size_t j, std::size_t h) const {
    const Shape& s = data_.shape;
    return rows.data() + (j * s.kv_heads + h / (s.heads / s.kv_heads)) * s.head_dim;
  }

  std::vector<bool> seen_keys(std::size_t position) const {
    std::vector<bool> seen(p_.k.kv_len, true);
    const auto hide = [&](std::size_t window, std::size_t sinks) {
      for (std::size_t j = sinks; window > 0 && j < seen.size(); ++j) {
        if (std::max(position, j) - std::min(position, j) >= window) seen[j] = false;
      }
    };
    hide(p_.score.window, p_.score.sinks);
    hide(rule_.window, rule_.sinks);
    for (std::size_t j = position + 1; p_.score.mask == Mask::causal && j < seen.size(); ++j) seen[j] = false;
    const std::size_t row = position - p_.q_start, words = (seen.size() + 63) / 64;
    for (std::size_t j = 0; data_.shape.terms.allowed && j < seen.size(); ++j) {
      if ((data_.allowed[row * words + j / 64] >> j % 64) % 2 == 0) seen[j] = false;
    }
    if (rule_.kind != PatternKind::softmax_blocks) return seen;
    const std::size_t size = rule_.blocks.size;
    const std::vector<bool> blocks = blocks_seen(rule_, p_.score.mask, position / size, (seen.size() + size - 1) / size);
    for (std::size_t j = 0; j < seen.size(); ++j) seen[j] = seen[j] && blocks[j / size];
    return seen;
  }

  float as_multiplied(float number) const { return rule_.bf16_factors ? f32_from_bf16(bf16_from_f32(number)) : number; }

  /// Entry of a table of `count` distances, the first of which is the shape's.
  std::size_t entry(std::size_t i, std::size_t j, std::size_t count) const {
    const auto distance = static_cast<double>(j) - static_cast<double>(p_.q_start + i) - static_cast<double>(data_.shape.terms.first);
    return static_cast<std::size_t>(std::min(std::max(distance, 0.0), static_cast<double>(count - 1)));
  }

  double bias(std::size_t i, std::size_t h, std::size_t j) const {
    const Terms& terms = data_.shape.terms;
    double sum = terms.distances > 0 ? static_cast<double>(data_.table[h * terms.distances + entry(i, j, terms.distances)]) : 0.0;
    if (terms.slope) sum -= std::exp2(-8.0f * static_cast<float>(h + 1) / static_cast<float>(data_.shape.heads)) * (static_cast<double>(p_.q_start + i) - static_cast<double>(j));
    return sum;
  }

  float term_bias(std::size_t which, std::size_t h, std::size_t d) const {
    return data_.term_biases[(which * data_.shape.heads + h) * data_.shape.head_dim + d];
  }

  /// (q + w) . r, and (q + s) . segment.
  double terms(std::size_t i, std::size_t h, std::size_t j) const {
    const Shape& s = data_.shape;
    const std::size_t place = entry(i, j, s.terms.positions), other = data_.query_segment[i] != data_.key_segment[j] ? 1 : 0;
    double sum = 0.0;
    for (std::size_t d = 0; d < s.head_dim; ++d) {
      sum += static_cast<double>(p_.q(i, h, d) + term_bias(1, h, d)) * data_.r[(place * s.heads + h) * s.head_dim + d];
      if (s.terms.segments) sum += static_cast<double>(p_.q(i, h, d) + term_bias(2, h, d)) * data_.segment[(other * s.heads + h) * s.head_dim + d];
    }
    return sum;
  }

  double score(std::size_t i, std::size_t h, std::size_t j) const {
    const float* key = row_of(data_.k, j, h);
    double sum = 0.0;
    for (std::size_t d = 0; d < p_.k.head_dim; ++d) {
      const double q = as_multiplied(p_.q(i, h, d) + (data_.shape.terms.positions > 0 ? term_bias(0, h, d) : 0.0f)), k = as_multiplied(key[d]);
      sum += rule_.kind == PatternKind::additive ? p_.score.additive[d] * std::tanh(q + k) : q * k;
    }
    if (data_.shape.terms.positions > 0) sum += terms(i, h, j);
    const double scaled = sum * p_.score.scale + bias(i, h, j), cap = p_.score.soft_cap;
    return cap > 0.0 ? cap * std::tanh(scaled / cap) : scaled;
  }

  void add_row(std::size_t i, std::size_t h) {
    std::vector<bool> seen = seen_keys(p_.q_start + i);
    std::vector<double> scores(seen.size()), sorted;
    for (std::size_t j = 0; j < seen.size(); ++j) {
      if (seen[j]) scores[j] = score(i, h, j);
      seen[j] = seen[j] && scores[j] != -INFINITY;  // a bias may hide a key
      if (seen[j]) sorted.push_back(scores[j]);
    }
    std::sort(sorted.rbegin(), sorted.rend());
    const auto rounded = [](double score) { return static_cast<float>(score); };
    if (rule_.kind == PatternKind::softmax_top_k && sorted.size() > rule_.top_k) {
      for (std::size_t j = 0; j < seen.size(); ++j) seen[j] = seen[j] && rounded(scores[j]) >= rounded(sorted[rule_.top_k - 1]);
    }
    add_outputs(i, h, seen, scores, sorted.empty() ? -INFINITY : sorted.front());
  }

  void add_outputs(std::size_t i, std::size_t h, const std::vector<bool>& seen, const std::vector<double>& scores, double top) {
    double sum = 0.0, entropy = 0.0, distance = 0.0;
    for (std::size_t j = 0; j < seen.size(); ++j) sum += seen[j] ? std::exp(scores[j] - top) : 0.0;
    std::vector<double> result(p_.k.head_dim);
    for (std::size_t j = 0; j < seen.size(); ++j) {
      const double weight = seen[j] ? std::exp(scores[j] - top) / sum : 0.0;
      if (weight > 0.0) entropy -= weight * std::log(weight);
      distance += weight * std::fabs(static_cast<double>(p_.q_start + i) - static_cast<double>(j));
      for (std::size_t d = 0; d < result.size(); ++d) result[d] += weight * row_of(data_.v, j, h)[d];
    }
    out.insert(out.end(), result.begin(), result.end());
    normalizer.push_back(static_cast<float>(sum > 0.0 ? top + std::log(sum) : -INFINITY));
    const double first = sum > 0.0 && seen[0] ? std::exp(scores[0] - top) / sum : 0.0;
    stats.push_back({static_cast<float>(entropy), static_cast<float>(distance), static_cast<float>(first)});
  }

  const Data& data_;
  const AttentionProblem& p_;
  const PatternRule& rule_;
};

void add_sizes(std::vector<Shape>& made) {
  for (const std::size_t head_dim : {1u, 3u, 8u, 16u, 20u, 33u, 40u, 64u, 72u, 80u, 96u, 128u, 160u, 256u}) {
    made.push_back({.heads = 2, .kv_heads = 1, .head_dim = head_dim, .q_len = 7, .kv_len = 130});
  }
  for (const std::size_t head_dim : {8u, 20u, 96u, 256u}) {
    made.push_back({.heads = 2, .kv_heads = 1, .head_dim = head_dim, .q_len = 5, .kv_len = 37, .kv = DType::f16});
  }
  for (const auto& [heads, kv_heads] : {std::pair{1u, 1u}, {3u, 3u}, {4u, 2u}, {6u, 2u}, {4u, 1u}, {5u, 1u}, {6u, 1u}, {7u, 1u}, {16u, 2u}}) {
    for (const std::size_t q_len : {1u, 2u, 41u}) {
      made.push_back({.heads = heads, .kv_heads = kv_heads, .head_dim = 16, .q_len = q_len, .kv_len = 97});
    }
  }
}

void add_decoding(std::vector<Shape>& made) {
  for (const DType kv : {DType::f16, DType::q8_0, DType::q4_1}) {
    for (const std::size_t head_dim : {16u, 33u, 64u, 80u, 96u, 128u}) {
      for (const auto& [heads, kv_heads] : {std::pair{1u, 1u}, {6u, 2u}, {4u, 2u}, {7u, 1u}, {9u, 1u}}) {
        for (const std::size_t kv_len : {1u, 65u, 200u}) {
          made.push_back({.heads = heads, .kv_heads = kv_heads, .head_dim = head_dim, .q_len = 1, .kv_len = kv_len, .kv = kv});
        }
      }
    }
  }
  for (const DType kv : {DType::q8_0, DType::q4_1}) {  // heads that end inside a block, and inside a vector
    for (const std::size_t head_dim : {1u, 6u, 16u, 33u, 64u, 80u}) {
      for (const std::size_t q_len : {1u, 23u}) {
        made.push_back({.heads = 6, .kv_heads = 2, .head_dim = head_dim, .q_len = q_len, .kv_len = 90, .kv = kv});
      }
    }
  }
  for (const DType kv : {DType::f32, DType::f16, DType::q8_0, DType::q4_1}) {  // several ranges of keys
    for (const std::size_t q_len : {1u, 11u}) {
      made.push_back({.heads = 4, .kv_heads = 2, .head_dim = 32, .q_len = q_len, .kv_len = 1100, .kv = kv});
      made.push_back({.heads = 4, .kv_heads = 2, .head_dim = 32, .q_len = q_len, .kv_len = 1100, .kv = kv, .score = {.window = 600, .sinks = 3}});
    }
  }
}

void add_masks(std::vector<Shape>& made) {
  made.push_back({.heads = 70, .kv_heads = 1, .head_dim = 8, .q_len = 3, .kv_len = 20});  // a group larger than a piece
  for (const std::size_t kv_len : {1u, 63u, 64u, 65u, 200u}) {
    made.push_back({.heads = 2, .kv_heads = 2, .head_dim = 8, .q_len = kv_len, .kv_len = kv_len});
  }
  for (const DType kv : {DType::f32, DType::f16}) {
    for (const Mask mask : {Mask::causal, Mask::none}) {
      for (const std::size_t window : {0u, 1u, 30u, 100u}) {
        for (const std::size_t sinks : {0u, 4u}) {
          const ScoreRule score{.mask = mask, .window = window, .sinks = sinks};
          made.push_back(
              {.heads = 4, .kv_heads = 2, .head_dim = 20, .q_len = 23, .kv_len = 141, .kv = kv, .score = score});
        }
      }
      made.push_back({.heads = 3,
                      .kv_heads = 1,
                      .head_dim = 20,
                      .q_len = 33,
                      .kv_len = 90,
                      .kv = kv,
                      .score = {.soft_cap = 1.5f, .mask = mask}});
    }
  }
}

void add_edges(std::vector<Shape>& made) {
  for (const DType kv : {DType::f32, DType::f16}) {
    for (const std::size_t q_len : {1u, 3u}) {  // one key; queries behind the last one
      made.push_back({.heads = 2, .kv_heads = 1, .head_dim = 24, .q_len = q_len, .kv_len = 1, .kv = kv});
      made.push_back({.heads = 2, .kv_heads = 1, .head_dim = 24, .q_len = q_len, .kv_len = 1, .kv = kv, .score = {.mask = Mask::none}});
      made.push_back({.heads = 2, .kv_heads = 1, .head_dim = 24, .q_len = q_len, .kv_len = 70, .kv = kv, .behind = 30});
    }
    for (const std::size_t window : {2u, 63u, 64u, 65u}) {  // at the blocks' own edges, in a chunk of a longer text
      made.push_back({.heads = 4, .kv_heads = 2, .head_dim = 16, .q_len = 30, .kv_len = 195, .kv = kv, .score = {.window = window}});
    }
    // The first rows of a chunk see keys, the last ones none.
    made.push_back({.heads = 4, .kv_heads = 2, .head_dim = 16, .q_len = 30, .kv_len = 50, .kv = kv, .score = {.window = 20}, .behind = 40});
    made.push_back({.heads = 4, .kv_heads = 2, .head_dim = 16, .q_len = 30, .kv_len = 90, .kv = kv, .score = {.soft_cap = 0.3f}});
    made.push_back({.heads = 4, .kv_heads = 2, .head_dim = 16, .q_len = 30, .kv_len = 90, .kv = kv, .score = {.soft_cap = 50.0f, .window = 40}});
  }
}

void add_extremes(std::vector<Shape>& made) {
  const auto add = [&made](const Shape& shape) { made.push_back(shape); };
  for (const DType kv : {DType::f32, DType::f16}) {
    add({.kv = kv, .q_size = 1e3f, .slack = 1e3});                           // one key holds everything
    add({.kv = kv, .q_size = 1e-4f, .k_size = 3e4f, .v_size = 3e4f, .slack = 10});  // keys and values up to the ends of f16
    add({.kv = kv, .equal_keys = true});                                     // every score of a row is the same
    add({.kv = kv, .q_size = 0.0f});                                         // and zero
    add({.kv = kv, .k_size = 1e-6f, .v_size = 1e-6f});                       // f16 without a leading one
    add({.kv = kv, .score = {.soft_cap = 20.0f}, .q_size = 1e6f});           // all at the cap
  }
  add({.q_size = 1e18f, .k_size = 1e18f, .slack = 1e3});                     // scores near -1e36 are as good as none
  add({.v_size = 1e30f});
  add({.q_size = 1e-30f, .k_size = 1e-30f, .v_size = 1e-30f});
}

void add_biases(std::vector<Shape>& made) {
  const Terms t5{.distances = 61, .first = -40}, alibi{.slope = true}, mask{.allowed = true}, all{.distances = 9, .first = -8, .slope = true, .allowed = true};
  for (const Terms& terms : {t5, alibi, mask, all}) {
    for (const std::size_t head_dim : {8u, 33u, 256u}) {  // tables shorter than the text
      made.push_back({.heads = 2, .kv_heads = 2, .head_dim = head_dim, .q_len = 70, .kv_len = 130, .terms = terms});
    }
    for (const auto& [heads, kv_heads] : {std::pair{1u, 1u}, {6u, 2u}, {5u, 1u}, {70u, 1u}}) {
      for (const std::size_t q_len : {1u, 21u}) {
        made.push_back({.heads = heads, .kv_heads = kv_heads, .head_dim = 16, .q_len = q_len, .kv_len = 97, .terms = terms});
        made.push_back({.heads = heads, .kv_heads = kv_heads, .head_dim = 16, .q_len = q_len, .kv_len = 97, .score = {.mask = Mask::none}, .behind = 5, .terms = terms});
      }
    }
    for (const DType kv : {DType::f16, DType::q8_0, DType::q4_1}) {  // a single query over the cache as it is, in ranges
      made.push_back({.heads = 6, .kv_heads = 2, .head_dim = 64, .q_len = 1, .kv_len = 600, .kv = kv, .score = {.window = 590, .sinks = 2}, .terms = terms});
      made.push_back({.heads = 6, .kv_heads = 2, .head_dim = 64, .q_len = 30, .kv_len = 600, .kv = kv, .score = {.window = 300}, .terms = terms});
    }
    made.push_back({.heads = 2, .kv_heads = 2, .q_len = 1, .kv_len = 1, .terms = terms});
    made.push_back({.heads = 2, .kv_heads = 2, .q_len = 3, .kv_len = 1, .score = {.mask = Mask::none}, .terms = terms});  // more queries than keys
    made.push_back({.heads = 2, .kv_heads = 2, .q_len = 90, .kv_len = 40, .score = {.soft_cap = 2.0f, .mask = Mask::none}, .behind = 7, .terms = terms});
  }
  for (const Mask kind : {Mask::none, Mask::causal}) {  // extreme numbers; keys that the table hides, all of them for some queries
    made.push_back({.q_len = 40, .kv_len = 80, .score = {.mask = kind}, .slack = 100, .terms = {.distances = 160, .first = -80, .bias_size = 1e4f}});
    made.push_back({.q_len = 40, .kv_len = 80, .score = {.mask = kind}, .terms = {.distances = 5, .first = -3, .hides = true}});
    made.push_back({.heads = 4, .kv_heads = 4, .q_len = 1, .kv_len = 80, .kv = DType::f16, .score = {.mask = kind}, .terms = {.distances = 5, .first = -3, .hides = true}});
    made.push_back({.q_len = 40, .kv_len = 80, .score = {.mask = kind}, .terms = {.distances = 1, .first = 1000}});
  }
}

void add_content(std::vector<Shape>& made) {
  for (const bool segments : {false, true}) {
    for (const bool allowed : {false, true}) {
      const Terms terms{.first = -130, .allowed = allowed, .positions = 260, .segments = segments};
      for (const std::size_t head_dim : {8u, 33u, 256u}) {
        made.push_back({.heads = 2, .kv_heads = 2, .head_dim = head_dim, .q_len = 70, .kv_len = 130, .score = {.mask = Mask::none}, .slack = 4, .terms = terms});
      }
      for (const std::size_t q_len : {1u, 2u, 64u, 65u}) {
        made.push_back({.heads = 2, .kv_heads = 2, .q_len = q_len, .kv_len = 65, .score = {.mask = Mask::none}, .slack = 4, .terms = terms});
      }
      made.push_back({.heads = 6, .kv_heads = 2, .q_len = 30, .kv_len = 70, .slack = 4, .terms = terms});
      made.push_back({.heads = 2, .kv_heads = 2, .q_len = 1, .kv_len = 1, .slack = 4, .terms = terms});
      made.push_back({.heads = 2, .kv_heads = 2, .q_len = 30, .kv_len = 590, .kv = DType::f16, .score = {.soft_cap = 9.0f}, .slack = 4, .terms = terms});
    }
  }
  const Terms few{.distances = 7, .first = -3, .slope = true, .positions = 5, .segments = true};  // distances beyond the tables
  for (const Mask kind : {Mask::none, Mask::causal}) {
    made.push_back({.heads = 2, .kv_heads = 2, .q_len = 77, .kv_len = 150, .score = {.mask = kind, .window = 90}, .behind = kind == Mask::none ? 9u : 0u, .slack = 4, .terms = few});
  }
}

const std::vector<Shape>& shapes() {
  static const std::vector<Shape> all = [] {
    std::vector<Shape> made;
    for (const auto add : {add_sizes, add_decoding, add_masks, add_edges, add_extremes, add_biases, add_content}) add(made);
    return made;
  }();
  return all;
}

/// The definition's answer to a shape under a choice, made once for all instruction sets.
const Definition* expected_of(std::size_t shape, const Choice& choice) {
  struct Kept {
    Data data;
    AttentionProblem problem;
    PatternRule rule;
    Definition definition;
    Kept(const Shape& wanted, const Choice& choice) : data(wanted), problem(data.problem(choice)), rule(choice.rule()), definition(data, problem, rule) {}
  };
  static std::map<std::pair<std::size_t, std::string>, std::unique_ptr<Kept>> all;
  const PatternRule rule = choice.rule();
  const std::string key = rule == PatternRule{} ? "softmax" : testing::PrintToString(choice);  // most kernels have one rule
  std::unique_ptr<Kept>& kept = all[{shape, key}];
  if (!kept) kept = std::make_unique<Kept>(shapes()[shape], choice);
  return &kept->definition;
}

using AttentionTable = EverySimdTarget;

TEST_P(AttentionTable, EqualsTheDefinition) {
  std::map<std::string, std::size_t> done;
  for (const Choice& choice : all_choices()) {
    if (choice.rule().kind == PatternKind::feature_map) continue;  // not made of scores
    for (std::size_t s = 0; s < shapes().size(); ++s) {
      const Shape& shape = shapes()[s];
      Data data(shape);
      const AttentionProblem problem = data.problem(choice);
      if (!does(choice, problem)) continue;
      SCOPED_TRACE(testing::Message() << testing::PrintToString(choice) << ", " << testing::PrintToString(shape));
      run(choice, {&problem, 1});
      const Definition& expected = *expected_of(s, choice);
      const double tolerance = choice.kernel->tolerance * shape.slack;
      EXPECT_LE(relative_error(data.out, expected.out), tolerance);
      EXPECT_LE(relative_error(data.normalizer, expected.normalizer), std::min(tolerance, 1e-5 * shape.slack));
      for (std::size_t i = 0; i < data.stats.size(); ++i) {
        EXPECT_NEAR(data.stats[i].entropy, expected.stats[i].entropy, 2e-5 * shape.slack);
        EXPECT_NEAR(data.stats[i].distance, expected.stats[i].distance, 1e-5 * (1 + expected.stats[i].distance) * shape.slack);
        EXPECT_NEAR(data.stats[i].first_key, expected.stats[i].first_key, 1e-5 * shape.slack);
      }
      ++done[std::string(choice.kernel->name)];
    }
  }
  const auto plain = static_cast<std::size_t>(std::ranges::count_if(shapes(), [](const Shape& shape) { return shape.terms == Terms{}; }));
  for (const AttentionKernel* kernel : all_attention_kernels()) {
    const Choice choice = chosen(std::string(kernel->name) + ":" + std::string(kernel->example));
    if (choice.rule().kind == PatternKind::feature_map || !does(choice, Data({}).problem(choice))) continue;
    EXPECT_GT(done[std::string(kernel->name)], plain / 2) << kernel->name;
  }
}

/// Weights rebuilt from the factors, times the values, for one head.
void rebuild(const Data& data, const AttentionProblem& p, const PatternRule& rule, std::size_t h, std::vector<float>& rebuilt) {
  const Shape& s = data.shape;
  const std::size_t kv_head = h / (s.heads / s.kv_heads), stride = s.kv_heads * s.head_dim;
  std::vector<float> log_sums(s.q_len), thresholds, tile(s.q_len * s.kv_len);
  for (std::size_t i = 0; i < s.q_len; ++i) log_sums[i] = p.normalizer(i, h);
  for (std::size_t i = 0; i < s.q_len && !p.threshold.empty(); ++i) thresholds.push_back(p.threshold(i, h));
  const PatternFactors factors{.q = {&p.q(0, h, 0), {s.q_len, s.head_dim}, {s.heads * s.head_dim, 1}},
                               .k = {data.k.data() + kv_head * s.head_dim, {s.kv_len, s.head_dim}, {stride, 1}},
                               .normalizer = log_sums,
                               .score = p.score,
                               .rule = rule,
                               .q_start = p.q_start,
                               .threshold = thresholds,
                               .head = h};
  pattern_tile(factors, 0, 0, {tile.data(), {s.q_len, s.kv_len}});
  for (std::size_t i = 0; i < s.q_len; ++i) {
    std::vector<double> sums(s.head_dim);
    for (std::size_t j = 0; j < s.kv_len; ++j) {
      const double weight = tile[i * s.kv_len + j];
      if (weight == 0.0) continue;
      for (std::size_t d = 0; d < s.head_dim; ++d) sums[d] += weight * data.v[j * stride + kv_head * s.head_dim + d];
    }
    std::copy(sums.begin(), sums.end(), rebuilt.begin() + static_cast<std::ptrdiff_t>((i * s.heads + h) * s.head_dim));
  }
}

TEST_P(AttentionTable, TheTileTimesTheValuesIsTheOutput) {
  for (const Choice& choice : all_choices()) {
    if (choice.rule() == PatternRule{} && choice.kernel->name != "flash") continue;  // these equal the definition, and so each other
    for (const Shape& shape : shapes()) {
      if (shape.q_size * shape.k_size > 1e30f) continue;  // the last place of such a score is larger than any weight's logarithm
      Data data(shape);
      const AttentionProblem p = data.problem(choice);
      if (!does(choice, p)) continue;
      const bool features = choice.rule().kind == PatternKind::feature_map;
      if (features && (shape.slack > 1.0 || shape.q_size != 1.0f || shape.k_size != 1.0f)) continue;  // features of such numbers overflow
      run(choice, {&p, 1});
      std::vector<float> rebuilt(data.out.size());
      for (std::size_t h = 0; h < shape.heads; ++h) rebuild(data, p, choice.rule(), h, rebuilt);
      EXPECT_LE(relative_error(rebuilt, data.out), (features || choice.rule().bf16_factors ? choice.kernel->tolerance : 1e-5) * shape.slack)
          << testing::PrintToString(choice) << ", " << testing::PrintToString(shape);
    }
  }
}

INSTANTIATE_EVERY_SIMD_TARGET(AttentionTable);

}  // namespace
}  // namespace vitrine
