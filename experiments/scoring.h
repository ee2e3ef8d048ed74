#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "experiments/session.h"

namespace vitrine {

/// @throws Error where the model does not predict next tokens
void require_next_token_model(const Model& model);

/// log P(token t | tokens before it) of each token of each sequence; none for a first token, before which nothing stands.
/// Many sequences share a pass.
/// @param task  what the progress is called
std::vector<std::vector<std::optional<double>>> token_log_probabilities(Session& session,
                                                                        std::span<const std::vector<TokenId>> sequences,
                                                                        std::string_view task);

/// Windows over a long text: `window` tokens each, `stride` apart. A token's score comes from the first window that holds
/// it with something before it, so that from the second window on at least window - stride tokens stand before it.
struct Windows {
  std::size_t window = 0, stride = 0;
};
std::vector<std::optional<double>> windowed_log_probabilities(Session& session, std::span<const TokenId> ids, const Windows& windows);

}  // namespace vitrine
