#pragma once

#include <functional>
#include <string>

namespace vitrine {

/// Something a user can do: found in the palette (Ctrl+P), listed with its key under `?`.
struct Action {
  std::string name;             ///< "Attention: whole map"
  int chord = 0;                ///< ImGuiKeyChord, 0: no key
  std::function<void()> run;
};

}  // namespace vitrine
