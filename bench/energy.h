#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace vitrine {

/// Energy that the CPU packages use, from the counters of RAPL (Linux, Documentation/power/powercap).
class EnergyMeter {
 public:
  explicit EnergyMeter(const std::filesystem::path& root = "/sys/class/powercap");

  /// Why there is nothing to read; empty where there is.
  const std::string& absence() const { return absence_; }
  /// What the counters show now.
  std::vector<std::uint64_t> read() const;
  /// Joules between a reading and now; none where there is nothing to read. A counter may have begun again once.
  std::optional<double> joules_since(const std::vector<std::uint64_t>& before) const;

 private:
  struct Zone {
    std::filesystem::path counter;
    std::uint64_t range;  ///< microjoules at which the counter begins again
  };
  std::vector<Zone> zones_;
  std::string absence_;
};

}  // namespace vitrine
