#pragma once

#include <string>

namespace vitrine {

/// What a fresh process found.
struct FirstToken {
  double seconds = 0.0;         ///< from before the process started to the first token behind a prompt of 16
  double resident_bytes = 0.0;  ///< after 32 more tokens
  std::string failure;          ///< not empty: why there is nothing
};

/// Starts this program again, opens a model with it and generates: a cold process with a warm page cache.
FirstToken measure_first_token(const std::string& model);

/// What that process does. @param started  of the steady clock, in nanoseconds
void print_first_token(const std::string& model, const std::string& started);

}  // namespace vitrine
