#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/tensor/block_search_internal.h"

namespace vitrine::blocks {

enum class Signs { none, any, even };  ///< of a point's numbers, apart from it; even: an even number of eight is negative
enum class Shifts { none, of_sub_blocks, of_points };

/// A format whose blocks of 256 are made of points: x' = scale * (2 * factor + 1) * unit * (+-value + shift), a factor a sub-block.
struct Codebook {
  std::span<const std::uint16_t> words;
  std::span<const float> values;
  std::size_t dimension;  ///< numbers of a point, 8 or 4
  std::size_t sub_block;  ///< numbers of a sub-block
  Signs signs;
  unsigned top;  ///< factor
  float unit;
  float shift = 0.0f;
  Shifts shifts = Shifts::none;

  /// Number i of a point.
  float value(unsigned word, std::size_t i) const { return values[dimension == 8 ? words[word] >> (2 * i) & 3u : words[word] >> (3 * i) & 7u]; }
  std::size_t choices() const { return words.size() * (shifts == Shifts::none ? 1 : 2); }
};

/// Finds the points and scales of a block of least weighted square error.
class CodebookSearch {
 public:
  explicit CodebookSearch(const Codebook& book);
  /// @param importance  [256] or null
  void search(const float* source, const float* importance);

  std::uint16_t scale_bits() const { return scale_.bits; }
  unsigned factor(std::size_t sub_block) const { return factors_[sub_block]; }
  unsigned word(std::size_t point) const { return static_cast<unsigned>(choices_[point] % book_.words.size()); }
  bool is_lowered(std::size_t point) const { return choices_[point] >= book_.words.size(); }
  /// Signs of eight numbers, the first one lowest.
  unsigned signs(std::size_t eight) const { return signs_[eight]; }

 private:
  /// What choosing a point brings: x . g and g . g, weighted.
  struct Fit {
    float xg = 0.0f, gg = 0.0f;
    float error(float scale) const { return scale * (scale * gg - 2.0f * xg); }  // less that of zeros
    void add(const Fit& other) { xg += other.xg, gg += other.gg; }
  };
  struct Candidate {
    Fit fit;
    std::size_t choice = 0;
  };
  static constexpr std::size_t tried_scales = 11;

  std::size_t points_of_sub_block() const { return book_.sub_block / book_.dimension; }
  void take_signs();
  void shortlist(std::size_t sub_block);
  void shortlist_point(std::size_t point, float widest);
  void measure_choices(std::size_t point);
  std::size_t best_choice(float scale, std::size_t first, std::size_t count) const;
  /// Best choices of the points of a sub-block under a scale, of one list of candidates (0, or 1: the lowered points).
  Fit choose_from(std::size_t list, std::size_t sub_block, float scale, std::size_t* choices) const;
  Fit choose(std::size_t sub_block, float scale, std::size_t* choices) const;
  float fit_scale(std::size_t sub_block) const;
  bool consider(float wanted, std::span<const float> fits);

  const Codebook& book_;
  std::size_t lists_;  // of candidates: two where a whole sub-block is raised or lowered
  std::vector<float> points_;  // [dimension, choices], shifted
  std::vector<float> xg_, gg_;  // [choices] of the point in hand
  std::vector<Candidate> candidates_;  // [lists, points of a block, tried_scales]
  Weighed<256> block_;
  float error_ = 0.0f;  // less that of zeros
  HalfScale scale_;
  unsigned factors_[16] = {}, signs_[32] = {};
  std::size_t choices_[64] = {};
  Fit refit_;
};

}  // namespace vitrine::blocks
