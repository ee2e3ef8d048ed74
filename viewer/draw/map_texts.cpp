#include "viewer/draw/map_texts.h"

#include "viewer/draw/fonts.h"

namespace vitrine {

void MapTexts::load(const Document& document, std::size_t sequence, std::size_t module) {
  const std::pair wanted{sequence, module};
  if (loaded_ == wanted) return;
  loaded_ = wanted;
  const Recording::Module& of = document.recording->modules()[module];
  queries = tokens_of(document, sequence, of.queries);
  keys = of.keys == of.queries ? queries : tokens_of(document, sequence, of.keys);
  query_labels = drawable_labels(queries.labels);
  key_labels = drawable_labels(keys.labels);
}

}  // namespace vitrine
