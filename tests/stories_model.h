#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <span>
#include <vector>

#include "core/text/tokenizer.h"

namespace vitrine {

inline constexpr const char* no_stories_model = "VITRINE_DATA holds no models/stories260K/stories260K.bin";

/// The trained model of 260,000 weights in f32; empty where there is none.
inline std::filesystem::path stories_model() {
  const char* data = std::getenv("VITRINE_DATA");
  const std::filesystem::path path = std::filesystem::path(data ? data : "") / "models" / "stories260K" / "stories260K.bin";
  return data && std::filesystem::exists(path) ? path : std::filesystem::path();
}

/// A token from the distribution of softmax(sharpness * logits).
inline TokenId drawn_token(std::span<const float> logits, double sharpness, std::mt19937_64& random) {
  const float top = *std::ranges::max_element(logits);
  std::vector<double> weights;
  for (const float logit : logits) weights.push_back(std::exp(sharpness * static_cast<double>(logit - top)));
  return static_cast<TokenId>(std::discrete_distribution<int>(weights.begin(), weights.end())(random));
}

}  // namespace vitrine
