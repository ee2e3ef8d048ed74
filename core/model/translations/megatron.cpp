#include "core/model/translation.h"

namespace vitrine {

/// In GGUF it is GPT-2, whose shape it has.
const Translation& translation_megatron() {
  static const Translation translation{.architecture = "megatron", .gguf = "gpt2", .model_type = "megatron", .model_class = ""};
  return translation;
}

}  // namespace vitrine
