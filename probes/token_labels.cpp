#include "probes/token_labels.h"

#include <charconv>

#include "core/base/error.h"

namespace vitrine {
namespace {

std::string label_of(std::string_view text, TokenId id) { return text.empty() ? "#" + std::to_string(id) : quoted(text, 20); }

Error bad_token(std::string_view setting, const std::string& expected, const std::string& found) {
  return Error({"--set " + std::string(setting), expected, found, "#N names token N"}, Fault::usage);
}

}  // namespace

std::string token_label(const Model& model, TokenId id) {
  const bool known = model.tokenizer && static_cast<std::size_t>(id) < model.tokenizer->vocabulary_size();
  return label_of(known ? model.tokenizer->piece(id) : "", id);
}

std::vector<std::string> position_labels(const Model& model, std::span<const TokenId> ids) {
  std::vector<std::string> labels;
  for (std::size_t i = 0; i < ids.size(); ++i) labels.push_back(std::to_string(i) + " " + token_label(model, ids[i]));
  return labels;
}

std::vector<std::string> position_labels(const Recording& recording, std::size_t sequence) {
  std::vector<std::string> labels = recording.token_texts(sequence);
  const std::vector<std::int32_t> ids = recording.token_ids(sequence);
  labels.resize(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) labels[i] = std::to_string(i) + " " + label_of(labels[i], ids[i]);
  return labels;
}

TokenId token_of(const Model& model, std::string_view setting, const std::string& text) {
  if (text.starts_with('#')) {
    TokenId id = -1;
    const auto [end, error] = std::from_chars(text.data() + 1, text.data() + text.size(), id);
    if (error != std::errc() || end != text.data() + text.size() || id < 0 || static_cast<std::size_t>(id) >= model.spec.vocabulary) {
      throw bad_token(setting, "#N with N from 0 to " + std::to_string(model.spec.vocabulary - 1), quoted(text));
    }
    return id;
  }
  if (!model.tokenizer) throw bad_token(setting, "#N, as this model has no tokenizer", quoted(text));
  const std::vector<Token> tokens = model.tokenizer->encode(text, {.add_special = false, .parse_special = true});
  if (tokens.size() != 1) throw bad_token(setting, "a text that is one token (a leading space counts)", quoted(text) + ", which is " + std::to_string(tokens.size()));
  return tokens.front().id;
}

}  // namespace vitrine
