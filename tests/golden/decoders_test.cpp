// Tiny random decoders against Hugging Face transformers, at every point by its hook name, in whatever pieces the text comes.
// make_decoders.py in this folder made the models and the expected values.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "core/checkpoint/checkpoint.h"
#include "core/model/forward.h"
#include "core/model/model.h"
#include "core/model/observer.h"
#include "core/model/probe_point.h"
#include "kernels/kernels.h"
#include "tests/kernels/simd_targets.h"

namespace vitrine {
namespace {

constexpr double tolerance = 1e-5;  // of rounding between two f32 programs, not of mathematics
constexpr double least_cosine = 0.999999;

using Values = std::map<std::string, std::vector<float>>;

struct Case {
  std::filesystem::path folder;
  std::string model;  // below the folder
  std::string kernel;
};
void PrintTo(const Case& tested, std::ostream* stream) {
  *stream << tested.folder.filename().string() << "/" << tested.model << " with " << tested.kernel;
}

/// Every folder of a model in both formats, with every given kernel; scripts/parity-architectures names a folder of others.
std::vector<Case> cases(std::initializer_list<const char*> kernels) {
  std::vector<Case> all;
  const char* others = std::getenv("VITRINE_DECODERS");
  const std::filesystem::path folder = others ? std::filesystem::path(others) : std::filesystem::path(VITRINE_TEST_DATA) / "golden" / "decoders";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    for (const char* model : {"model", "model.gguf"}) {
      if (!std::filesystem::exists(entry.path() / model)) continue;
      for (const char* kernel : kernels) all.push_back({entry.path(), model, kernel});
    }
  }
  std::ranges::sort(all, {}, [](const Case& one) { return one.folder.string() + one.model + one.kernel; });
  return all;
}

std::string name_of(const testing::TestParamInfo<Case>& tested) {
  return tested.param.folder.filename().string() + (tested.param.model == "model" ? "" : "_gguf") + "_" + tested.param.kernel;
}

/// Every point that the model has (maps too, where asked for), rows appended in their order.
class Collector : public Observer {
 public:
  explicit Collector(Access maps) : maps_(maps) {}
  Access access(const ProbePoint& point) const override { return is_square(point.site) ? maps_ : Access::read; }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    EXPECT_EQ(rows.size(), values.extent(0)) << point_name(point);
    EXPECT_EQ(parse_point(point_name(point)), point) << point_name(point);
    auto& target = seen[point_name(point)];
    for (std::size_t row = 0; row < values.extent(0); ++row) {
      for (std::size_t head = 0; head < values.extent(1); ++head) {
        for (std::size_t column = 0; column < values.extent(2); ++column) target.push_back(values(row, head, column));
      }
    }
  }
  Values seen;

 private:
  Access maps_;
};

struct Expected {
  std::vector<TokenId> ids;
  Values values;
};

Expected read_expected(const std::filesystem::path& path) {
  Expected expected;
  for (const NamedTensor& tensor : open_checkpoint(path).tensors) {
    const std::size_t count = tensor.weight.rows * tensor.weight.cols;
    if (tensor.name == "input_ids") {
      expected.ids.resize(count);
      std::memcpy(expected.ids.data(), tensor.weight.data, count * sizeof(TokenId));
    } else {
      auto& target = expected.values[tensor.name];
      target.resize(count);
      std::memcpy(target.data(), tensor.weight.data, count * sizeof(float));
    }
  }
  return expected;
}

struct Manner {
  std::size_t threads = 2, piece = 0;  // tokens given at once; 0 = all
  Access maps = Access::none;
};

Values observe(const Model& model, std::string_view kernel_name, std::span<const TokenId> ids, const Manner& manner) {
  ThreadPool pool(manner.threads, initialize_worker);
  const auto ops = make_cpu_ops(Precision::exact, pool);
  const KernelChoice kernel = choose_attention_kernel(kernel_name);
  Workspace workspace;
  Run run;
  Collector collector(manner.maps);
  Observer* observers[] = {&collector};
  const TapPlan taps(model.spec, observers);
  KvCache cache(model.spec, DType::f32);
  ForwardSinks sinks{.logit_rows = LogitRows::all, .logits = [](std::span<const RowRef>, TensorView<float, 2>) {}};
  const std::size_t piece = manner.piece == 0 ? ids.size() : manner.piece;
  for (std::size_t done = 0; done < ids.size(); done += piece) {
    const Segment segments[] = {{.sequence = 0, .ids = ids.subspan(done, std::min(piece, ids.size() - done)), .cache = &cache}};
    forward({model, *ops, kernel, workspace, run, taps}, segments, sinks);
  }
  for (const ProbePoint& point : all_points(model.spec)) {
    if (manner.maps == Access::none && is_square(point.site)) continue;
    EXPECT_TRUE(collector.seen.contains(point_name(point))) << point_name(point) << " was never shown";
  }
  return std::move(collector.seen);
}

