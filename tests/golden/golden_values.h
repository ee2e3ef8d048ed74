#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "core/checkpoint/checkpoint.h"
#include "core/model/observer.h"
#include "core/model/probe_point.h"

// What the golden tests share: the values of a golden file, those of a run, and how far they may be apart.

namespace vitrine {

// Distances of rounding between two f32 programs, not of mathematics; cosine hides scale, relative error does not.
constexpr double golden_tolerance = 1e-5;
constexpr double least_cosine = 0.999999;

using Values = std::map<std::string, std::vector<float>>;

struct GoldenCase {
  std::filesystem::path folder;
  std::string model;  // below the folder
  std::string kernel;
};

/// Folders of models below tests/golden/<group>, in a fixed order; scripts/parity-architectures names a place of others.
inline std::vector<std::filesystem::path> golden_folders(const std::string& group) {
  const char* others = std::getenv("VITRINE_GOLDEN");
  const auto folder = (others ? std::filesystem::path(others) : std::filesystem::path(VITRINE_TEST_DATA) / "golden") / group;
  std::vector<std::filesystem::path> found;
  if (others && !std::filesystem::is_directory(folder)) return found;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) found.push_back(entry.path());
  std::ranges::sort(found);
  return found;
}

inline void PrintTo(const GoldenCase& tested, std::ostream* stream) {
  *stream << tested.folder.filename().string() << "/" << tested.model << " with " << tested.kernel;
}

/// Keeps every point that the model has of sequence 0, rows appended in their order; maps as `maps` says.
class Collector : public Observer {
 public:
  explicit Collector(Access maps) : maps_(maps) {}
  Access access(const ProbePoint& point) const override { return is_square(point.site) ? maps_ : Access::read; }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    const std::string name = point_name(point);
    EXPECT_EQ(rows.size(), values.extent(0)) << name;
    EXPECT_EQ(point_name(parse_point(name).value()), name);
    std::vector<float>& target = seen[name];
    for (std::size_t row = 0; row < values.extent(0); ++row) {
      if (rows[row].sequence != 0) continue;
      for (std::size_t head = 0; head < values.extent(1); ++head) {
        for (std::size_t column = 0; column < values.extent(2); ++column) target.push_back(values(row, head, column));
      }
    }
  }
  Values seen;

 private:
  Access maps_;
};

/// What transformers was given and what it made of it.
struct Expected {
  std::map<std::string, std::vector<std::int32_t>> inputs;
  Values values;

  const std::vector<std::int32_t>& ids() const { return inputs.at("input_ids"); }
};

/// f32 tensors are values, those of whole numbers inputs.
inline Expected read_expected(const std::filesystem::path& folder) {
  Expected expected;
  for (const NamedTensor& tensor : open_checkpoint(folder / "expected.safetensors").tensors) {
    const auto copy_to = [&](auto& target) {
      target.resize(tensor.weight.rows * tensor.weight.cols);
      std::memcpy(target.data(), tensor.weight.data, target.size() * sizeof target[0]);
    };
    tensor.weight.type == DType::f32 ? copy_to(expected.values[tensor.name]) : copy_to(expected.inputs[tensor.name]);
  }
  return expected;
}

/// Relative error (Frobenius, finite entries) and cosine; places of -inf must coincide.
inline void expect_close(const std::string& name, const std::vector<float>& found, const std::vector<float>& expected) {
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
  EXPECT_LE(std::sqrt(difference / expected_square), golden_tolerance) << name;
  EXPECT_GE(product / std::sqrt(found_square * expected_square), least_cosine) << name;
}

/// A value of the run beside the golden file's, which must have one.
inline void expect_equal_transformers(const std::string& name, const std::vector<float>& found, const Expected& expected) {
  const auto reference = expected.values.find(name);
  if (reference == expected.values.end()) {
    ADD_FAILURE() << name << " is shown, but transformers' value of it is not in the golden file";
    return;
  }
  expect_close(name, found, reference->second);
}

}  // namespace vitrine
