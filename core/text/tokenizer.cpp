#include "core/text/tokenizer.h"

#include "core/base/error.h"

namespace vitrine {

std::unique_ptr<Tokenizer> load_tokenizer(const TokenizerSource& source) {
  for (const TokenizerModel* model : all_tokenizer_models()) {
    if (model->recognises(source)) return model->load(source);
  }
  return nullptr;
}

}  // namespace vitrine
