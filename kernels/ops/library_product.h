#pragma once

#include <cstddef>
#include <memory>

#include "kernels/ops/dense.h"

namespace vitrine {

/// Dense f32 products through oneDNN, with primitives kept per shape. One object a worker: it is not shared by threads.
class LibraryProduct {
 public:
  LibraryProduct();
  ~LibraryProduct();

  /// out = a * b^T: a [a.count, inner], b [b.count, inner], out [a.count, b.count]
  void rows_by_rows(const DenseRows<const float>& a, const DenseRows<const float>& b, std::size_t inner, const DenseRows<float>& out);
  /// out = a * b: a [a.count, b.count], b [b.count, columns], out [a.count, columns]
  void rows_by_columns(const DenseRows<const float>& a, const DenseRows<const float>& b, std::size_t columns, const DenseRows<float>& out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vitrine
