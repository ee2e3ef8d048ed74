#include "core/model/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "core/base/error.h"

namespace vitrine {

KvCache::KvCache(const ModelSpec& spec, KvFormat format, AttentionRole role)
    : context_(role == AttentionRole::self ? spec.context : 0), format_(format) {
  require_kv_format(spec, format);
  for (const BlockSpec& block : spec.blocks) {
    const AttentionSpec none, &attention = role == AttentionRole::self ? block.attention : block.cross ? *block.cross : none;
    blocks_.push_back({attention.kv_heads, attention.head_dim});
  }
}

std::size_t KvCache::row_bytes(std::size_t block) const {
  return vitrine::row_bytes(format_.type, kv_head_numbers(format_.type, blocks_[block].head_dim));
}

std::size_t KvCache::head_bytes(std::size_t block) const { return capacity_ * row_bytes(block); }

std::size_t KvCache::part_bytes(std::size_t block) const {
  constexpr std::size_t line = 64;
  return (blocks_[block].kv_heads * head_bytes(block) + line - 1) / line * line;
}

std::size_t KvCache::bytes() const { return memory_.bytes().size(); }

void KvCache::reserve(std::size_t rows) {
  const std::size_t needed = length_ + rows;
  if (needed <= capacity_) return;
  std::size_t capacity = std::max<std::size_t>({needed, 2 * capacity_, 64});
  if (context_ > 0) capacity = std::max(needed, std::min(capacity, context_));
  *this = KvCache(*this, capacity);
}

/// The same positions with room for `capacity`.
KvCache::KvCache(const KvCache& from, std::size_t capacity)
    : context_(from.context_), format_(from.format_), reach_(from.reach_), length_(from.length_), capacity_(capacity), blocks_(from.blocks_) {
  std::size_t bytes = 0;
  for (std::size_t block = 0; block < blocks_.size(); ++block) {
    blocks_[block].begin = bytes;
    bytes += 2 * part_bytes(block);
  }
  memory_ = Tensor(DType::i8, {bytes});
  for (std::size_t block = 0; block < blocks_.size(); ++block) copy_rows(block, from, length_);
}

std::byte* KvCache::key_row(std::size_t block, std::size_t position) {
  return memory_.bytes().data() + blocks_[block].begin + position * row_bytes(block);
}

std::byte* KvCache::value_row(std::size_t block, std::size_t position) {
  return key_row(block, position) + part_bytes(block);
}

void KvCache::copy_rows(std::size_t block, const KvCache& from, std::size_t rows) {
  VITRINE_CHECK(from.format_ == format_ && rows <= from.capacity_ && rows <= capacity_);
  if (rows == 0) return;
  const std::byte* source = from.memory_.bytes().data() + from.blocks_[block].begin;
  std::byte* target = memory_.bytes().data() + blocks_[block].begin;
  for (std::size_t head = 0; head < blocks_[block].kv_heads; ++head) {
    for (const bool values : {false, true}) {
      std::memcpy(target + (values ? part_bytes(block) : 0) + head * head_bytes(block),
                  source + (values ? from.part_bytes(block) : 0) + head * from.head_bytes(block), rows * row_bytes(block));
    }
  }
}

void KvCache::truncate(std::size_t length) {
  VITRINE_CHECK(length <= length_);
  length_ = length;
}

KvView KvCache::view(std::size_t block, std::size_t begin, std::size_t kv_len) const {
  return {.type = format_.type,
          .rows = memory_.bytes().data() + begin,
          .row_bytes = static_cast<std::ptrdiff_t>(row_bytes(block)),
          .head_bytes = static_cast<std::ptrdiff_t>(head_bytes(block)),
          .kv_len = kv_len,
          .kv_heads = blocks_[block].kv_heads,
          .head_dim = blocks_[block].head_dim};
}

KvView KvCache::keys(std::size_t block, std::size_t kv_len) const { return view(block, blocks_[block].begin, kv_len); }

KvView KvCache::values(std::size_t block, std::size_t kv_len) const {
  return view(block, blocks_[block].begin + part_bytes(block), kv_len);
}

}  // namespace vitrine
