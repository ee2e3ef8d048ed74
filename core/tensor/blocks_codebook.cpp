#include <bit>
#include <cstring>

#include "core/tensor/block_bytes_internal.h"
#include "core/tensor/block_search_internal.h"
#include "core/tensor/blocks.h"
#include "core/tensor/codebook_search_internal.h"
#include "core/tensor/codebooks.h"

// IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S: blocks of 256 made of points out of a list, eight or four numbers a point.

namespace vitrine::blocks {
namespace {

constexpr float iq2_values[] = {8, 25, 43}, iq3_xxs_values[] = {4, 12, 20, 28, 36, 44, 52, 62}, iq3_s_values[] = {1, 3, 5, 7, 9, 11, 13, 15}, iq1_values[] = {-1, 0, 1};
constexpr float iq1_shift = 0.125f;  // up or down, of all numbers of a point

const Codebook iq2_xxs{iq2_xxs_words, iq2_values, 8, small, Signs::even, 15, 0.125f};
const Codebook iq2_xs{iq2_xs_words, iq2_values, 8, 16, Signs::even, 15, 0.125f};
const Codebook iq2_s{iq2_s_words, iq2_values, 8, 16, Signs::any, 15, 0.125f};
const Codebook iq3_xxs{iq3_xxs_words, iq3_xxs_values, 4, small, Signs::even, 15, 0.25f};
const Codebook iq3_s{iq3_s_words, iq3_s_values, 4, small, Signs::any, 15, 1.0f};
const Codebook iq1_s{iq1_words, iq1_values, 8, small, Signs::none, 7, 1.0f, iq1_shift, Shifts::of_sub_blocks};
const Codebook iq1_m{iq1_words, iq1_values, 8, 16, Signs::none, 7, 1.0f, iq1_shift, Shifts::of_points};

/// Seven signs name the eighth: an even number of them is negative.
unsigned even_signs(unsigned seven) { return seven | (std::popcount(seven) % 2 != 0 ? 128u : 0u); }

/// target[i] = scale * value of a point's number i, negated where a bit of `signs` is set.
void expand_point(const Codebook& book, unsigned word, float scale, unsigned signs, float* target) {
  for (std::size_t i = 0; i < book.dimension; ++i) {
    const float number = scale * book.value(word, i);
    target[i] = (signs >> i & 1u) != 0 ? -number : number;
  }
}

void expand_shifted(unsigned word, float scale, float shift, float* target) {
  for (std::size_t i = 0; i < 8; ++i) target[i] = scale * (iq1_s.value(word, i) + shift);
}

float nibble_scale(const std::byte* nibbles, std::size_t j) { return static_cast<float>(byte_at(nibbles, j / 2) >> (j % 2 * 4) & 15u); }

/// IQ1_M's binary16 scale lies in the top nibbles of its four words of scales.
std::uint16_t scattered_scale(const std::byte* words) {
  std::uint16_t bits = 0;
  for (std::size_t i = 0; i < 4; ++i) bits |= static_cast<std::uint16_t>(load_u16(words + 2 * i) >> 12 << (4 * i));
  return bits;
}

/// Calls write(search, target) for every block, which is zeros before; what cannot be expressed has a NaN for its scale.
template <std::size_t block_bytes, class Write>
void each_searched(const Codebook& book, const float* source, const float* importance, std::byte* target, std::size_t count, const Write& write) {
  CodebookSearch search(book);
  each_block<super, block_bytes>(source, importance, target, count, [&](const float* numbers, const float* weights, std::byte* block) {
    search.search(numbers, weights);
    write(search, block);
  });
}

void put(std::byte& byte, unsigned bits) { byte |= static_cast<std::byte>(bits); }

void store_nibble_scales(const CodebookSearch& search, std::size_t subs, std::byte* nibbles) {
  for (std::size_t j = 0; j < subs; ++j) put(nibbles[j / 2], search.factor(j) << (j % 2 * 4));
}

}  // namespace

void expand_iq2_xxs(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t block = 0; block < count / super; ++block, source += 66) {
    const float scale = load_f16(source);
    for (std::size_t j = 0; j < 8; ++j) {
      const std::byte* sub = source + 2 + 8 * j;
      const std::uint32_t signs = load_u32(sub + 4);
      const float sub_scale = scale * (0.5f + static_cast<float>(signs >> 28)) * 0.25f;
      for (std::size_t g = 0; g < 4; ++g, target += 8) expand_point(iq2_xxs, byte_at(sub, g), sub_scale, even_signs(signs >> (7 * g) & 127u), target);
    }
  }
}

