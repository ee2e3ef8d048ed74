#include "probes/weight_algebra.h"

#include <algorithm>
#include <numeric>

#include "core/base/error.h"
#include "core/tensor/sparse_rows.h"

namespace vitrine {
namespace {

const Weight* find(const Model& model, Role role, int block, bool bias) { return model.weights.find({role, block, bias, model.spec.stack}); }

const Weight& at(const Model& model, Role role, int block) { return model.weights.at({role, block, false, model.spec.stack}); }

/// Whether what reads the stream sees it less its mean.
bool centers(const BlockSpec& block) { return block.norm == NormKind::layer && block.placement != NormPlacement::post; }

/// Columns times the gain, each row less its mean where norms centre: what reads a normed stream.
void fold_reader(Matrix& reader, std::span<const double> gain, bool centered) {
  for (std::size_t r = 0; r < reader.rows; ++r) {
    const std::span<double> row(&reader(r, 0), reader.columns);
    for (std::size_t c = 0; c < row.size(); ++c) row[c] *= gain[c];
    if (centered) center(row);
  }
}

Matrix head_rows(const Weight& weight, std::size_t head, std::size_t dim) {
  Matrix rows(dim, weight.cols);
  for (std::size_t d = 0; d < dim; ++d) std::ranges::copy(row_of(weight, head * dim + d), &rows(d, 0));
  return rows;
}

Matrix transposed(const Matrix& a) {
  Matrix out(a.columns, a.rows);
  for (std::size_t r = 0; r < a.rows; ++r) {
    for (std::size_t c = 0; c < a.columns; ++c) out(c, r) = a(r, c);
  }
  return out;
}

Matrix whole(const Weight& weight) {
  Matrix rows(weight.rows, weight.cols);
  for (std::size_t r = 0; r < weight.rows; ++r) std::ranges::copy(row_of(weight, r), &rows(r, 0));
  return rows;
}

/// Every row less its mean.
void center_rows(Matrix& a) {
  for (std::size_t r = 0; r < a.rows; ++r) center({&a(r, 0), a.columns});
}

}  // namespace

std::vector<double> row_of(const Weight& weight, std::size_t row) {
  std::vector<float> numbers(weight.cols);
  expand_row(weight, row, numbers.data());
  return {numbers.begin(), numbers.end()};
}

FloatMatrix rows_of(const Weight& weight, std::size_t first, std::size_t count) {
  FloatMatrix rows(count, weight.cols);
  for (std::size_t r = 0; r < count; ++r) expand_row(weight, first + r, &rows(r, 0));
  return rows;
}

std::vector<double> times_transposed(const Weight& weight, std::span<const double> outputs) {
  VITRINE_CHECK(outputs.size() == weight.rows);
  std::vector<double> sums(weight.cols, 0.0);
  std::vector<float> row(weight.cols);
  for (std::size_t r = 0; r < weight.rows; ++r) {
    expand_row(weight, r, row.data());
    for (std::size_t c = 0; c < weight.cols; ++c) sums[c] += outputs[r] * row[c];
  }
  return sums;
}

std::vector<double> times(const Weight& weight, std::span<const double> inputs) {
  VITRINE_CHECK(inputs.size() == weight.cols);
  std::vector<double> out(weight.rows);
  for (std::size_t r = 0; r < weight.rows; ++r) out[r] = dot(row_of(weight, r), inputs);
  return out;
}

std::vector<double> vector_or(const Weight* weight, std::size_t width, double otherwise) {
  if (!weight) return std::vector<double>(width, otherwise);
  const Tensor numbers = expand(*weight);
  VITRINE_CHECK(numbers.size() == width);
  return {numbers.floats().begin(), numbers.floats().end()};
}

double dot(std::span<const double> a, std::span<const double> b) { return std::inner_product(a.begin(), a.end(), b.begin(), 0.0); }

void center(std::span<double> vector) {
  const double mean = std::accumulate(vector.begin(), vector.end(), 0.0) / static_cast<double>(vector.size());
  for (double& number : vector) number -= mean;
}

HeadWeights head_weights(const Model& model, std::size_t block, std::size_t head) {
  const BlockSpec& spec = model.spec.blocks[block];
  const AttentionSpec& attention = spec.attention;
  const int index = static_cast<int>(block);
  const std::size_t dim = attention.head_dim, width = model.spec.width, group = head / (attention.heads / attention.kv_heads);
  HeadWeights result{head_rows(at(model, Role::attn_q, index), head, dim), head_rows(at(model, Role::attn_k, index), group, dim),
                     head_rows(at(model, Role::attn_v, index), group, dim), Matrix(width, dim)};
  const Weight& out = at(model, Role::attn_out, index);
  for (std::size_t r = 0; r < width; ++r) {
    const std::vector<double> row = row_of(out, r);
    std::copy_n(row.begin() + static_cast<std::ptrdiff_t>(head * dim), dim, &result.o(r, 0));
  }
  if (spec.placement == NormPlacement::post) return result;  // the stream itself is normed, with its gain
  const std::vector<double> gain = vector_or(find(model, Role::attn_norm, index, false), width, 1.0);
  for (Matrix* reader : {&result.q, &result.k, &result.v}) fold_reader(*reader, gain, centers(spec));
  Matrix writer = transposed(result.o);
  const bool sandwich = spec.placement == NormPlacement::sandwich;
  fold_reader(writer, vector_or(sandwich ? find(model, Role::attn_post_norm, index, false) : nullptr, width, 1.0), centers(spec));
  result.o = transposed(writer);
  return result;
}

std::optional<Matrix> embedding_times_head(const Model& model, ThreadPool& pool) {
  const ModelSpec& spec = model.spec;
  if (!spec.has_head || (spec.head_transform && (spec.head_transform->activation || spec.head_transform->norm_epsilon))) return std::nullopt;
  const Weight &embedding = at(model, Role::token_embedding, -1), &head = at(model, Role::head, -1);
  constexpr std::size_t chunk = 2048, panel = 64;
  FloatMatrix sums(embedding.cols, head.cols);
  std::vector<double> embedding_sum(embedding.cols, 0.0), head_mean(head.cols, 0.0);
  const std::size_t tokens = std::min(embedding.rows, head.rows);
  for (std::size_t first = 0; first < tokens; first += chunk) {
    const std::size_t count = std::min(chunk, tokens - first);
    const FloatMatrix e = rows_of(embedding, first, count), u = rows_of(head, first, count);
    for (std::size_t r = 0; r < count; ++r) {
      for (std::size_t c = 0; c < e.columns; ++c) embedding_sum[c] += e(r, c);
      for (std::size_t c = 0; c < u.columns; ++c) head_mean[c] += u(r, c) / static_cast<double>(tokens);
    }
    pool.run((u.columns + panel - 1) / panel, [&](std::size_t p, std::size_t) {
      const std::size_t begin = p * panel, columns = std::min(panel, u.columns - begin);
      FloatMatrix part(count, columns);
      for (std::size_t r = 0; r < count; ++r) std::copy_n(&u(r, begin), columns, &part(r, 0));
      const FloatMatrix products = product_of_transposed(e, part);
      for (std::size_t r = 0; r < products.rows; ++r) {
        for (std::size_t c = 0; c < columns; ++c) sums(r, begin + c) += products(r, c);
      }
    });
  }
  Matrix both(embedding.cols, head.cols);
  const std::vector<double> embedding_gain =
      vector_or(spec.embedding_norm ? find(model, Role::embedding_norm, -1, false) : nullptr, embedding.cols, 1.0);
  for (std::size_t r = 0; r < both.rows; ++r) {
    for (std::size_t c = 0; c < both.columns; ++c) both(r, c) = (sums(r, c) - embedding_sum[r] * head_mean[c]) * embedding_gain[r];
  }
  if (spec.embedding_width > 0) both = product(whole(at(model, Role::embedding_projection, -1)), both);
  if (spec.head_transform) both = product(both, whole(at(model, Role::head_transform, -1)));
  const bool centered = spec.final_norm && centers(spec.blocks.back());
  fold_reader(both, vector_or(spec.final_norm ? find(model, Role::final_norm, -1, false) : nullptr, spec.width, 1.0), centered);
  if (!centered) return both;
  Matrix by_column = transposed(both);  // the embeddings' side
  center_rows(by_column);
  return transposed(by_column);
}

std::vector<double> folded_embedding(const Model& model, TokenId token) {
  const ModelSpec& spec = model.spec;
  std::vector<double> row = row_of(at(model, Role::token_embedding, -1), static_cast<std::size_t>(token));
  if (spec.embedding_norm) {
    const std::vector<double> gain = vector_or(find(model, Role::embedding_norm, -1, false), row.size(), 1.0);
    for (std::size_t c = 0; c < row.size(); ++c) row[c] *= gain[c];
  }
  if (spec.embedding_width > 0) row = times(at(model, Role::embedding_projection, -1), row);
  return row;
}

}  // namespace vitrine
