#pragma once

#include <map>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "core/base/linear_algebra.h"
#include "core/model/forwarding_ops.h"
#include "core/model/model_runner.h"

namespace vitrine {

/// What the rows that a matrix multiplied were like, over all rows of a calibration text.
struct InputStatistics {
  std::size_t rows = 0;
  std::vector<double> square_sums;     ///< [cols] of every column's numbers
  std::vector<double> magnitude_sums;  ///< [cols]
  Matrix gram;                         ///< [cols, cols] X^T X; empty where nobody asked for it
};

/// [cols] Mean square of what each column of a matrix was multiplied with; empty without statistics.
std::vector<float> importance_of(const InputStatistics* statistics);

/// X^T X with a share of its mean diagonal added to the diagonal; columns that nothing ever came through get a 1 there first.
Matrix damped(Matrix gram, double share);

enum class Statistics { columns, gram };

using SharedStatistics = std::shared_ptr<const InputStatistics>;
using StatisticsOf = std::map<WeightKey, SharedStatistics>;

/// Arithmetic that looks at what wanted matrices multiply, and hands it on. Matrices that share their input share their statistics.
class WatchingOps : public ForwardingOps {
 public:
  /// @param model  whose weights stay where they are while this is used
  WatchingOps(Ops& base, const Model& model, const std::set<WeightKey>& wanted, Statistics statistics);

  void multiply(TensorView<const float, 2> x, std::span<const Product> products) override;
  /// Of each wanted matrix that was multiplied.
  StatisticsOf take();

 private:
  void add(TensorView<const float, 2> x, InputStatistics& to);
  void add_gram(TensorView<const float, 2> x, InputStatistics& to);

  Statistics statistics_;
  std::map<const Weight*, WeightKey> keys_;
  std::map<WeightKey, std::shared_ptr<InputStatistics>> found_;
};

/// Runs texts through a model and looks at what goes into each wanted matrix, whatever the architecture: it stands before the products.
/// @param runner  of exact precision
/// @returns of each wanted matrix that was multiplied; an expert that no row took has no entry
StatisticsOf input_statistics(const ModelRunner& runner, std::span<const ModelText> texts, const std::set<WeightKey>& wanted,
                              Statistics statistics);

}  // namespace vitrine
