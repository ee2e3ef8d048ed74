#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "experiments/session.h"

namespace vitrine {

/// @throws Error where the model does not predict next tokens
void require_next_token_model(const Model& model);

/// log P(token t | tokens before it) of each token of each sequence, in nats; none for a first token, before which nothing
/// stands. Many sequences share a pass.
/// @param task  what the progress is called
std::vector<std::vector<std::optional<double>>> token_log_probabilities(Session& session,
                                                                        std::span<const std::vector<TokenId>> sequences,
                                                                        std::string_view task);

struct LikelyToken {
  TokenId id = 0;
  double log_probability = 0.0;  ///< nats
};

/// What the model said of a token before it saw it.
struct TokenScore {
  std::optional<double> log_probability;  ///< nats; none for a first token
  std::vector<LikelyToken> likeliest;     ///< of that position, likeliest first; empty for a first token
};

struct ScoreRequest {
  std::string_view task = "score";  ///< what the progress is called
  std::size_t likeliest = 0;        ///< how many of the likeliest tokens of each position are kept; at most the vocabulary
};

/// Windows over a long text: `window` tokens each, `stride` apart. A token's score comes from the first window that holds
/// it with something before it, so that from the second window on at least window - stride tokens stand before it.
struct Windows {
  std::size_t window = 0, stride = 0;
};

/// Scores of each token of each sequence, long ones in windows. Many sequences and windows share a pass; never are the logits
/// of a whole text kept.
std::vector<std::vector<TokenScore>> windowed_scores(Session& session, std::span<const std::vector<TokenId>> sequences,
                                                     const Windows& windows, const ScoreRequest& request);

/// Scores of each token of each target beside one source, of an encoder-decoder; none for a target's first token, which it starts
/// with. The source is encoded once.
std::vector<std::vector<TokenScore>> target_scores(Session& session, const std::vector<TokenId>& source,
                                                   std::span<const std::vector<TokenId>> targets, const ScoreRequest& request);

}  // namespace vitrine
