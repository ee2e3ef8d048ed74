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

}  // namespace vitrine