void expand_iq2_xs(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t block = 0; block < count / super; ++block, source += 74) {
    const float scale = load_f16(source);
    for (std::size_t g = 0; g < 32; ++g, target += 8) {
      const unsigned bits = load_u16(source + 2 + 2 * g);
      expand_point(iq2_xs, bits & 511u, scale * (0.5f + nibble_scale(source + 66, g / 2)) * 0.25f, even_signs(bits >> 9), target);
    }
  }
}

void expand_iq2_s(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t block = 0; block < count / super; ++block, source += 82) {
    const float scale = load_f16(source);
    for (std::size_t g = 0; g < 32; ++g, target += 8) {
      const unsigned word = byte_at(source, 2 + g) | (byte_at(source, 66 + g / 4) >> (g % 4 * 2) & 3u) << 8;
      expand_point(iq2_s, word, scale * (0.5f + nibble_scale(source + 74, g / 2)) * 0.25f, byte_at(source, 34 + g), target);
    }
  }
}

void expand_iq3_xxs(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t block = 0; block < count / super; ++block, source += 98) {
    const float scale = load_f16(source);
    for (std::size_t g = 0; g < 64; ++g, target += 4) {
      const std::uint32_t signs = load_u32(source + 66 + g / 8 * 4);
      const float sub_scale = scale * (0.5f + static_cast<float>(signs >> 28)) * 0.5f;
      expand_point(iq3_xxs, byte_at(source, 2 + g), sub_scale, even_signs(signs >> (g % 8 / 2 * 7) & 127u) >> (g % 2 * 4), target);
    }
  }
}

void expand_iq3_s(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t block = 0; block < count / super; ++block, source += 110) {
    const float scale = load_f16(source);
    for (std::size_t g = 0; g < 64; ++g, target += 4) {
      const unsigned word = byte_at(source, 2 + g) | (byte_at(source, 66 + g / 8) >> (g % 8) & 1u) << 8;
      expand_point(iq3_s, word, scale * (1.0f + 2.0f * nibble_scale(source + 106, g / 8)), byte_at(source, 74 + g / 2) >> (g % 2 * 4), target);
    }
  }
}

void expand_iq1_s(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t block = 0; block < count / super; ++block, source += 50) {
    const float scale = load_f16(source);
    for (std::size_t g = 0; g < 32; ++g, target += 8) {
      const unsigned high = load_u16(source + 34 + g / 4 * 2);
      const float sub_scale = scale * static_cast<float>(2 * (high >> 12 & 7u) + 1);
      expand_shifted(byte_at(source, 2 + g) | (high >> (g % 4 * 3) & 7u) << 8, sub_scale, (high & 0x8000u) != 0 ? -iq1_shift : iq1_shift, target);
    }
  }
}

void expand_iq1_m(const std::byte* source, float* target, std::size_t count) {
  for (std::size_t block = 0; block < count / super; ++block, source += 56) {
    const float scale = f32_from_f16(scattered_scale(source + 48));
    for (std::size_t g = 0; g < 32; ++g, target += 8) {
      const unsigned high = byte_at(source, 32 + g / 2) >> (g % 2 * 4) & 15u;
      const unsigned factor = static_cast<unsigned>(load_u16(source + 48 + g / 8 * 2)) >> (g % 8 / 2 * 3) & 7u;
      expand_shifted(byte_at(source, g) | (high & 7u) << 8, scale * static_cast<float>(2 * factor + 1), (high & 8u) != 0 ? -iq1_shift : iq1_shift, target);
    }
  }
}

void compress_iq2_xxs(const float* source, const float* importance, std::byte* target, std::size_t count) {
  each_searched<66>(iq2_xxs, source, importance, target, count, [](const CodebookSearch& search, std::byte* block) {
    store_u16(block, search.scale_bits());
    for (std::size_t j = 0; j < 8; ++j) {
      std::uint32_t signs = search.factor(j) << 28;
      for (std::size_t g = 0; g < 4; ++g) {
        put(block[2 + 8 * j + g], search.word(4 * j + g));
        signs |= (search.signs(4 * j + g) & 127u) << (7 * g);
      }
      store(block + 2 + 8 * j + 4, signs);
    }
  });
}

