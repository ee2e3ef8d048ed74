#pragma once

#include <cstddef>
#include <memory>
#include <memory_resource>
#include <vector>

#include "core/tensor/tensor_view.h"

namespace vitrine {

/// Where the forward pass gets its outputs from. Buffers are named by slot and only grow, so that a token loop
/// allocates nothing after its first step. Contents are unspecified (NaN where VITRINE_POISON is set in the
/// environment, so that a test sees what was never written).
class Workspace {
 public:
  Workspace();
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  /// f32 numbers of slot `slot`, 64-byte aligned, valid until the same slot is asked for again with more.
  float* floats(std::size_t slot, std::size_t count);
  TensorView<float, 2> matrix(std::size_t slot, std::size_t rows, std::size_t cols) {
    return {floats(slot, rows * cols), {rows, cols}};
  }
  /// For the lists of a pass: what they give back is kept for the next one, as the buffers are.
  std::pmr::memory_resource* lists() { return &lists_; }
  std::size_t bytes() const;

 private:
  struct Slot;
  std::vector<Slot> slots_;
  std::pmr::unsynchronized_pool_resource lists_;
  bool poison_;
};

}  // namespace vitrine
