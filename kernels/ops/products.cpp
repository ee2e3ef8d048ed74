#include "kernels/ops/products.h"

#include <algorithm>

#include "core/base/error.h"
#include "kernels/kernels.h"
#include "kernels/ops/sparse.h"
#include "kernels/simd/dot_x86.h"

namespace vitrine {
namespace {

constexpr std::size_t few_rows = 8;  // up to here the blocks themselves are multiplied
constexpr std::size_t pieces_per_thread = 3;
static_assert(packed_columns == int8_columns);  // a panel is a group of either
constexpr std::size_t panel_numbers = 131072;  // of an expanded panel: half of a second-level cache as f32

/// Output columns of a piece of work. What a number is the sum of does not depend on it.
std::size_t panel_columns(std::size_t inner) {
  return std::clamp<std::size_t>(panel_numbers / inner / 16 * 16, 16, 256);
}

/// The same for few rows: long runs of memory, yet enough pieces that a thread which is held up can be helped.
std::size_t direct_columns(std::size_t columns, std::size_t threads) {
  return std::max<std::size_t>(16, (columns / (pieces_per_thread * threads) + 15) / 16 * 16);
}

/// What the largest of 32 weights becomes in 8 bits. Levels of Q4_0 (-8 to 7) and Q5_0 (-16 to 15) stay whole numbers: rounded, they
/// would all err on the same side.
float full_scale(DType type) { return type == DType::q4_0 ? 8.0f * 15.0f : type == DType::q5_0 ? 16.0f * 7.0f : 127.0f; }

template <class Row>
void by_rows(ThreadPool& pool, std::size_t count, const Row& row) {
  constexpr std::size_t rows_apiece = 16;
  pool.run((count + rows_apiece - 1) / rows_apiece, [&](std::size_t piece, std::size_t) {
    const std::size_t first = piece * rows_apiece;
    for (std::size_t r = first; r < std::min(count, first + rows_apiece); ++r) row(r);
  });
}

}  // namespace

struct Products::Panel {
  WeightPanel weights;
  const float* bias;  // of the first column, or null
  DenseRows<float> out;
  std::size_t first_row = 0;  // of x and out: a panel may be shared by rows
};

/// What one thread keeps, so that nothing is shared and nothing is locked.
struct Products::Worker {
  std::vector<float> panel;  // expanded
  std::vector<std::uint16_t> packed_panel;
  std::vector<std::uint8_t> byte_panel;
  std::vector<float> byte_scales;
};

Products::Products(Precision precision, ThreadPool& pool)
    : pool_(pool),
      fast_(precision != Precision::exact),
      bf16_(fast_ && has_bf16_products()),
      int8_(precision == Precision::int8),
      workers_(std::make_unique<Worker[]>(pool.threads())) {}
Products::~Products() = default;

Products::ManyRows Products::many_rows_of(std::span<const Product> products) const {
  if (int8_ && std::ranges::all_of(products, &Product::coarse)) return ManyRows::int8;
  return bf16_ ? ManyRows::bf16 : ManyRows::f32;
}

std::string_view Products::many_rows_arithmetic() const {
  if (int8_) return bf16_ ? "int8 and bf16" : "int8 and f32";
  return bf16_ ? "bf16" : "f32";
}

/// x itself where its rows end with a chunk, else a copy padded with zeros.
DenseRows<const float> Products::padded(TensorView<const float, 2> x) {
  const std::size_t inner = x.extent(1), stride = padded_to_chunk(inner);
  if (inner == stride) return {x.data(), x.stride(0), x.extent(0)};
  padded_.assign(x.extent(0) * stride, 0.0f);
  for (std::size_t r = 0; r < x.extent(0); ++r) std::copy_n(&x(r, 0), inner, padded_.data() + r * stride);
  return {padded_.data(), stride, x.extent(0)};
}

/// Of the product number `index` of this call, as f32; null where it has none.
const float* Products::bias_of(const Product& product, std::size_t index) {
  const Weight* bias = product.bias;
  if (!bias) return nullptr;
  VITRINE_CHECK(bias->cols == product.weight->rows);
  if (bias->type == DType::f32) return reinterpret_cast<const float*>(bias->data);
  if (biases_.size() <= index) biases_.resize(index + 1);
  biases_[index].resize(bias->cols);
  dtype_info(bias->type).expand(bias->data, biases_[index].data(), bias->cols);
  return biases_[index].data();
}

void Products::make_panels(std::span<const Product> products, std::size_t rows, ManyRows many) {
  panels_.clear();
  std::size_t columns = 0;
  for (const Product& product : products) columns += product.weight->rows;
  for (const Product& product : products) {
    const Weight& weight = *product.weight;
    const float* bias = bias_of(product, static_cast<std::size_t>(&product - products.data()));
    const bool direct = rows <= few_rows && is_chunked(panel_of(weight, 0, 1));
    const std::size_t step = direct ? direct_columns(columns, pool_.threads()) : many != ManyRows::f32 ? packed_columns : panel_columns(weight.cols);
    for (std::size_t begin = 0; begin < weight.rows; begin += step) {
      panels_.push_back(
          {panel_of(weight, begin, std::min(step, weight.rows - begin)),
           bias ? bias + begin : nullptr,
           {product.out.data() + begin, product.out.stride(0), rows}});
    }
  }
}

/// Panels that would leave threads without work at the end are shared by rows, each thread packing the panel for itself.
void Products::share_last(std::vector<Panel>& panels) const {
  constexpr std::size_t worth_packing = 48;  // rows
  const std::size_t threads = pool_.threads(), left = panels.size() % threads;
  if (left == 0 || panels.back().out.count < worth_packing * threads) return;
  const std::vector<Panel> last(panels.end() - static_cast<std::ptrdiff_t>(left), panels.end());
  panels.resize(panels.size() - left);
  for (const Panel& whole : last) {
    const std::size_t step = (whole.out.count + threads - 1) / threads;
    for (std::size_t row = 0; row < whole.out.count; row += step) {
      Panel part = whole;
      part.first_row = row;
      part.out = {whole.out.data + row * whole.out.stride, whole.out.stride, std::min(step, whole.out.count - row)};
      panels.push_back(part);
    }
  }
}

bool Products::wants_integers(const WeightPanel& weights) const {
  return fast_ && (weights.sparse ? has_sparse_int16(weights.type) : has_int16_product(weights.type));
}

void Products::run_few(const DenseRows<const float>& x, const Panel& panel) {
  if (!wants_integers(panel.weights)) return multiply_panel(x, panel.weights, panel.bias, panel.out);
  (panel.weights.sparse ? multiply_sparse_int16 : multiply_panel_int16)(integers_, panel.weights, panel.bias, panel.out);
}

void Products::run_exact(const DenseRows<const float>& x, const Panel& panel, Worker& worker) {
  if (x.count <= few_rows && is_chunked(panel.weights)) {
    return run_few(x, panel);
  }
  const std::size_t stride = padded_to_chunk(panel.weights.inner);
  worker.panel.resize(std::max(worker.panel.size(), panel.weights.count * stride));
  expand_panel(panel.weights, {worker.panel.data(), stride, panel.weights.count});
  const WeightPanel expanded{DType::f32, reinterpret_cast<const std::byte*>(worker.panel.data()),
                             stride * sizeof(float), panel.weights.count, stride};
  multiply_panel(x, expanded, panel.bias, panel.out);
}

void Products::round_input(const DenseRows<const float>& x, std::size_t inner) {
  rounded_.resize(std::max(rounded_.size(), x.count * inner));
  by_rows(pool_, x.count, [&](std::size_t r) { round_to_bf16(x.data + r * x.stride, inner, rounded_.data() + r * inner); });
}

void Products::round_input_int8(const DenseRows<const float>& x, std::size_t inner) {
  bytes_.resize(x.count, inner);
  by_rows(pool_, x.count, [&](std::size_t r) { bytes_.round(r, x.data + r * x.stride); });
}

void Products::run_int8(const Panel& panel, Worker& worker) {
  const std::size_t inner = bytes_.inner();
  worker.byte_panel.resize(std::max(worker.byte_panel.size(), int8_columns * inner));
  worker.byte_scales.resize(std::max(worker.byte_scales.size(), int8_columns * inner / int8_chunk));
  worker.panel.resize(std::max(worker.panel.size(), int8_pack_rows * inner));
  const Int8Panel packed{worker.byte_panel.data(), worker.byte_scales.data()};
  for (std::size_t row = 0; row < panel.weights.count; row += int8_pack_rows) {
    expand_rows(panel.weights, row, int8_pack_rows, worker.panel.data());
    pack_int8(worker.panel.data(), inner, row, packed, full_scale(panel.weights.type));
  }
  multiply_int8({bytes_, panel.first_row, panel.out.count, packed, panel.weights.count, panel.bias, panel.out.data, panel.out.stride});
}

void Products::run_bf16(const DenseRows<const std::uint16_t>& x, const Panel& panel, Worker& worker) {
  worker.packed_panel.resize(std::max(worker.packed_panel.size(), packed_columns * x.stride));
  worker.panel.resize(std::max(worker.panel.size(), packed_rows * x.stride));
  pack_panel(panel.weights, worker.packed_panel.data(), worker.panel.data());
  multiply_packed({x.data + panel.first_row * x.stride, x.stride, panel.out.count, worker.packed_panel.data(), x.stride, panel.weights.count, panel.bias,
                   panel.out.data, panel.out.stride});
}

void Products::multiply(TensorView<const float, 2> x, std::span<const Product> products) {
  for (const Product& product : products) {
    VITRINE_CHECK(product.weight->cols == x.extent(1) && product.weight->rows == product.out.extent(1));
    VITRINE_CHECK(product.out.extent(0) == x.extent(0));
  }
  const DenseRows<const float> rows = padded(x);
  const ManyRows many = many_rows_of(products);
  make_panels(products, x.extent(0), many);
  std::vector<Panel>& panels = panels_;
  if (many == ManyRows::f32 || x.extent(0) <= few_rows) {
    const auto wants = [this](const Product& product) { return wants_integers(panel_of(*product.weight, 0, 1)); };
    if (x.extent(0) <= few_rows && std::ranges::any_of(products, wants)) {
      integers_.round(rows, padded_to_chunk(x.extent(1)));
    }
    return pool_.run(panels.size(),
                     [&](std::size_t i, std::size_t worker) { run_exact(rows, panels[i], workers_[worker]); });
  }
  share_last(panels);
  const std::size_t inner = padded_to_chunk(x.extent(1));
  if (many == ManyRows::int8) {
    round_input_int8(rows, inner);
    return pool_.run(panels.size(), [&](std::size_t i, std::size_t worker) { run_int8(panels[i], workers_[worker]); });
  }
  round_input(rows, inner);
  const DenseRows<const std::uint16_t> rounded{rounded_.data(), inner, x.extent(0)};
  pool_.run(panels.size(), [&](std::size_t i, std::size_t worker) { run_bf16(rounded, panels[i], workers_[worker]); });
}

}  // namespace vitrine