void compress_iq2_xs(const float* source, const float* importance, std::byte* target, std::size_t count) {
  each_searched<74>(iq2_xs, source, importance, target, count, [](const CodebookSearch& search, std::byte* block) {
    store_u16(block, search.scale_bits());
    for (std::size_t g = 0; g < 32; ++g) store_u16(block + 2 + 2 * g, static_cast<std::uint16_t>(search.word(g) | (search.signs(g) & 127u) << 9));
    store_nibble_scales(search, 16, block + 66);
  });
}

void compress_iq2_s(const float* source, const float* importance, std::byte* target, std::size_t count) {
  each_searched<82>(iq2_s, source, importance, target, count, [](const CodebookSearch& search, std::byte* block) {
    store_u16(block, search.scale_bits());
    for (std::size_t g = 0; g < 32; ++g) {
      put(block[2 + g], search.word(g) & 255u);
      put(block[34 + g], search.signs(g));
      put(block[66 + g / 4], search.word(g) >> 8 << (g % 4 * 2));
    }
    store_nibble_scales(search, 16, block + 74);
  });
}

void compress_iq3_xxs(const float* source, const float* importance, std::byte* target, std::size_t count) {
  each_searched<98>(iq3_xxs, source, importance, target, count, [](const CodebookSearch& search, std::byte* block) {
    store_u16(block, search.scale_bits());
    for (std::size_t g = 0; g < 64; ++g) put(block[2 + g], search.word(g));
    for (std::size_t j = 0; j < 8; ++j) {
      std::uint32_t signs = search.factor(j) << 28;
      for (std::size_t eight = 0; eight < 4; ++eight) signs |= (search.signs(4 * j + eight) & 127u) << (7 * eight);
      store(block + 66 + 4 * j, signs);
    }
  });
}

void compress_iq3_s(const float* source, const float* importance, std::byte* target, std::size_t count) {
  each_searched<110>(iq3_s, source, importance, target, count, [](const CodebookSearch& search, std::byte* block) {
    store_u16(block, search.scale_bits());
    for (std::size_t g = 0; g < 64; ++g) {
      put(block[2 + g], search.word(g) & 255u);
      put(block[66 + g / 8], search.word(g) >> 8 << (g % 8));
    }
    for (std::size_t eight = 0; eight < 32; ++eight) put(block[74 + eight], search.signs(eight));
    store_nibble_scales(search, 8, block + 106);
  });
}

void compress_iq1_s(const float* source, const float* importance, std::byte* target, std::size_t count) {
  each_searched<50>(iq1_s, source, importance, target, count, [](const CodebookSearch& search, std::byte* block) {
    store_u16(block, search.scale_bits());
    for (std::size_t j = 0; j < 8; ++j) {
      unsigned high = search.factor(j) << 12 | (search.is_lowered(4 * j) ? 0x8000u : 0u);
      for (std::size_t g = 0; g < 4; ++g) {
        put(block[2 + 4 * j + g], search.word(4 * j + g) & 255u);
        high |= search.word(4 * j + g) >> 8 << (3 * g);
      }
      store_u16(block + 34 + 2 * j, static_cast<std::uint16_t>(high));
    }
  });
}

void compress_iq1_m(const float* source, const float* importance, std::byte* target, std::size_t count) {
  each_searched<56>(iq1_m, source, importance, target, count, [](const CodebookSearch& search, std::byte* block) {
    for (std::size_t g = 0; g < 32; ++g) {
      put(block[g], search.word(g) & 255u);
      put(block[32 + g / 2], (search.word(g) >> 8 | (search.is_lowered(g) ? 8u : 0u)) << (g % 2 * 4));
    }
    for (std::size_t word = 0; word < 4; ++word) {
      unsigned bits = (static_cast<unsigned>(search.scale_bits()) >> (4 * word) & 15u) << 12;
      for (std::size_t j = 0; j < 4; ++j) bits |= search.factor(4 * word + j) << (3 * j);
      store_u16(block + 48 + 2 * word, static_cast<std::uint16_t>(bits));
    }
  });
}

}  // namespace vitrine::blocks
