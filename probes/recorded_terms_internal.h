#pragma once

#include <string>

#include "probes/checked_file_internal.h"
#include "probes/recording.h"

// What a score holds besides the product, in a recording (FORMAT.md).

namespace vitrine {

/// Finds a module's terms and checks their shapes. @throws Error where they cannot be
void read_terms_of_module(const CheckedFile& file, const std::string& group, Recording::Module& module);

/// Where one head's terms are read from.
struct TermsPlace {
  const Recording::Module& module;
  std::size_t head;
  Recording::Rows rows;  ///< of the sequence
};
/// Reads them, and lets the factors look at them: as those of head 0 of one.
void read_terms_of_head(const CheckedFile& file, const TermsPlace& place, Recording::Head& head);

}  // namespace vitrine
