#pragma once

#include <cstdint>
#include <limits>
#include <queue>
#include <vector>

#include "core/text/tokenizer.h"

namespace vitrine {

/// A part of a piece on its way to being a token.
struct MergePart {
  TokenId id = -1;
  std::uint32_t begin = 0, end = 0;  ///< bytes of the piece
};

/// What two neighbours become; no token where they have no rule.
struct MergeRule {
  double rank = std::numeric_limits<double>::infinity();  ///< the lowest goes first, the leftmost among equals
  TokenId result = -1;
};

/// Joins neighbours by rank until no pair has a rule. Few parts are searched one by one, many through a heap
/// (O(n log n) in the number of parts).
template <typename Rule>
class Merger {
 public:
  /// @param rule  (left part, right part) -> MergeRule
  explicit Merger(const Rule& rule) : rule_(rule) {}

  void merge(std::vector<MergePart>& parts) const {
    constexpr std::size_t few = 48;
    if (parts.size() < 2) return;
    parts.size() <= few ? merge_few(parts) : merge_many(parts);
  }

 private:
  void merge_few(std::vector<MergePart>& parts) const {
    thread_local std::vector<MergeRule> rules;  // of each part with the next
    rules.clear();
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) rules.push_back(rule_(parts[i], parts[i + 1]));
    while (!rules.empty()) {
      std::size_t best = 0;
      for (std::size_t i = 1; i < rules.size(); ++i) best = rules[i].rank < rules[best].rank ? i : best;
      if (rules[best].result < 0) return;
      parts[best].id = rules[best].result;
      parts[best].end = parts[best + 1].end;
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
      rules.erase(rules.begin() + static_cast<std::ptrdiff_t>(best));
      if (best > 0) rules[best - 1] = rule_(parts[best - 1], parts[best]);
      if (best < rules.size()) rules[best] = rule_(parts[best], parts[best + 1]);
    }
  }

  struct Candidate {
    double rank;
    std::int32_t left, right;
    std::uint32_t left_end, right_end;  // tell whether the two are still what they were
    TokenId result;
    bool operator<(const Candidate& other) const { return rank != other.rank ? rank > other.rank : left > other.left; }
  };

  void merge_many(std::vector<MergePart>& parts) const {
    const auto count = static_cast<std::int32_t>(parts.size());
    std::vector<std::int32_t> before(parts.size()), after(parts.size());
    std::priority_queue<Candidate> queue;
    const auto part = [&](std::int32_t i) -> MergePart& { return parts[static_cast<std::size_t>(i)]; };
    const auto offer = [&](std::int32_t left, std::int32_t right) {
      if (left < 0 || right >= count) return;
      const MergeRule rule = rule_(part(left), part(right));
      if (rule.result >= 0) queue.push({rule.rank, left, right, part(left).end, part(right).end, rule.result});
    };
    for (std::int32_t i = 0; i < count; ++i) {
      before[static_cast<std::size_t>(i)] = i - 1;
      after[static_cast<std::size_t>(i)] = i + 1;
    }
    for (std::int32_t i = 0; i + 1 < count; ++i) offer(i, i + 1);
    while (!queue.empty()) {
      const Candidate best = queue.top();
      queue.pop();
      MergePart &left = part(best.left), &right = part(best.right);
      std::int32_t& next = after[static_cast<std::size_t>(best.left)];
      const bool stale = left.begin == left.end || right.begin == right.end || next != best.right || left.end != best.left_end ||
                         right.end != best.right_end;
      if (stale) continue;
      left.id = best.result;
      left.end = right.end;
      right.begin = right.end;
      next = after[static_cast<std::size_t>(best.right)];
      if (next < count) before[static_cast<std::size_t>(next)] = best.left;
      offer(before[static_cast<std::size_t>(best.left)], best.left);
      offer(best.left, next);
    }
    std::erase_if(parts, [](const MergePart& merged) { return merged.begin == merged.end; });
  }

  const Rule& rule_;
};

/// Two ids -> what they become, with open addressing: looked up for every neighbour of every new piece.
class PairTable {
 public:
  struct Entry {
    std::uint64_t pair = no_pair;
    MergeRule rule;
  };
  explicit PairTable(std::size_t pairs = 0) {
    std::size_t size = 16;
    while (size < pairs * 2) size *= 2;
    entries_.resize(size);
  }
  /// Of equal pairs the last one counts. Room for as many as the constructor was told.
  void set(TokenId left, TokenId right, MergeRule rule) {
    Entry& entry = entries_[place(key(left, right))];
    entry = {key(left, right), rule};
  }
  MergeRule find(TokenId left, TokenId right) const {
    const Entry& entry = entries_[place(key(left, right))];
    return entry.pair == no_pair ? MergeRule{} : entry.rule;
  }

 private:
  static constexpr std::uint64_t no_pair = UINT64_MAX;
  static std::uint64_t key(TokenId left, TokenId right) {
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
  }
  std::size_t place(std::uint64_t pair) const {
    const std::size_t mask = entries_.size() - 1;
    std::size_t at = (pair * 0x9e3779b97f4a7c15u) >> 20 & mask;
    while (entries_[at].pair != pair && entries_[at].pair != no_pair) at = (at + 1) & mask;
    return at;
  }
  std::vector<Entry> entries_;
};

}  // namespace vitrine
