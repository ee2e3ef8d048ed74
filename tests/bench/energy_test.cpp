#include "bench/energy.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace vitrine {
namespace {

class Energy : public testing::Test {
 protected:
  Energy() { std::filesystem::create_directories(root); }
  ~Energy() override { std::filesystem::remove_all(root); }
  void write(const std::string& zone, std::uint64_t microjoules) const {
    std::filesystem::create_directories(root / zone);
    std::ofstream(root / zone / "energy_uj") << microjoules << "\n";
    std::ofstream(root / zone / "max_energy_range_uj") << 1'000'000'000 << "\n";
  }
  const std::filesystem::path root =
      std::filesystem::temp_directory_path() / ("vitrine_energy_" + std::to_string(getpid()));
};

TEST_F(Energy, PackagesAreSummedTheirPartsAreNot) {
  write("intel-rapl:0", 5'000'000);
  write("intel-rapl:1", 7'000'000);
  write("intel-rapl:0:0", 1'000'000);
  const EnergyMeter meter(root);
  EXPECT_EQ(meter.absence(), "");
  const auto before = meter.read();
  ASSERT_EQ(before.size(), 2u);
  write("intel-rapl:0", 6'000'000);
  write("intel-rapl:1", 9'500'000);
  write("intel-rapl:0:0", 900'000'000);
  EXPECT_DOUBLE_EQ(meter.joules_since(before).value(), 3.5);
}

TEST_F(Energy, ACounterMayBeginAgain) {
  write("intel-rapl:0", 999'000'000);
  const EnergyMeter meter(root);
  const auto before = meter.read();
  write("intel-rapl:0", 2'000'000);
  EXPECT_DOUBLE_EQ(meter.joules_since(before).value(), 3.0);
}

TEST_F(Energy, WhatIsMissingIsNamed) {
  EXPECT_NE(EnergyMeter(root).absence().find("no RAPL counters"), std::string::npos);
  EXPECT_NE(EnergyMeter(root / "nowhere").absence().find("no RAPL counters"), std::string::npos);
  EXPECT_EQ(EnergyMeter(root).joules_since({}), std::nullopt);
  std::filesystem::create_directories(root / "intel-rapl:0");
  EXPECT_NE(EnergyMeter(root).absence().find("cannot be read"), std::string::npos);
}

}  // namespace
}  // namespace vitrine
