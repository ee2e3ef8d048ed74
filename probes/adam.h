#pragma once

#include <cmath>
#include <span>
#include <vector>

namespace vitrine {

/// Adam (Kingma & Ba 2015, algorithm 1) with its usual constants, of one vector of parameters.
class Adam {
 public:
  explicit Adam(std::size_t count) : first_(count, 0.0), second_(count, 0.0) {}

  void step(std::span<const float> gradient, double rate, std::span<float> parameters) {
    ++steps_;
    const double first_bias = 1.0 - std::pow(0.9, steps_), second_bias = 1.0 - std::pow(0.999, steps_);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const double g = gradient[i];
      first_[i] = 0.9 * first_[i] + 0.1 * g;
      second_[i] = 0.999 * second_[i] + 0.001 * g * g;
      parameters[i] -= static_cast<float>(rate * (first_[i] / first_bias) / (std::sqrt(second_[i] / second_bias) + 1e-8));
    }
  }

 private:
  double steps_ = 0.0;
  std::vector<double> first_, second_;
};

}  // namespace vitrine
