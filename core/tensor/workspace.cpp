#include "core/tensor/workspace.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "core/tensor/tensor.h"

namespace vitrine {

struct Workspace::Slot {
  Tensor buffer;
};

Workspace::Workspace() : poison_(std::getenv("VITRINE_POISON") != nullptr) {}
Workspace::~Workspace() = default;

float* Workspace::floats(std::size_t slot, std::size_t count) {
  if (slot >= slots_.size()) slots_.resize(slot + 1);
  Tensor& buffer = slots_[slot].buffer;
  if (buffer.size() < count) {
    buffer = Tensor(DType::f32, {std::max<std::size_t>(count, 16)});
    if (poison_) std::fill(buffer.floats().begin(), buffer.floats().end(), NAN);
  }
  return buffer.floats().data();
}

std::size_t Workspace::bytes() const {
  std::size_t sum = 0;
  for (const Slot& slot : slots_) sum += slot.buffer.bytes().size();
  return sum;
}

}  // namespace vitrine
