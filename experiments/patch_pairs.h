#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "experiments/session.h"
#include "probes/patching/sweep.h"

namespace vitrine {

/// Two texts of one length in tokens, and the two words whose logits are compared.
struct PatchPair {
  std::string clean, corrupt, answer, wrong;
};

/// A CSV (`.csv`) or JSON Lines file with the members clean, corrupt, answer and wrong. @throws Error naming the line
std::vector<PatchPair> read_patch_pairs(const std::filesystem::path& path);

/// A pair as a model takes it. `corrupt` may be the same text as `clean`.
struct PatchQuestions {
  PatchQuestion clean, corrupt;
  std::size_t first_changed = 0;    ///< position
  std::vector<std::string> tokens;  ///< of the clean text, as labels: of the encoder's text where `stack` is the encoder
};

struct PatchReading {
  const TextOptions& text;               ///< --bos, --decoder-ids
  std::optional<std::size_t> position;  ///< of the row that is read; none: the last, or the first mask token
  Stack stack = Stack::only;             ///< whose positions a sweep has
};

/// The token with which a causal text goes on where the answer follows it, else the one that stands for the word.
/// @throws Error (usage) where it is more than one
TokenId answer_token(const Session& session, const std::string& text, const std::string& answer, const PatchReading& reading);

/// An answer is the one token by which a causal text goes on with it, else the one token that it is. @throws Error (usage) where it is more,
/// where the texts differ in length, or where the model says nothing of a mask
PatchQuestions read_questions(const Session& session, const PatchPair& pair, const PatchReading& reading);

}  // namespace vitrine
