#include "experiments/hook_errors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "experiments/session.h"
#include "experiments/variant.h"

namespace vitrine {
namespace {

Session open(const std::string& name) {
  CommonOptions options;
  options.model = (std::filesystem::path(VITRINE_TEST_DATA) / "golden" / name / "model").string();
  options.precision = "exact";
  options.quiet = true;
  return Session(options);
}

TEST(HookErrors, AreWhatTheirNamesSay) {
  HookError error;
  for (const auto& [a, b] : {std::pair{1.0, 2.0}, {-3.0, -1.0}, {0.5, 0.5}}) error += {(a - b) * (a - b), b * b, a * a, a * b};
  EXPECT_DOUBLE_EQ(error.relative(), std::sqrt(5.0 / 5.25));
  EXPECT_DOUBLE_EQ(error.cosine(), 5.25 / std::sqrt(5.25 * 10.25));
  EXPECT_TRUE(std::isnan(HookError().relative()) && std::isnan(HookError().cosine()));
}

/// Values of a whole run at one point.
std::vector<float> values_at(Variant& variant, std::span<const TokenId> ids, const ProbePoint& point) {
  PointValues values({point});
  Observer* observers[] = {&values};
  variant.run(ids, observers);
  std::vector<float> all;
  for (std::size_t row = 0; row < values.rows(point); ++row) {
    for (std::size_t h = 0; h < values.heads(point); ++h) {
      const auto numbers = values.row(point, row, h);
      all.insert(all.end(), numbers.begin(), numbers.end());
    }
  }
  return all;
}

TEST(HookErrors, CompareEveryPointOfTwoRuns) {
  const std::vector<TokenId> ids{3, 14, 15, 9, 26, 5, 35, 8, 9, 7};
  for (const std::string name : {"llama", "gpt2", "bert"}) {
    Session session = open(name);
    const std::vector<ProbePoint> points = comparable_points(session.model().spec);
    const Model noisy = with_noise_as_far_as(session.model(), with_weights(session.model(), DType::f16, session.pool(), session.run()), 1, session.ops().pool());
    Variant reference({"reference", Precision::exact, "reference", DType::f32}, session.model(), session.pool());
    Variant other({"noise", Precision::exact, "reference", DType::f32}, noisy, session.pool());
    PointValues kept(points);
    Observer* keeps[] = {&kept};
    reference.run(ids, keeps);
    HookComparison same(kept, points), apart(kept, points);
    Observer *of_same[] = {&same}, *of_apart[] = {&apart};
    reference.run(ids, of_same);
    other.run(ids, of_apart);
    ASSERT_EQ(apart.errors().size(), points.size());
    for (const ProbePoint& point : points) {
      EXPECT_EQ(same.errors().at(point).squared_distance, 0.0) << point_name(point);
      const std::vector<float> a = values_at(other, ids, point), b = values_at(reference, ids, point);
      double distance = 0.0, size = 0.0;
      for (std::size_t i = 0; i < a.size(); ++i) {
        distance += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
        size += static_cast<double>(b[i]) * b[i];
      }
      EXPECT_GT(size, 0.0) << point_name(point);
      EXPECT_NEAR(apart.errors().at(point).relative(), std::sqrt(distance / size), 1e-12) << point_name(point);
    }
  }
}

double distance(const Weight& a, const Weight& b) {
  const Tensor x = expand(a), y = expand(b);
  double sum = 0.0;
  for (std::size_t i = 0; i < x.floats().size(); ++i) sum += (static_cast<double>(x.floats()[i]) - y.floats()[i]) * (static_cast<double>(x.floats()[i]) - y.floats()[i]);
  return std::sqrt(sum);
}

TEST(HookErrors, NoiseIsAsFarAsTheOtherFile) {
  Session session = open("llama");
  const Model other = with_weights(session.model(), DType::f16, session.pool(), session.run());
  std::set<double> first_numbers;
  for (const std::uint64_t seed : {0u, 1u}) {
    const Model noisy = with_noise_as_far_as(session.model(), other, seed, session.ops().pool());
    for (const WeightKey& key : block_matrices(session.model())) {
      const double wanted = distance(session.model().weights.at(key), other.weights.at(key));
      EXPECT_GT(wanted, 0.0);
      EXPECT_NEAR(distance(session.model().weights.at(key), noisy.weights.at(key)), wanted, 1e-3 * wanted) << role_name(key.role);
    }
    first_numbers.insert(expand(noisy.weights.at(block_matrices(session.model()).front())).floats()[0]);
    const WeightKey norm{Role::final_norm, -1, false, session.model().spec.stack};
    EXPECT_EQ(distance(session.model().weights.at(norm), noisy.weights.at(norm)), 0.0);
  }
  EXPECT_EQ(first_numbers.size(), 2u) << "draws are alike";
}

/// Blocks that share their matrices (ALBERT) go on sharing them: all are rounded, and all have one noise.
TEST(HookErrors, RoundEveryBlockOfSharedLayers) {
  Session session = open("encoders/albert_mlm");
  const Model& model = session.model();
  const Model rounded = with_weights(model, DType::f16, session.pool(), session.run());
  const Model noisy = with_noise_as_far_as(model, rounded, 1, session.pool());
  ASSERT_GT(model.spec.blocks.size(), 1u);
  for (const Model* changed : {&rounded, &noisy}) {
    EXPECT_EQ(block_matrices(*changed).size(), block_matrices(model).size());
    for (const WeightKey& key : block_matrices(model)) {
      const std::vector<WeightKey> sharing = sharing_matrix(model, key);
      EXPECT_GT(sharing.size(), 1u) << matrix_name(key);
      for (const WeightKey& other : sharing) EXPECT_GT(distance(model.weights.at(other), changed->weights.at(other)), 0.0) << matrix_name(other);
    }
  }
}

TEST(HookErrors, LeaveTheBlockOpen) {
  EXPECT_EQ(hook_name(*parse_point("blocks.3.attn.hook_q")), "blocks.*.attn.hook_q");
  EXPECT_EQ(hook_name(*parse_point("ln_final.hook_normalized")), "ln_final.hook_normalized");
}

}  // namespace
}  // namespace vitrine
