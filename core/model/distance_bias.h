#pragma once

#include "core/model/score_rule.h"
#include "core/model/weights.h"

namespace vitrine {

constexpr std::size_t furthest_bucketed = std::size_t{1} << 20;
/// Whether there are such buckets, of a size that a table can have.
bool makes_sense(const DistanceBuckets& buckets);

/// The bucket of a distance key - query (Raffel et al. 2020, arXiv:1910.10683, section 2.1, and the code published with it): one
/// bucket a distance up to half of them, then logarithmically wider ones; in f32, as models are trained.
std::size_t bucket_of(const DistanceBuckets& buckets, std::ptrdiff_t distance);

/// The distance of the first column of an expanded table; the last one is that of `furthest` keys behind the query, or 0. Those
/// outside share a bucket with the nearest column.
std::ptrdiff_t first_distance(const DistanceBuckets& buckets);

/// A model's numbers a bucket to numbers a distance. @param by_bucket  [buckets, heads]  @returns [heads, distances]
Tensor expand_buckets(const DistanceBuckets& buckets, const Weight& by_bucket);

/// Back: a bucket's number is that of its nearest distance; buckets that no distance reaches are 0.
/// @param by_distance  [heads, distances]  @returns [buckets, heads]
Tensor collapse_buckets(const DistanceBuckets& buckets, const Weight& by_distance);

/// What a block's self attention adds to its scaled scores: a look at the description's slopes and at the weight
/// Role::distance_bias, both of which must outlive it. @param stack  of the description that the block belongs to
DistanceBias distance_bias(const ModelSpec& stack, const WeightStore& weights, int block);

}  // namespace vitrine
