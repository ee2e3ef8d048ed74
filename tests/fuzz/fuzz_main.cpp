// libFuzzer's entry; built with clang by the preset `fuzz`, one program a target (VITRINE_FUZZ_TARGET names it).
#include <cstdlib>

#include "tests/fuzz/fuzz_targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  for (const vitrine::FuzzTarget& target : vitrine::fuzz_targets()) {
    if (target.name == VITRINE_FUZZ_TARGET) target.run({reinterpret_cast<const char*>(data), size});
  }
  return 0;
}
