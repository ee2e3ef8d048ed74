#include "kernels/attention_sample.h"

#include <cmath>
#include <random>

#include "core/base/error.h"

namespace vitrine {
namespace {

KvView view_of(const Tensor& tensor, const AttentionShape& shape) {
  const auto bytes = static_cast<std::ptrdiff_t>(row_bytes(shape.kv, shape.head_dim));
  return {.type = shape.kv,
          .rows = tensor.bytes().data(),
          .row_bytes = bytes * static_cast<std::ptrdiff_t>(shape.kv_heads),
          .head_bytes = bytes,
          .kv_len = shape.kv_len,
          .kv_heads = shape.kv_heads,
          .head_dim = shape.head_dim};
}

}  // namespace

double useful_operations(const AttentionShape& shape) {
  const auto queries = static_cast<double>(shape.q_len), before = static_cast<double>(shape.kv_len - shape.q_len);
  const double visible = queries * before + queries * (queries + 1.0) / 2.0;
  return 4.0 * visible * static_cast<double>(shape.heads * shape.head_dim);
}

AttentionSample::AttentionSample(const AttentionShape& shape, SampleTerms terms, std::uint32_t seed)
    : shape_(shape),
      q_(DType::f32, {shape.q_len, shape.heads * shape.head_dim}),
      k_(shape.kv, {shape.kv_len, shape.kv_heads * shape.head_dim}),
      v_(shape.kv, {shape.kv_len, shape.kv_heads * shape.head_dim}),
      out_(DType::f32, {shape.q_len, shape.heads * shape.head_dim}),
      normalizer_(DType::f32, {shape.q_len, shape.heads}),
      threshold_(DType::f32, {shape.q_len, shape.heads}),
      additive_(DType::f32, {shape.head_dim}) {
  VITRINE_CHECK(shape.q_len >= 1 && shape.q_len <= shape.kv_len);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (Tensor* tensor : {&q_, &k_, &v_, &additive_}) {
    std::vector<float> numbers(tensor->size());
    for (float& number : numbers) number = normal(random);
    dtype_info(tensor->type()).compress(numbers.data(), tensor->bytes().data(), numbers.size());
  }
  make_terms(terms, seed);
}

void AttentionSample::make_terms(SampleTerms terms, std::uint32_t seed) {
  constexpr std::size_t distances = 257;
  const std::size_t heads = shape_.heads, dim = shape_.head_dim, reach = shape_.kv_len;
  std::mt19937 random(seed + 1);
  std::normal_distribution<float> normal;
  const auto fill = [&](std::size_t count) {
    numbers_.resize(count);
    for (float& number : numbers_) number = normal(random);
  };
  if (terms == SampleTerms::slopes) {
    for (std::size_t h = 0; h < heads; ++h) numbers_.push_back(std::exp2(-8.0f * static_cast<float>(h + 1) / static_cast<float>(heads)));
    terms_.by_distance.slope = numbers_;
  } else if (terms == SampleTerms::table) {
    fill(heads * distances);
    terms_.by_distance.table = {numbers_.data(), {heads, distances}};
    terms_.by_distance.first = -static_cast<std::ptrdiff_t>(distances / 2);
  } else if (terms == SampleTerms::allowed) {
    const std::size_t words = BitView::words_of(shape_.kv_len);
    for (std::size_t i = 0; i < shape_.q_len * words; ++i) bits_.push_back(static_cast<std::uint64_t>(random()) << 32 | random());
    terms_.allowed = {bits_.data(), shape_.q_len, shape_.kv_len, words, 0};
  } else if (terms == SampleTerms::positions) {
    fill((reach + 2) * heads * dim);
    const float* biases = numbers_.data() + reach * heads * dim;
    terms_.content.r = {numbers_.data(), {reach, heads, dim}};
    terms_.content.first = 1 - static_cast<std::ptrdiff_t>(reach);
    terms_.content.key_bias = {biases, {heads, dim}};
    terms_.content.distance_bias = {biases + heads * dim, {heads, dim}};
  }
}

AttentionProblem AttentionSample::rows(std::size_t begin, std::size_t count, float* out) const {
  const std::size_t width = shape_.heads * shape_.head_dim;
  AttentionProblem made{.q = {q_.floats().data() + begin * width, {count, shape_.heads, shape_.head_dim}},
                        .k = view_of(k_, shape_),
                        .v = view_of(v_, shape_),
                        .out = {out, {count, shape_.heads, shape_.head_dim}}};
  made.score = terms_.of_rows(begin, count);
  made.score.scale = 1.0f / std::sqrt(static_cast<float>(shape_.head_dim));
  made.q_start = shape_.kv_len - shape_.q_len + begin;
  return made;
}

AttentionProblem AttentionSample::problem(const PatternRule& rule) {
  AttentionProblem made = problem();
  made.normalizer = {normalizer_.floats().data(), {shape_.q_len, shape_.heads}};
  made.threshold = {threshold_.floats().data(), {shape_.q_len, shape_.heads}};
  if (rule.kind == PatternKind::additive) made.score.additive = additive_.floats();
  return made;
}

std::vector<float> AttentionSample::head_of(const Tensor& rows, std::size_t kv_head) const {
  const KvView view = view_of(rows, shape_);
  std::vector<float> numbers(shape_.kv_len * shape_.head_dim);
  for (std::size_t j = 0; j < shape_.kv_len; ++j) {
    dtype_info(shape_.kv).expand(view.row(j, kv_head), numbers.data() + j * shape_.head_dim, shape_.head_dim);
  }
  return numbers;
}

AttentionRun::AttentionRun(KernelChoice choice, const AttentionProblem& problem, ThreadPool& pool)
    : choice_(std::move(choice)),
      problem_(problem),
      pool_(pool),
      bytes_(choice_.kernel->scratch_bytes({&problem_, 1}, choice_.options, pool.threads())),
      scratch_(DType::i8, {bytes_ + 64}) {}

void AttentionRun::operator()() {
  KernelReport report;
  choice_.kernel->run({{&problem_, 1}, choice_.options, pool_, scratch_.bytes().first(bytes_), report});
}

}  // namespace vitrine
