#include "core/model/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "core/base/error.h"

namespace vitrine {
namespace {

/// The first `rows` positions of every head, into room for another number of them.
void copy_heads(const Tensor& from, Tensor& to, std::size_t rows) {
  if (rows == 0) return;
  const std::size_t heads = to.shape()[0], bytes = rows * row_bytes(to.type(), to.shape()[2]);
  const std::size_t from_step = from.bytes().size() / heads, to_step = to.bytes().size() / heads;
  for (std::size_t h = 0; h < heads; ++h) std::memcpy(to.bytes().data() + h * to_step, from.bytes().data() + h * from_step, bytes);
}

Tensor grown(const Tensor& old, DType type, std::vector<std::size_t> shape, std::size_t rows) {
  Tensor fresh(type, std::move(shape));
  copy_heads(old, fresh, rows);
  return fresh;
}

}  // namespace

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

std::size_t KvCache::bytes() const {
  std::size_t sum = 0;
  for (const Block& block : blocks_) sum += block.keys.bytes().size() + block.values.bytes().size();
  return sum;
}

void KvCache::reserve(std::size_t rows) {
  const std::size_t needed = length_ + rows;
  if (needed <= capacity_) return;
  std::size_t capacity = std::max<std::size_t>({needed, 2 * capacity_, 64});
  if (context_ > 0) capacity = std::max(needed, std::min(capacity, context_));
  for (Block& block : blocks_) {
    if (block.kv_heads == 0) continue;
    const std::vector<std::size_t> shape{block.kv_heads, capacity, kv_head_numbers(format_.type, block.head_dim)};
    block.keys = grown(block.keys, format_.type, shape, length_);
    block.values = grown(block.values, format_.type, shape, length_);
  }
  capacity_ = capacity;
}

std::byte* KvCache::key_row(std::size_t block, std::size_t position) {
  return blocks_[block].keys.bytes().data() + position * row_bytes(block);
}

std::byte* KvCache::value_row(std::size_t block, std::size_t position) {
  return blocks_[block].values.bytes().data() + position * row_bytes(block);
}

void KvCache::copy_rows(std::size_t block, const KvCache& from, std::size_t rows) {
  VITRINE_CHECK(from.format_ == format_ && rows <= from.capacity_ && rows <= capacity_);
  copy_heads(from.blocks_[block].keys, blocks_[block].keys, rows);
  copy_heads(from.blocks_[block].values, blocks_[block].values, rows);
}

void KvCache::truncate(std::size_t length) {
  VITRINE_CHECK(length <= length_);
  length_ = length;
}

KvView KvCache::view_of(const Block& block, const Tensor& tensor, std::size_t kv_len) const {
  return {.type = tensor.type(),
          .rows = tensor.bytes().data(),
          .row_bytes = static_cast<std::ptrdiff_t>(vitrine::row_bytes(tensor.type(), tensor.shape()[2])),
          .head_bytes = static_cast<std::ptrdiff_t>(tensor.bytes().size() / block.kv_heads),
          .kv_len = kv_len,
          .kv_heads = block.kv_heads,
          .head_dim = block.head_dim};
}

KvView KvCache::keys(std::size_t block, std::size_t kv_len) const { return view_of(blocks_[block], blocks_[block].keys, kv_len); }

KvView KvCache::values(std::size_t block, std::size_t kv_len) const { return view_of(blocks_[block], blocks_[block].values, kv_len); }

}  // namespace vitrine