/// Relative error (Frobenius, finite entries) and cosine; places of -inf must coincide.
void expect_close(const std::string& name, const std::vector<float>& found, const std::vector<float>& expected) {
  ASSERT_EQ(found.size(), expected.size()) << name;
  double difference = 0, found_square = 0, expected_square = 0, product = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double a = found[i], b = expected[i];
    if (std::isinf(b) || std::isinf(a)) {
      ASSERT_EQ(a, b) << name << " at " << i;
      continue;
    }
    ASSERT_FALSE(std::isnan(a)) << name << " at " << i;
    difference += (a - b) * (a - b);
    found_square += a * a;
    expected_square += b * b;
    product += a * b;
  }
  ASSERT_GT(expected_square, 0) << name;
  EXPECT_LE(std::sqrt(difference / expected_square), tolerance) << name;
  EXPECT_GE(product / std::sqrt(found_square * expected_square), least_cosine) << name;
}

void expect_golden(const Case& tested) {
  const Expected expected = read_expected(tested.folder / "expected.safetensors");
  ASSERT_FALSE(expected.ids.empty());
  const Model model = load_model(tested.folder / tested.model);
  Values seen = observe(model, tested.kernel, expected.ids, {.maps = Access::read});
  std::erase_if(seen, [](const auto& point) { return point.first.ends_with("hook_threshold"); });  // exact attention has none
  for (const auto& [name, values] : seen) {
    const auto reference = expected.values.find(name);
    if (reference == expected.values.end()) {
      ADD_FAILURE() << name << " is shown, but transformers' value of it is not in the golden file";
      continue;
    }
    expect_close(name, values, reference->second);
  }
  for (const auto& [name, values] : expected.values) EXPECT_TRUE(seen.contains(name)) << name << " is expected, but was not shown";
}

class Decoders : public testing::TestWithParam<Case> {};

TEST_P(Decoders, EveryPointEqualsTransformers) { expect_golden(GetParam()); }

INSTANTIATE_TEST_SUITE_P(Models, Decoders, testing::ValuesIn(cases({"reference", "flash"})), name_of);

class Pieces : public testing::TestWithParam<Case> {};

// Token by token, in pieces, by one thread: the same bits.
TEST_P(Pieces, DoNotMatter) {
  const Case& tested = GetParam();
  const Expected expected = read_expected(tested.folder / "expected.safetensors");
  const Model model = load_model(tested.folder / tested.model);
  const bool by_length = std::ranges::any_of(model.spec.blocks, [&](const BlockSpec& block) {
    return !block.attention.rope_far_factors.empty() && expected.ids.size() > block.attention.rope_near;
  });
  const Values whole = observe(model, tested.kernel, expected.ids, {});
  EXPECT_EQ(observe(model, tested.kernel, expected.ids, {.threads = 1}), whole);
  for (const std::size_t piece : {std::size_t{1}, std::size_t{5}}) {
    if (by_length) {
      EXPECT_THROW(observe(model, tested.kernel, expected.ids, {.piece = piece}), Error);
      continue;
    }
    EXPECT_EQ(observe(model, tested.kernel, expected.ids, {.piece = piece}), whole) << piece;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Pieces, testing::ValuesIn(cases({"flash"})), name_of);

using DecodersSimd = EverySimdTarget;

TEST_P(DecodersSimd, EveryPointEqualsTransformers) {
  for (const Case& tested : cases({"flash"})) {
    SCOPED_TRACE(tested.folder.filename().string());
    if (tested.model == "model") expect_golden(tested);
  }
}

INSTANTIATE_EVERY_SIMD_TARGET(DecodersSimd);

}  // namespace
}  // namespace vitrine
