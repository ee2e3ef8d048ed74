#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine {

/// A reader fed with bytes of a stranger. An Error is a good answer; everything else that leaves `run` is a finding.
struct FuzzTarget {
  std::string_view name;
  void (*run)(std::string_view bytes);
  std::vector<std::string> (*seeds)();
};

std::span<const FuzzTarget> fuzz_targets();

}  // namespace vitrine
