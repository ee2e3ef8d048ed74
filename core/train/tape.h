#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "core/base/run.h"
#include "core/model/attention.h"
#include "core/train/adjoint_memory.h"

namespace vitrine {

/// An attention problem whose factors outlive the pass, and what is asked of its maps.
struct KeptProblem {
  AttentionProblem problem;  ///< looks at what is kept here, at caches and weights; `out` names where z lay
  PatternRule rule;
  Numbers q, k, v, r, threshold;
  std::vector<std::uint64_t> allowed;

  /// Rows of a map's gradient that somebody reads, in the place of those that rewritten heads have.
  struct MapRead {
    bool scores;                      ///< before the softmax, else the weights
    std::size_t first_row, rows;
    std::function<void(TensorView<const float, 3>)> give;  ///< [rows, heads, kv_len]
  };
  std::vector<MapRead> reads;
  struct Rewritten {
    std::size_t head, row;
    Numbers flow;  ///< [rows, kv_len] into the weights that somebody wrote
  };
  std::vector<Rewritten> rewritten;
};

/// One operation of a pass: what it keeps of its inputs, and how what flows into its outputs goes on to its inputs.
struct Step {
  std::vector<Numbers> kept{};
  std::shared_ptr<KeptProblem> attention{};
  /// @param own    this step
  /// @param other  that of the run at which secants end; this step for derivatives
  std::function<void(const Step& own, const Step& other, AdjointMemory& memory)> pull;
};

/// The operations of one pass in their order. Going back through them turns what flows into logits into what flows into every value
/// on the way: of one run derivatives. Between two runs of texts of one shape secants: every step hands on multipliers m with
/// sum(m_out * (out - out')) == sum(m_in * (in - in')), so that a difference of results is shared out among the inputs without
/// a rest.
class Tape {
 public:
  void push(Step step) { steps_.push_back(std::move(step)); }
  std::size_t size() const { return steps_.size(); }

  /// @param other  of a run through the same operations on other values; the tape itself for derivatives
  /// @throws Error where the other run went another way (experts that one chose and the other did not)
  void pull_back(const Tape& other, Run& run) const;

 private:
  std::vector<Step> steps_;
};

}  // namespace vitrine
