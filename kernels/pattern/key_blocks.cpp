#include "kernels/pattern/key_blocks.h"

#include <algorithm>

#include "core/base/error.h"
#include "kernels/pattern/random.h"

namespace vitrine {

KeyBlocks::KeyBlocks(const PatternRule& rule, Mask mask, std::size_t query_block, std::size_t kv_len)
    : pattern_(rule.blocks), query_block_(query_block) {
  VITRINE_CHECK(pattern_.size > 0 && pattern_.random <= most_random_blocks);
  const std::size_t stored = kv_len / pattern_.size + (kv_len % pattern_.size > 0 ? 1 : 0);
  // Later keys of a causal text may not be there yet: what is drawn must not depend on them.
  const std::size_t choice = mask == Mask::causal ? query_block + 1 : stored;
  count_ = std::min(choice, stored);
  if (pattern_.random == 0) return;
  const std::uint64_t stream = scrambled(rule.seed + scramble_step * (query_block + 1));
  std::array<std::uint64_t, most_random_blocks> lots{};  // the smallest win, in rising order
  for (std::size_t block = 0; block < choice; ++block) {
    if (sees_by_place(block)) continue;
    const std::uint64_t lot = scrambled(stream + scramble_step * (block + 1));
    std::size_t place = drawn_count_;
    while (place > 0 && lots[place - 1] > lot) --place;
    if (place == pattern_.random) continue;
    drawn_count_ = std::min(drawn_count_ + 1, pattern_.random);
    for (std::size_t later = drawn_count_ - 1; later > place; --later) {
      lots[later] = lots[later - 1];
      drawn_[later] = drawn_[later - 1];
    }
    lots[place] = lot;
    drawn_[place] = block;
  }
}

bool KeyBlocks::sees_by_place(std::size_t key_block) const {
  if (key_block < pattern_.global || query_block_ < pattern_.global) return true;
  const std::size_t distance = key_block > query_block_ ? key_block - query_block_ : query_block_ - key_block;
  return distance < pattern_.window || (pattern_.stride > 0 && distance % pattern_.stride == 0);
}

bool KeyBlocks::drew(std::size_t key_block) const {
  return std::find(drawn_.begin(), drawn_.begin() + drawn_count_, key_block) != drawn_.begin() + drawn_count_;
}

KeyBlocks::Run KeyBlocks::next(std::size_t from) const {
  while (from < count_ && !sees(from)) ++from;
  Run run{from, from};
  while (run.end < count_ && sees(run.end)) ++run.end;
  return run;
}

}  // namespace vitrine
