#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "core/model/ops.h"
#include "kernels/ops/dense.h"
#include "kernels/ops/int16.h"
#include "kernels/simd/int8_x86.h"

namespace vitrine {

/// Products of one input with several weights, in panels of output columns that the workers share.
/// Few rows are multiplied straight on the blocks; for more, each panel is expanded once and all rows run over it.
/// exact: f32, every sum in the same order whatever the number of rows, so that a row's bits depend on nothing else.
/// fast: a few rows are rounded to 16-bit integers per chunk where the weights are quantised; many are rounded to
/// bfloat16, where the CPU has instructions for it.
/// int8: as fast, but many rows of coarse products are rounded to 8 bits (kernels/simd/int8_x86.h).
class Products {
 public:
  Products(Precision precision, ThreadPool& pool);
  ~Products();
  void multiply(TensorView<const float, 2> x, std::span<const Product> products);
  /// "f32", "bf16", "int8 and bf16": the arithmetic of products of many rows.
  std::string_view many_rows_arithmetic() const;

 private:
  struct Panel;
  struct Worker;
  enum class ManyRows { f32, bf16, int8 };
  DenseRows<const float> padded(TensorView<const float, 2> x);
  void round_input(const DenseRows<const float>& x, std::size_t inner);
  void round_input_int8(const DenseRows<const float>& x, std::size_t inner);
  /// Whether few rows are multiplied with these weights as 16-bit integers.
  bool wants_integers(const WeightPanel& weights) const;
  void run_few(const DenseRows<const float>& x, const Panel& panel);
  void run_exact(const DenseRows<const float>& x, const Panel& panel, Worker& worker);
  void run_bf16(const DenseRows<const std::uint16_t>& x, const Panel& panel, Worker& worker);
  void run_int8(const Panel& panel, Worker& worker);
  void make_panels(std::span<const Product> products, std::size_t rows, ManyRows many);
  const float* bias_of(const Product& product, std::size_t index);
  void share_last(std::vector<Panel>& panels) const;

  ManyRows many_rows_of(std::span<const Product> products) const;

  ThreadPool& pool_;
  bool fast_, bf16_, int8_;
  Int16Rows integers_;  // x as 16-bit integers
  std::unique_ptr<Worker[]> workers_;
  std::vector<float> padded_;               // x, where its rows end inside a chunk
  std::vector<std::uint16_t> rounded_;      // x as bf16
  Int8Rows bytes_;                          // x as 8-bit integers
  std::vector<std::vector<float>> biases_;  // of this call's products, where they are not f32
  std::vector<Panel> panels_;               // of this call
};

}  // namespace vitrine
