#pragma once

#include <cstddef>
#include <vector>

#include "core/model/attention.h"
#include "core/model/kv_format.h"
#include "core/model/spec.h"
#include "core/tensor/tensor.h"

namespace vitrine {

/// Keys (rotated) and values of one causal sequence, or of a source under cross attention, all blocks. Grows by doubling
/// up to the model's context. A head's positions lie one behind the other: a query reads them as one run.
class KvCache {
 public:
  /// @throws Error (usage) where the model's heads cannot be turned (require_kv_format)
  KvCache(const ModelSpec& spec, KvFormat format, AttentionRole role = AttentionRole::self);

  const KvFormat& format() const { return format_; }
  std::size_t length() const { return length_; }
  /// By which factors the keys were turned; of an empty cache, by which they will be.
  RopeReach reach() const { return reach_; }
  void set_reach(RopeReach reach) { reach_ = reach; }
  std::size_t bytes() const;

  /// Makes room for `rows` more positions.
  void reserve(std::size_t rows);
  /// First byte of the first head's row at `position` (room must be reserved).
  std::byte* key_row(std::size_t block, std::size_t position);
  std::byte* value_row(std::size_t block, std::size_t position);
  std::size_t row_bytes(std::size_t block) const;   ///< from one position to the next
  std::size_t head_bytes(std::size_t block) const;  ///< from one head to the next
  /// Stores the first `rows` positions of another cache of the same format as this one's (room must be reserved).
  void copy_rows(std::size_t block, const KvCache& from, std::size_t rows);
  /// Counts `rows` more positions as present, once all blocks have stored them.
  void advance(std::size_t rows) { length_ += rows; }
  /// Forgets positions from `length` on.
  void truncate(std::size_t length);

  /// Views of the first `kv_len` rows.
  KvView keys(std::size_t block, std::size_t kv_len) const;
  KvView values(std::size_t block, std::size_t kv_len) const;

 private:
  struct Block {
    std::size_t kv_heads = 0, head_dim = 0;
    std::size_t begin = 0;  // of its keys in memory_
  };
  KvCache(const KvCache& from, std::size_t capacity);
  /// Bytes of a block's keys (or values) for `capacity_` positions.
  std::size_t part_bytes(std::size_t block) const;
  KvView view(std::size_t block, std::size_t begin, std::size_t kv_len) const;

  std::size_t context_;
  KvFormat format_;
  RopeReach reach_ = RopeReach::near;
  std::size_t length_ = 0;
  std::size_t capacity_ = 0;
  std::vector<Block> blocks_;
  Tensor memory_;  // block after block keys, then values, each [kv_heads, capacity, head_dim in whole blocks]
};

}  // namespace vitrine
