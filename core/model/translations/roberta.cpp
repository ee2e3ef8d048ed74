#include "core/model/gguf_keys.h"
#include "core/model/translation.h"

namespace vitrine {

/// In GGUF it is BERT, whose encoder it has.
const Translation& translation_roberta() {
  static const Translation translation{.architecture = "roberta", .gguf = "bert", .model_type = "roberta", .model_class = "", .complete_gguf = complete_bert_gguf};
  return translation;
}

}  // namespace vitrine
