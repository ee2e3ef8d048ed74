#include "core/model/distance_bias.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "core/tensor/tensor.h"

namespace vitrine {
namespace {

/// Numbers of transformers' T5Attention._relative_position_bucket, 32 buckets up to 128.
TEST(DistanceBias, BucketsAreThoseOfTrainedModels) {
  const struct {
    std::ptrdiff_t distance;
    std::size_t both, before;
  } cases[] = {
      {-5000, 15, 31}, {-200, 15, 31}, {-128, 15, 31}, {-127, 15, 31}, {-120, 15, 31}, {-113, 15, 31},
      {-112, 15, 30}, {-100, 15, 30}, {-91, 15, 29}, {-90, 14, 29}, {-64, 14, 26}, {-63, 13, 26}, {-46, 13, 24},
      {-45, 12, 23}, {-33, 12, 21}, {-32, 12, 21}, {-31, 11, 21}, {-23, 11, 18}, {-22, 10, 18}, {-17, 10, 16},
      {-16, 10, 16}, {-15, 9, 15}, {-12, 9, 12}, {-11, 8, 11}, {-9, 8, 9}, {-8, 8, 8}, {-7, 7, 7}, {-1, 1, 1},
      {0, 0, 0}, {1, 17, 0}, {7, 23, 0}, {8, 24, 0}, {9, 24, 0}, {11, 24, 0}, {12, 25, 0}, {15, 25, 0},
      {16, 26, 0}, {17, 26, 0}, {22, 26, 0}, {23, 27, 0}, {31, 27, 0}, {32, 28, 0}, {45, 28, 0}, {46, 29, 0},
      {63, 29, 0}, {64, 30, 0}, {90, 30, 0}, {91, 31, 0}, {127, 31, 0}, {128, 31, 0}, {1000, 31, 0}};
  for (const auto& expected : cases) {
    EXPECT_EQ(bucket_of({32, 128, true}, expected.distance), expected.both) << expected.distance;
    EXPECT_EQ(bucket_of({32, 128, false}, expected.distance), expected.before) << expected.distance;
  }
}

TEST(DistanceBias, TheExpandedTableHoldsEachDistancesNumber) {
  for (const DistanceBuckets buckets : {DistanceBuckets{32, 128, true}, {32, 128, false}, {8, 20, true}, {6, 9, true}, {5, 7, false}}) {
    ASSERT_TRUE(makes_sense(buckets));
    Tensor numbers(DType::f32, {buckets.count, 2});
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers.floats()[i] = static_cast<float>(i);
    const Tensor table = expand_buckets(buckets, make_weight(std::move(numbers)));
    const auto first = first_distance(buckets);
    const auto distances = static_cast<std::ptrdiff_t>(table.size() / 2);
    for (std::ptrdiff_t distance = -2000; distance <= 2000; ++distance) {  // beyond the table its border counts
      const auto column = static_cast<std::size_t>(std::clamp<std::ptrdiff_t>(distance - first, 0, distances - 1));
      for (std::size_t h = 0; h < 2; ++h) {
        ASSERT_EQ(table.floats()[h * static_cast<std::size_t>(distances) + column], static_cast<float>(2 * bucket_of(buckets, distance) + h)) << distance;
      }
    }
  }
}

TEST(DistanceBias, RefusesBucketsThatCannotBe) {
  for (const DistanceBuckets buckets : {DistanceBuckets{0, 128, true}, {2, 128, true}, {32, 8, true}, {32, 16, false}, {32, std::size_t{1} << 40, true}}) {
    EXPECT_FALSE(makes_sense(buckets)) << buckets.count << " " << buckets.furthest;
  }
}

}  // namespace
}  // namespace vitrine
