#pragma once

#include <cstdint>

namespace vitrine::blocks {

// Points of the formats IQ1 to IQ3, as places in the format's list of values: eight of two bits (IQ1, IQ2) or four of three bits (IQ3),
// the first one lowest.
extern const std::uint16_t iq2_xxs_words[256], iq2_xs_words[512], iq2_s_words[1024], iq3_xxs_words[256], iq3_s_words[512], iq1_words[2048];

}  // namespace vitrine::blocks
