#include "core/model/gguf_keys.h"
#include "core/model/translation.h"

namespace vitrine {

/// In GGUF it is BERT, whose encoder it has.
const Translation& translation_electra() {
  static const Translation translation{.architecture = "electra", .gguf = "bert", .model_type = "electra", .model_class = "", .complete_gguf = complete_bert_gguf};
  return translation;
}

}  // namespace vitrine
