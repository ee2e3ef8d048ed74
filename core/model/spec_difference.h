#pragma once

#include <string>

#include "core/model/spec.h"

namespace vitrine {

/// Where two descriptions compute something else: "block 3: heads 8 and 4"; empty where they compute the same. Names, labels'
/// texts and a limit of the context do not count; numbers may differ by the rounding of a file's f32.
std::string spec_difference(const ModelSpec& a, const ModelSpec& b);

}  // namespace vitrine
