// Derivatives of a random linear function of the logits (or labels) at every point of the tiny models against torch's autograd.
// make_gradients.py in this folder made the expected ones: of each point the norm and products with vectors of random signs, the mean
// square of which is that of the whole.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/model/model.h"
#include "core/train/gradients.h"
#include "kernels/kernels.h"
#include "tests/golden/golden_values.h"

namespace vitrine {
namespace {

constexpr double gradient_tolerance = 1e-4;

/// SplitMix64's output function (Steele, Lea & Flood 2014), as gradient_taps.py has it.
std::uint64_t mixed(std::uint64_t index) {
  std::uint64_t z = index * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

double sign(std::uint64_t which, std::uint64_t index) { return (mixed(index + ((which + 1) << 32)) >> 63) != 0 ? -1.0 : 1.0; }
double slope(std::uint64_t index) { return static_cast<double>(mixed(index + (std::uint64_t{77} << 40)) >> 40) / 8388608.0 - 1.0; }

/// Keeps what it reads.
class GradientCollector : public GradientReader {
 public:
  explicit GradientCollector(const Json& expected) : expected_(expected) {}
  bool wants(const ProbePoint& point) const override { return !expected_[point_name(point)].is_null(); }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<const float, 3> gradient) override {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      EXPECT_EQ(rows[r].sequence, 0u);
      for (std::size_t h = 0; h < gradient.extent(1); ++h) {
        for (std::size_t c = 0; c < gradient.extent(2); ++c) seen[point_name(point)].push_back(gradient(r, h, c));
      }
    }
  }
  Values seen;

 private:
  const Json& expected_;
};

void expect_gradient(const std::string& name, const std::vector<float>& found, const std::vector<Json>& expected) {
  double norm = 0.0, difference = 0.0;
  for (const float number : found) norm += static_cast<double>(number) * number;
  norm = std::sqrt(norm);
  const double expected_norm = expected[0].number();
  for (std::size_t which = 0; which + 1 < expected.size(); ++which) {
    double product = 0.0;
    for (std::size_t i = 0; i < found.size(); ++i) product += found[i] * sign(which, i);
    difference += std::pow(product - expected[which + 1].number(), 2) / static_cast<double>(expected.size() - 1);
  }
  EXPECT_NEAR(norm / expected_norm, 1.0, gradient_tolerance) << name;
  EXPECT_LE(std::sqrt(difference) / expected_norm, gradient_tolerance) << name;
}

/// The sum of what comes out times slopes, of logits or of what is read off.
Objective random_objective(bool labels) {
  auto add = [done = std::size_t{0}](std::span<const float> numbers, std::span<float> slopes) mutable {
    double value = 0.0;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      slopes[i] = static_cast<float>(slope(done + i));
      value += numbers[i] * slopes[i];
    }
    done += numbers.size();
    return value;
  };
  Objective objective;
  if (labels) {
    objective.of_readout = [add](const Readout& readout, std::span<float> slopes) mutable { return add(readout.labels.empty() ? readout.pooled : readout.labels, slopes); };
  } else {
    objective.of_logits = [add](const RowRef&, std::span<const float> logits, std::span<float> slopes) mutable { return add(logits, slopes); };
  }
  return objective;
}

std::vector<GoldenCase> cases() {
  std::vector<GoldenCase> all;
  for (const char* group : {"decoders", "encoders", "encoder_decoders"}) {
    for (const std::filesystem::path& folder : golden_folders(group)) {
      if (std::filesystem::exists(folder / "gradients.json")) all.push_back({folder, "model", "flash"});
    }
  }
  return all;
}

class Gradients : public testing::TestWithParam<GoldenCase> {};

TEST_P(Gradients, EqualTorchAtEveryPoint) {
  const std::filesystem::path& folder = GetParam().folder;
  std::ifstream file(folder / "gradients.json");
  const Json expected = parse_json(std::string(std::istreambuf_iterator<char>(file), {}), "gradients.json");
  const Expected inputs = read_expected(folder);
  const Model model = load_model(folder / "model");
  ThreadPool pool(2, initialize_worker);
  const auto ops = make_cpu_ops(Precision::exact, pool);
  const KernelChoice kernel = choose_attention_kernel(GetParam().kernel);
  vitrine::Run run;
  GradientCollector collector(expected);
  const bool labels = !inputs.values.contains("logits");
  const auto whole = [&](const char* name) {
    const auto found = inputs.inputs.find(name);
    return found == inputs.inputs.end() ? std::span<const std::int32_t>() : std::span<const std::int32_t>(found->second);
  };
  const bool two = !model.spec.encoder.empty();
  const std::span<const std::int32_t> allowed = whole("allowed"), targets = whole("targets");
  BitMatrix bits(inputs.ids().size(), inputs.ids().size());
  for (std::size_t i = 0; i < allowed.size(); ++i) {
    if (allowed[i] != 0) bits.set(i / inputs.ids().size(), i % inputs.ids().size());
  }
  const std::vector<std::uint32_t> predicted(targets.begin(), targets.end());
  const GradientText texts[] = {{.ids = two ? whole("decoder_input_ids") : whole("input_ids"), .source = two ? whole("input_ids") : std::span<const std::int32_t>(),
                                 .types = whole("token_types"), .allowed = allowed.empty() ? BitView{} : bits.view(), .targets = predicted}};
  differentiate({model, *ops, kernel, run}, texts, random_objective(labels), collector);
  EXPECT_EQ(collector.seen.size(), expected.members().size());
  for (const auto& [name, numbers] : expected.members()) {
    expect_gradient(name, collector.seen[name], numbers.items());
  }
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Gradients);
INSTANTIATE_TEST_SUITE_P(Models, Gradients, testing::ValuesIn(cases()), [](const testing::TestParamInfo<GoldenCase>& tested) {
  return tested.param.folder.filename().string();
});

}  // namespace
}  // namespace vitrine
