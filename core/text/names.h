#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vitrine {

/// What an Error expects in the place of an unknown name: "X (the nearest), or one of A, B, ...".
std::string one_of(std::string_view unknown, std::vector<std::string> known);

}  // namespace vitrine
