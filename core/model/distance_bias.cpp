#include "core/model/distance_bias.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"

namespace vitrine {

bool makes_sense(const DistanceBuckets& buckets) {
  const std::size_t count = buckets.both_sides ? buckets.count / 2 : buckets.count;
  return count >= 2 && buckets.count >= 4 && buckets.count <= furthest_bucketed && buckets.furthest > count / 2 && buckets.furthest <= furthest_bucketed;
}

std::size_t bucket_of(const DistanceBuckets& buckets, std::ptrdiff_t distance) {
  std::size_t count = buckets.count, first = 0;
  if (buckets.both_sides) {
    count /= 2;
    if (distance > 0) first = count;
    distance = std::abs(distance);
  } else {
    distance = std::max<std::ptrdiff_t>(-distance, 0);
  }
  const auto away = static_cast<std::size_t>(distance), single = count / 2;
  if (away < single) return first + away;
  const float share = std::log(static_cast<float>(away) / static_cast<float>(single)) /
                      static_cast<float>(std::log(static_cast<double>(buckets.furthest) / static_cast<double>(single)));
  const auto wide = static_cast<std::size_t>(share * static_cast<float>(count - single));
  return first + std::min(single + wide, count - 1);
}

std::ptrdiff_t first_distance(const DistanceBuckets& buckets) { return -static_cast<std::ptrdiff_t>(buckets.furthest); }

Tensor expand_buckets(const DistanceBuckets& buckets, const Weight& by_bucket) {
  VITRINE_CHECK(by_bucket.rows == buckets.count);
  const std::size_t heads = by_bucket.cols, distances = buckets.furthest * (buckets.both_sides ? 2 : 1) + 1;
  const Tensor numbers = expand(by_bucket);
  Tensor table(DType::f32, {heads, distances});
  for (std::size_t d = 0; d < distances; ++d) {
    const std::size_t bucket = bucket_of(buckets, first_distance(buckets) + static_cast<std::ptrdiff_t>(d));
    for (std::size_t h = 0; h < heads; ++h) table.floats()[h * distances + d] = numbers.floats()[bucket * heads + h];
  }
  return table;
}

Tensor collapse_buckets(const DistanceBuckets& buckets, const Weight& by_distance) {
  const std::size_t heads = by_distance.rows, distances = by_distance.cols;
  const Tensor numbers = expand(by_distance);
  Tensor table(DType::f32, {buckets.count, heads});
  std::ranges::fill(table.floats(), 0.0f);
  for (std::size_t d = 0; d < distances; ++d) {
    const std::size_t bucket = bucket_of(buckets, first_distance(buckets) + static_cast<std::ptrdiff_t>(d));
    for (std::size_t h = 0; h < heads; ++h) table.floats()[bucket * heads + h] = numbers.floats()[h * distances + d];
  }
  return table;
}

DistanceBias distance_bias(const ModelSpec& stack, const WeightStore& weights, int block) {
  const AttentionSpec& attention = stack.blocks[static_cast<std::size_t>(block)].attention;
  DistanceBias bias{.table = {}, .first = 0, .slope = attention.distance_slopes};
  if (!attention.distance_buckets) return bias;
  const Weight& table = weights.at({Role::distance_bias, block, false, stack.stack});
  VITRINE_CHECK(table.type == DType::f32);
  bias.table = {reinterpret_cast<const float*>(table.data), {table.rows, table.cols}};
  bias.first = first_distance(*attention.distance_buckets);
  return bias;
}

}  // namespace vitrine
