#pragma once

#include <string>
#include <utility>
#include <vector>

#include "probes/checked_file_internal.h"

namespace vitrine {

/// Names and values, as text, of an object's attributes of one value, by name. @throws Error where one cannot be read
std::vector<std::pair<std::string, std::string>> attributes_of(const CheckedFile& file, const std::string& object);

/// Gives `target` every attribute that `source` has.
void copy_attributes(hid_t source, hid_t target, std::string_view where);

}  // namespace vitrine
