#include "bench/energy.h"

#include <algorithm>
#include <fstream>
#include <system_error>

namespace vitrine {
namespace {

std::optional<std::uint64_t> number_in(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::uint64_t number = 0;
  return file >> number ? std::optional(number) : std::nullopt;
}

}  // namespace

EnergyMeter::EnergyMeter(const std::filesystem::path& root) {
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(root, failure)) {
    const std::string name = entry.path().filename().string();
    // "intel-rapl:0" is a package (AMD's too); "intel-rapl:0:1" is a part of it and would count twice.
    if (!name.starts_with("intel-rapl:") || std::ranges::count(name, ':') != 1) continue;
    const std::filesystem::path counter = entry.path() / "energy_uj";
    const auto range = number_in(entry.path() / "max_energy_range_uj");
    if (!range || !number_in(counter)) {
      absence_ = counter.string() + " cannot be read (it may need root)";
      zones_.clear();
      return;
    }
    zones_.push_back({counter, *range});
  }
  if (zones_.empty()) absence_ = "no RAPL counters in " + root.string();
}

std::vector<std::uint64_t> EnergyMeter::read() const {
  std::vector<std::uint64_t> numbers;
  for (const Zone& zone : zones_) numbers.push_back(number_in(zone.counter).value_or(0));
  return numbers;
}

std::optional<double> EnergyMeter::joules_since(const std::vector<std::uint64_t>& before) const {
  if (zones_.empty()) return std::nullopt;
  const std::vector<std::uint64_t> now = read();
  double microjoules = 0.0;
  for (std::size_t i = 0; i < zones_.size(); ++i) {
    microjoules += static_cast<double>(now[i] >= before[i] ? now[i] - before[i] : now[i] + zones_[i].range - before[i]);
  }
  return microjoules * 1e-6;
}

}  // namespace vitrine
