// Derivatives against differences of whole runs, with and without observers that write; the torch ones are in tests/golden.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <optional>
#include <random>

#include "core/base/error.h"
#include "core/model/model.h"
#include "core/train/gradients.h"
#include "kernels/kernels.h"

namespace vitrine {
namespace {

std::filesystem::path golden(const char* name) { return std::filesystem::path(VITRINE_TEST_DATA) / "golden" / name; }

/// Adds a direction times a step to one head of one row at one point.
class Nudge : public Observer {
 public:
  Nudge(const ProbePoint& point, std::uint32_t position, std::size_t head, double step) : point_(point), position_(position), head_(head), step_(step) {}
  Access access(const ProbePoint& point) const override { return point == point_ ? Access::write : Access::none; }
  void see(const ProbePoint&, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      if (rows[r].position != position_) continue;
      for (std::size_t c = 0; c < values.extent(2); ++c) values(r, head_, c) += static_cast<float>(step_ * direction(c));
    }
  }
  static double direction(std::size_t column) { return std::cos(static_cast<double>(column * column + 1)); }

 private:
  ProbePoint point_;
  std::uint32_t position_;
  std::size_t head_;
  double step_;
};

/// The derivative along Nudge's direction.
class Along : public GradientReader {
 public:
  Along(const ProbePoint& point, std::uint32_t position, std::size_t head) : point_(point), position_(position), head_(head) {}
  bool wants(const ProbePoint& point) const override { return point == point_; }
  void see(const ProbePoint&, std::span<const RowRef> rows, TensorView<const float, 3> gradient) override {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      if (rows[r].position != position_) continue;
      for (std::size_t c = 0; c < gradient.extent(2); ++c) sum += gradient(r, head_, c) * Nudge::direction(c);
    }
  }
  double sum = 0.0;

 private:
  ProbePoint point_;
  std::uint32_t position_;
  std::size_t head_;
};

/// Zeroes one head of z in one block, or forces a map to look at the first key alone.
class Writer : public Observer {
 public:
  explicit Writer(const ProbePoint& point) : point_(point) {}
  Access access(const ProbePoint& point) const override { return point == point_ ? Access::write : Access::none; }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      for (std::size_t c = 0; c < values.extent(2); ++c) values(r, 1, c) = is_square(point.site) && c == 0 ? 1.0f : 0.0f;
    }
  }

 private:
  ProbePoint point_;
};

class GradientsOf : public testing::TestWithParam<const char*> {
 protected:
  double run(std::span<Observer* const> observers, const ProbePoint& point, WrittenFlow written = WrittenFlow::stops) {
    reader.emplace(point, row, head);
    const GradientText texts[] = {{.ids = ids}};
    return differentiate({model, *ops, kernel, handle, observers, written}, texts, log_probability_of({0, 10}, 7), *reader);
  }
  /// The difference of runs along a nudge at the point, beside the derivative there.
  void expect_difference(const ProbePoint& point, Observer* writer = nullptr) {
    SCOPED_TRACE(point_name(point));
    constexpr double step = 0.01;
    std::vector<double> values;
    for (const double by : {step, -step}) {
      Nudge nudge(point, row, head, by);
      std::vector<Observer*> observers{&nudge};
      if (writer) observers.push_back(writer);
      values.push_back(run(observers, point));
    }
    std::vector<Observer*> observers;
    if (writer) observers.push_back(writer);
    run(observers, point);
    EXPECT_NEAR(reader->sum, (values[0] - values[1]) / (2 * step), 2e-3 + 5e-3 * std::abs(reader->sum));
  }
  ProbePoint at(int block, Site site) const { return {.stack = model.spec.stack, .block = block, .site = site}; }

  const Model model = load_model(golden(GetParam()) / "model");
  ThreadPool pool{2, initialize_worker};
  std::unique_ptr<Ops> ops = make_cpu_ops(Precision::exact, pool);
  KernelChoice kernel = choose_attention_kernel("flash");
  vitrine::Run handle;
  std::optional<Along> reader;
  std::uint32_t row = 4;
  std::size_t head = 0;
  std::vector<TokenId> ids{3, 9, 14, 1, 22, 9, 5, 30, 2, 17, 8};
};

TEST_P(GradientsOf, AreLimitsOfDifferences) {
  for (const Site site : {Site::resid_pre, Site::v, Site::z, Site::mlp_post, Site::resid_post}) expect_difference(at(0, site));
  if (!model.spec.blocks.front().attention.qk_norm) expect_difference(at(1, Site::q));
}

TEST_P(GradientsOf, GoThroughWhatAnObserverLeaves) {
  Writer ablation(at(1, Site::z));
  expect_difference(at(0, Site::resid_post), &ablation);
  Writer map(at(1, Site::pattern));
  row = 0;  // the key that is seen
  expect_difference(at(0, Site::resid_post), &map);
  expect_difference(at(1, Site::v), &map);
}

TEST_P(GradientsOf, StopAtWrittenNumbersUnlessAsked) {
  head = 1;
  Writer ablation(at(0, Site::z));
  Observer* observers[] = {&ablation};
  run(observers, at(0, Site::z));
  EXPECT_NE(reader->sum, 0.0);  // by the written value itself
  const ProbePoint maps = at(0, Site::pattern);
  row = 10;
  run(observers, maps);
  EXPECT_EQ(reader->sum, 0.0);
  run(observers, maps, WrittenFlow::passes);
  EXPECT_NE(reader->sum, 0.0);
}

TEST_P(GradientsOf, AreTheSameBitsForAnyNumberOfThreads) {
  run({}, at(0, Site::resid_pre));
  const double two = reader->sum;
  ThreadPool alone(1, initialize_worker);
  ops = make_cpu_ops(Precision::exact, alone);
  run({}, at(0, Site::resid_pre));
  EXPECT_EQ(reader->sum, two);
}

TEST_P(GradientsOf, KernelsThatShowFewerKeys) {
  kernel = choose_attention_kernel("sliding_window:window=3");
  expect_difference(at(0, Site::resid_pre));
  kernel = choose_attention_kernel("top_k:k=20");
  expect_difference(at(0, Site::resid_pre));
}

TEST_P(GradientsOf, WhatHasNoneIsRefused) {
  EXPECT_THROW(run({}, at(0, Site::normalizer)), Error);
  kernel = choose_attention_kernel("linear");
  EXPECT_THROW(run({}, at(0, Site::resid_pre)), Error);
}

INSTANTIATE_TEST_SUITE_P(Models, GradientsOf, testing::Values("decoders/llama_rope3", "decoders/gemma2", "decoders/qwen3", "decoders/gpt_neox", "decoders/mixtral"),
                         [](const testing::TestParamInfo<const char*>& tested) { return std::filesystem::path(tested.param).filename().string(); });

}  // namespace
}  // namespace vitrine
