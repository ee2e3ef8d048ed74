#include "viewer/data/tokens.h"

#include "probes/figures/token_label.h"

namespace vitrine {

Tokens tokens_of(const Document& document, std::size_t sequence, Recording::Side side) {
  Tokens tokens;
  const Recording& recording = *document.recording;
  if (sequence >= recording.sequences() || (side == Recording::Side::encoder && !recording.has_encoder())) return tokens;
  if (!recording.may_read(DataClass::text)) {  // positions stand for the tokens
    for (std::size_t i = 0; i < recording.rows_of(sequence, side).count; ++i) tokens.labels.push_back(std::to_string(i));
    return tokens;
  }
  tokens.ids = recording.token_ids(sequence, side);
  tokens.bytes = recording.token_texts(sequence, side);
  for (std::size_t i = 0; i < tokens.ids.size(); ++i) tokens.labels.push_back(tokens.bytes[i].empty() ? "#" + std::to_string(tokens.ids[i]) : token_label(tokens.bytes[i]));
  return tokens;
}

}  // namespace vitrine
