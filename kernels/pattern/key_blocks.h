#pragma once

#include <array>
#include <cstddef>

#include "core/model/attention.h"

namespace vitrine {

constexpr std::size_t most_random_blocks = 16;

/// The key blocks that the queries of one block see under a BlockPattern. They depend on nothing but the rule, the two
/// blocks' places and, without a causal mask, the number of keys: not on how queries are split into calls.
class KeyBlocks {
 public:
  KeyBlocks() = default;
  /// @param rule  its `blocks` and its seed
  KeyBlocks(const PatternRule& rule, Mask mask, std::size_t query_block, std::size_t kv_len);

  bool sees(std::size_t key_block) const { return sees_by_place(key_block) || drew(key_block); }

  struct Run {
    std::size_t begin = 0, end = 0;
  };
  /// The first run of key blocks that are seen, at or behind block `from`; empty where there is none.
  Run next(std::size_t from) const;

 private:
  bool sees_by_place(std::size_t key_block) const;
  bool drew(std::size_t key_block) const;

  BlockPattern pattern_;
  std::size_t query_block_ = 0, count_ = 0;  // key blocks there are, under a causal mask those up to the query's own
  std::array<std::size_t, most_random_blocks> drawn_{};
  std::size_t drawn_count_ = 0;
};

}  // namespace vitrine
