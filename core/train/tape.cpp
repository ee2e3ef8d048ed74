#include "core/train/tape.h"

#include "core/base/error.h"

namespace vitrine {
namespace {

bool same_shape(const Step& a, const Step& b) {
  if (a.kept.size() != b.kept.size() || (a.attention != nullptr) != (b.attention != nullptr)) return false;
  for (std::size_t i = 0; i < a.kept.size(); ++i) {
    if (a.kept[i].rows != b.kept[i].rows || a.kept[i].cols != b.kept[i].cols) return false;
  }
  return !a.attention || (a.attention->problem.k.kv_len == b.attention->problem.k.kv_len && a.attention->problem.q.shape() == b.attention->problem.q.shape());
}

}  // namespace

void Tape::pull_back(const Tape& other, Run& run) const {
  bool same = other.size() == size();
  for (std::size_t i = 0; same && &other != this && i < size(); ++i) same = same_shape(steps_[i], other.steps_[i]);
  if (!same) throw Error({"difference of two texts", "two that go the same way through the model", "other experts or another shape", "use a method of gradients"});
  AdjointMemory memory;
  for (std::size_t i = size(); i-- > 0;) {
    if (run.cancelled()) throw Cancelled();
    steps_[i].pull(steps_[i], other.steps_[i], memory);
  }
}

}  // namespace vitrine
