#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace vitrine {

/// A graph of layers of `width` nodes each, whose arcs go from a node to those of the layer below.
struct LayeredGraph {
  std::size_t width = 0;
  std::vector<std::vector<double>> capacity;  ///< [layers][width, width]: from node i of layer l + 1 to node j of layer l
};

/// The largest flow from a node of the top layer to a node of the bottom, by Dinic's algorithm (1970): blocking flows along shortest
/// paths of the residual graph until none is left. Capacities below 1e-12 count as 0.
double maximum_flow(const LayeredGraph& graph, std::size_t source, std::size_t target);

}  // namespace vitrine
