#pragma once

#include <memory>

#include <span>

#include "core/model/ops.h"

namespace vitrine {

/// Products of one input with several weights in f32: fixed panels of output columns, expanded from the blocks and
/// multiplied by oneDNN in blocks of 32 rows, the last one padded with zero rows. The panels depend on the shape only and
/// a row's arithmetic on nothing but that row, so that results are bit-equal for any threads and any number of rows.
class Products {
 public:
  explicit Products(ThreadPool& pool);
  ~Products();
  void multiply(TensorView<const float, 2> x, std::span<const Product> products);

 private:
  struct Worker;
  ThreadPool& pool_;
  std::unique_ptr<Worker[]> workers_;
};

}  // namespace vitrine
