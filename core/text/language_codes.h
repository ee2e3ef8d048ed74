#pragma once

namespace vitrine {

// Codes apart by spaces.
extern const char* const mbart_languages;
extern const char* const mbart50_languages;
extern const char* const nllb_languages;
extern const char* const m2m100_languages;

}  // namespace vitrine
