#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine {

/// What the command line says of the rows.
struct SuiteOptions {
  std::vector<std::string> models;
  std::vector<std::size_t> prefill{512};       ///< lengths of prompts, in tokens
  std::vector<std::size_t> depths{512, 4096};  ///< tokens before the one that is decoded
  std::vector<std::string> kv;                 ///< caches of the suite `model` ("int8", "int4:hadamard"); none: the precision's own
};

/// Rows that belong together: names "<suite>/...". A row is checked against its definition before it is timed; one that
/// cannot run here is registered too and says why. Extension point: bench/suites/<name>.cpp.
struct Suite {
  std::string_view name;
  std::string_view summary;
  void (*register_rows)(const SuiteOptions& options);
};

std::span<const Suite* const> all_suites();

}  // namespace vitrine
