#pragma once

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <string>
#include <vector>

namespace vitrine {

/// Runs a test once for every instruction set that was built and that this CPU has.
class EverySimdTarget : public testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override { choose(GetParam()); }
  void TearDown() override { choose(0); }

 private:
  static void choose(std::int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().DeInit();  // dispatch asks again
  }
};

inline std::vector<std::int64_t> built_targets() { return hwy::SupportedAndGeneratedTargets(); }

inline std::string target_name(const testing::TestParamInfo<std::int64_t>& tested) {
  return hwy::TargetName(tested.param);
}

}  // namespace vitrine

#define INSTANTIATE_EVERY_SIMD_TARGET(suite) \
  INSTANTIATE_TEST_SUITE_P(Simd, suite, testing::ValuesIn(built_targets()), target_name)
