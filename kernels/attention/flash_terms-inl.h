// What scores hold besides the product of query and key, for a block of keys: biases by distance and bits of allowed keys, which
// the softmax takes in while it finishes the scores, and terms in which the distance meets the query.
//
// A bias depends on head and distance alone, so that one strip of a block's biases serves all its rows: row r of the piece is
// head r % group of position r / group, and a key further is the same distance as a position further, group rows on.

#if defined(VITRINE_FLASH_TERMS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VITRINE_FLASH_TERMS_INL_H
#undef VITRINE_FLASH_TERMS_INL_H
#else
#define VITRINE_FLASH_TERMS_INL_H
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "kernels/attention/flash_internal.h"
#include "kernels/attention/flash_product-inl.h"
#include "kernels/ops/weight_rows-inl.h"
#include "kernels/pattern/score_terms.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine {
namespace HWY_NAMESPACE {

using namespace flash;

/// Biases of one head for `count` distances from `distance` downwards. @param out  [count], `step` apart
HWY_INLINE void biases_of(const DistanceBias& bias, std::size_t head, std::ptrdiff_t distance, std::size_t count, float* out, std::size_t step) {
  const std::size_t columns = bias.table.empty() ? 0 : bias.table.extent(1);
  const float slope = bias.slope.empty() ? 0.0f : bias.slope[head];
  for (std::size_t i = 0; i < count; ++i, --distance) {
    float sum = slope * static_cast<float>(distance);
    if (columns > 0) sum += bias.table(head, nearest_entry(distance, bias.first, columns));
    out[i * step] = sum;
  }
}

/// What the softmax needs for the block: biases and allowed keys.
HWY_INLINE void load_block_terms(const Piece& piece, std::size_t first_key, const Buffers& buffers) {
  const AttentionProblem& p = *piece.problem;
  const std::size_t group = group_of(p), stride = stride_of(p);
  if (buffers.terms.bias) {  // entry row - group * key, so the first ones are those of the last key
    const std::ptrdiff_t furthest = p.score.distance(piece.position(0), first_key + key_block);
    for (std::size_t head = 0; head < group; ++head) {
      const std::size_t count = key_block + (stride - head + group - 1) / group;
      biases_of(p.score.by_distance, piece.kv_head * group + head, furthest, count, buffers.terms.bias + head, group);
    }
  }
  if (!buffers.terms.allowed) return;
  for (std::size_t row = 0; row < stride; ++row) {
    const std::size_t query = piece.first + std::min(row / group, piece.positions - 1);
    const std::uint64_t bits = p.score.allowed.word(query, first_key);
    buffers.terms.allowed[row] = static_cast<std::uint32_t>(bits);
    buffers.terms.allowed[stride + row] = static_cast<std::uint32_t>(bits >> 32);
  }
}

/// The same for a single query, whose lanes lie along the keys.
HWY_INLINE void load_narrow_terms(const Piece& piece, std::size_t first_key, const Buffers& buffers) {
  const AttentionProblem& p = *piece.problem;
  const std::size_t group = group_of(p);
  if (buffers.terms.bias) {
    const std::ptrdiff_t furthest = p.score.distance(piece.position(0), first_key + key_block - 1);
    for (std::size_t head = 0; head < group; ++head) {
      float* row = buffers.terms.bias + head * key_block;
      biases_of(p.score.by_distance, piece.kv_head * group + head, furthest, key_block, row, 1);
      std::reverse(row, row + key_block);
    }
  }
  if (!buffers.terms.allowed) return;
  const std::uint64_t bits = p.score.allowed.word(piece.first, first_key);
  for (std::size_t key = 0; key < key_block; ++key) buffers.terms.allowed[key] = static_cast<std::uint32_t>(bits >> key & 1);
}

/// Queries and segment terms of a piece in which the distance meets the query: one head a piece.
HWY_INLINE void load_content(const Piece& piece, const Buffers& buffers) {
  const AttentionProblem& p = *piece.problem;
  const ContentByDistance& content = p.score.content;
  if (content.empty()) return;
  const std::size_t stride = stride_of(p), head = piece.kv_head;
  for (std::size_t row = 0; row < stride; ++row) {
    const std::size_t own = std::min(row, piece.positions - 1);
    const float* q = query_at(piece, own);
    double same = 0.0, other = 0.0;
    for (std::size_t d = 0; d < p.k.head_dim; ++d) {
      buffers.terms.q[d * stride + row] = q[d] + content.distance_bias(head, d);
      if (!content.has_segments()) continue;
      const double number = q[d] + content.segment_bias(head, d);
      same += number * content.segment(0, head, d);
      other += number * content.segment(1, head, d);
    }
    buffers.terms.same[row] = static_cast<float>(same);
    buffers.terms.other[row] = static_cast<float>(other);
    buffers.terms.segment[row] = content.has_segments() ? content.query_segment[piece.first + own] : 0;
  }
}

/// Products of the piece's queries with the positions of every distance between them and the block's keys. Place c is the
/// distance of the last query to key c - (positions - 1).
HWY_INLINE void multiply_positions(const Piece& piece, std::size_t first_key, std::size_t count, const Buffers& buffers) {
  const AttentionProblem& p = *piece.problem;
  const ContentByDistance& content = p.score.content;
  const std::size_t stride = stride_of(p), last = piece.positions - 1, places = count + last, entries = content.r.extent(0);
  const std::ptrdiff_t nearest = p.score.distance(piece.position(last), first_key);
  const auto entry = [&](std::size_t place) { return nearest_entry(nearest + static_cast<std::ptrdiff_t>(place), content.first, entries); };
  for (std::size_t place = 0, here = 0; place < places; place += here) {
    const std::size_t first = entry(place);
    here = 1;  // places beyond the table share an entry
    while (here < tile_rows && place + here < places && entry(place + here) == first + here) ++here;
    const std::size_t begin = last > place + here - 1 ? last - (place + here - 1) : 0, end = std::min(last + count - place, piece.positions);
    const std::size_t from = begin / lanes * lanes, to = (end + lanes - 1) / lanes * lanes;
    multiply_strip<Form::scores>({&content.r(first, piece.kv_head, 0), content.r.stride(0), here, p.k.head_dim, buffers.terms.q + from, stride,
                                  to - from, buffers.terms.positions + place * stride + from, stride});
  }
}

/// Adds to the products of a block what the distances and the segments make of its queries.
HWY_INLINE void add_content(const Piece& piece, std::size_t first_key, std::size_t count, const Buffers& buffers) {
  const AttentionProblem& p = *piece.problem;
  const Lanes f;
  const hn::RebindToSigned<Lanes> whole;
  const std::size_t stride = stride_of(p), last = piece.positions - 1;
  multiply_positions(piece, first_key, count, buffers);
  for (std::size_t key = 0; key < count; ++key) {
    float* scores = buffers.scores + key * stride;
    for (std::size_t row = 0; row <= last; ++row) scores[row] += buffers.terms.positions[(key + last - row) * stride + row];
    if (!p.score.content.has_segments()) continue;
    const auto own = hn::Set(whole, p.score.content.key_segment[first_key + key]);
    for (std::size_t row = 0; row < stride; row += lanes) {
      const auto same = hn::RebindMask(f, hn::Eq(hn::LoadU(whole, buffers.terms.segment + row), own));
      const Vector term = hn::IfThenElse(same, hn::LoadU(f, buffers.terms.same + row), hn::LoadU(f, buffers.terms.other + row));
      hn::StoreU(hn::Add(hn::LoadU(f, scores + row), term), f, scores + row);
    }
  }
}

/// Rows that may see a key of the block, by the bits.
HWY_INLINE hn::Mask<Lanes> allowed_rows(const Buffers& buffers, std::size_t stride, std::size_t key, std::size_t row) {
  const hn::RebindToUnsigned<Lanes> words;
  const auto bits = hn::LoadU(words, buffers.terms.allowed + key / 32 * stride + row);
  return hn::RebindMask(Lanes(), hn::TestBit(bits, hn::Set(words, std::uint32_t{1} << key % 32)));
}

}  // namespace HWY_NAMESPACE
}  // namespace vitrine
HWY_AFTER_NAMESPACE();

#endif
