#include "probes/layered_flow.h"

#include <algorithm>
#include <limits>

#include "core/base/error.h"

namespace vitrine {
namespace {

constexpr double nothing = 1e-12;
constexpr std::size_t unreached = std::numeric_limits<std::size_t>::max();

/// Residual capacities of a graph, its levels and the arcs that are still to be tried.
class Dinic {
 public:
  Dinic(const LayeredGraph& graph, std::size_t source, std::size_t target)
      : width_(graph.width),
        layers_(graph.capacity.size()),
        down_(graph.capacity),
        up_(layers_, std::vector<double>(width_ * width_, 0.0)),
        source_(layers_ * width_ + source),
        target_(target),
        level_((layers_ + 1) * width_),
        next_(level_.size()) {}

  double run() {
    double total = 0.0;
    while (find_levels()) {
      std::ranges::fill(next_, std::size_t{0});
      for (double pushed = 0.0; (pushed = push(source_, std::numeric_limits<double>::infinity())) > nothing;) total += pushed;
    }
    return total;
  }

 private:
  /// Arc `index` of a node: below `width_` down to that node of the layer below, else up.
  struct Arc {
    std::size_t to = 0;
    double* left = nullptr;
    double* back = nullptr;
  };
  Arc arc(std::size_t node, std::size_t index) {
    const std::size_t layer = node / width_, place = node % width_;
    if (index < width_) {
      if (layer == 0) return {};
      const std::size_t cell = place * width_ + index;
      return {(layer - 1) * width_ + index, &down_[layer - 1][cell], &up_[layer - 1][cell]};
    }
    if (layer == layers_) return {};
    const std::size_t cell = (index - width_) * width_ + place;
    return {(layer + 1) * width_ + index - width_, &up_[layer][cell], &down_[layer][cell]};
  }

  bool find_levels() {
    std::ranges::fill(level_, unreached);
    std::vector<std::size_t> queue{source_};
    level_[source_] = 0;
    for (std::size_t head = 0; head < queue.size() && level_[target_] == unreached; ++head) {
      for (std::size_t i = 0; i < 2 * width_; ++i) {
        const Arc to = arc(queue[head], i);
        if (!to.left || *to.left <= nothing || level_[to.to] != unreached) continue;
        level_[to.to] = level_[queue[head]] + 1;
        queue.push_back(to.to);
      }
    }
    return level_[target_] != unreached;
  }

  /// As deep as a shortest path is long.
  double push(std::size_t node, double most) {
    if (node == target_) return most;
    for (std::size_t& i = next_[node]; i < 2 * width_; ++i) {
      const Arc to = arc(node, i);
      if (!to.left || *to.left <= nothing || level_[to.to] != level_[node] + 1) continue;
      const double pushed = push(to.to, std::min(most, *to.left));
      if (pushed <= nothing) continue;
      *to.left -= pushed;
      *to.back += pushed;
      return pushed;
    }
    return 0.0;
  }

  std::size_t width_, layers_;
  std::vector<std::vector<double>> down_, up_;  // [layers][width, width] what may still go down, and back
  std::size_t source_, target_;
  std::vector<std::size_t> level_, next_;  // [layers + 1, width]
};

}  // namespace

double maximum_flow(const LayeredGraph& graph, std::size_t source, std::size_t target) {
  VITRINE_CHECK(source < graph.width && target < graph.width && !graph.capacity.empty());
  return Dinic(graph, source, target).run();
}

}  // namespace vitrine
