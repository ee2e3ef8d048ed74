#include "core/decode/grammar/automaton.h"

#include <algorithm>
#include <functional>

#include "core/base/error.h"

namespace vitrine {
namespace {

constexpr std::size_t most_bytes = std::size_t{1} << 30, most_pairs_in_state = 1'000'000;
constexpr std::uint32_t farthest = UINT32_MAX / 4;

std::uint64_t mixed(std::uint64_t hash, std::uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
  return hash ^ (hash >> 29);
}

}  // namespace

GrammarAutomaton::GrammarAutomaton(std::shared_ptr<const GrammarNetwork> network) : network_(std::move(network)), buckets_(1024, 0), called_(network_->starts.size()) {
  sets_.emplace_back();  // 0, the empty set
  std::vector<Pair> nothing_known{{forgotten, 0}}, end_of_text{{text_end, 0}};
  forgotten_set_ = intern(nothing_known);
  const std::uint32_t root_end = intern(end_of_text);
  begin_closure();
  reach({network_->starts[0], root_end});
  start_ = finish_closure();
}

const std::vector<GrammarAutomaton::Pair>& GrammarAutomaton::copy_of(std::uint32_t set) {
  const auto all = pairs(set);
  source_.assign(all.begin(), all.end());
  return source_;
}

GrammarAutomaton::State GrammarAutomaton::make_step(State state, std::uint8_t byte_class) {
  begin_closure();
  for (const Pair& pair : copy_of(state)) {
    if (pair.node >= first_marker) continue;
    for (const auto& edge : network_->bytes.of(pair.node)) {
      if (edge.low <= byte_class && byte_class <= edge.high) reach({edge.target, pair.behind});
    }
  }
  const State next = finish_closure();
  if (sets_[state].table == no_table) {
    sets_[state].table = static_cast<std::uint32_t>(tables_.size());
    tables_.resize(tables_.size() + network_->classes, unknown);
  }
  tables_[sets_[state].table + byte_class] = next;
  return next;
}

GrammarAutomaton::State GrammarAutomaton::united(State a, State b) {
  if (a == b || b == dead) return a;
  if (a == dead) return b;
  found_.assign(pairs(a).begin(), pairs(a).end());
  found_.insert(found_.end(), pairs(b).begin(), pairs(b).end());
  return intern(found_);
}

void GrammarAutomaton::begin_closure() {
  found_.clear();
  seen_.clear();
  for (const std::uint32_t rank : called_ranks_) called_[rank].clear();  // of a closure that an Error ended
  called_ranks_.clear();
}

/// Everything that a pair leads to without a byte. Rules that are called begin in finish_closure(), when all their callers are
/// known; a rule that matches nothing was passed over in the network already, so a call that has just begun never returns.
void GrammarAutomaton::reach(Pair pair) {
  work_.assign(1, pair);
  while (!work_.empty()) {
    const Pair at = work_.back();
    work_.pop_back();
    if (at.node >= first_marker) {
      found_.push_back(at);
      continue;
    }
    if (!seen_.insert(std::uint64_t{at.node} << 32 | at.behind).second) continue;
    for (const std::uint32_t stop : network_->stops.of(at.node)) found_.push_back({stop, at.behind});
    for (const auto& called : network_->calls.of(at.node)) call(called, at.behind);
    if (!network_->returns[at.node]) continue;
    const auto behind = pairs(at.behind);
    work_.insert(work_.end(), behind.begin(), behind.end());
  }
  if (found_.size() > most_pairs_in_state) throw Error({network_->where, "a grammar that can be followed", "one with too many readings of this text", "make it less ambiguous"});
}

void GrammarAutomaton::call(const GrammarNetwork::Call& call, std::uint32_t behind) {
  const std::uint32_t rank = network_->rank[call.rule];
  std::vector<Pair>& callers = called_[rank];
  if (callers.empty()) {
    called_ranks_.push_back(rank);
    std::ranges::push_heap(called_ranks_, std::greater());
  }
  if (call.tail) {
    const auto all = pairs(behind);
    callers.insert(callers.end(), all.begin(), all.end());
  } else {
    callers.push_back({call.back, behind});
  }
}

GrammarAutomaton::State GrammarAutomaton::finish_closure() {
  while (!called_ranks_.empty()) {
    std::ranges::pop_heap(called_ranks_, std::greater());
    const std::uint32_t rank = called_ranks_.back();
    called_ranks_.pop_back();
    const std::uint32_t behind = intern(called_[rank]);
    called_[rank].clear();
    const std::uint32_t start = network_->starts[network_->by_rank[rank]];
    for (const std::uint32_t stop : network_->stops.of(start)) found_.push_back({stop, behind});
    for (const auto& called : network_->calls.of(start)) call(called, behind);
  }
  return intern(found_);
}

std::uint64_t GrammarAutomaton::hash_of(std::span<const Pair> pairs) {
  std::uint64_t hash = pairs.size();
  for (const Pair& pair : pairs) hash = mixed(hash, std::uint64_t{pair.node} << 32 | pair.behind);
  return hash;
}

std::uint32_t GrammarAutomaton::intern(std::vector<Pair>& pairs) {
  std::ranges::sort(pairs);
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  if (pairs.empty()) return 0;
  std::size_t slot = hash_of(pairs) & (buckets_.size() - 1);
  for (; buckets_[slot] != 0; slot = (slot + 1) & (buckets_.size() - 1)) {
    const auto known = this->pairs(buckets_[slot]);
    if (std::ranges::equal(known, pairs)) return buckets_[slot];
  }
  if (memory_bytes() > most_bytes) throw Error({network_->where, "a grammar that 1 GiB of states is enough for", "one that needs more", "make it less ambiguous"});
  const auto number = static_cast<std::uint32_t>(sets_.size());
  Set set;
  set.begin = pairs_.size();
  set.size = static_cast<std::uint32_t>(pairs.size());
  for (const Pair& pair : pairs) {
    set.ends |= pair.node == text_end;
    set.unknown |= pair.node == forgotten;
    set.goes_on |= pair.node < first_marker;
    set.names_tokens |= pair.node < first_marker && !network_->token_edges.of(pair.node).empty();
  }
  pairs_.insert(pairs_.end(), pairs.begin(), pairs.end());
  sets_.push_back(set);
  buckets_[slot] = number;
  if (sets_.size() * 2 > buckets_.size()) grow_buckets();
  return number;
}

void GrammarAutomaton::grow_buckets() {
  std::vector<std::uint32_t> larger(buckets_.size() * 4, 0);
  for (const std::uint32_t set : buckets_) {
    if (set == 0) continue;
    std::size_t slot = hash_of(pairs(set)) & (larger.size() - 1);
    while (larger[slot] != 0) slot = (slot + 1) & (larger.size() - 1);
    larger[slot] = set;
  }
  buckets_ = std::move(larger);
}

GrammarAutomaton::State GrammarAutomaton::shortened(State state, int levels) { return shortened_set(state, levels + 1); }

std::uint32_t GrammarAutomaton::shortened_set(std::uint32_t set, int levels) {
  if (levels == 0) return forgotten_set_;
  const auto wanted = static_cast<std::uint32_t>(levels);
  if (sets_[set].levels == wanted) return sets_[set].shortened;
  std::vector<Pair> shorter(pairs(set).begin(), pairs(set).end());
  for (Pair& pair : shorter) {
    if (pair.node < first_marker) pair.behind = shortened_set(pair.behind, levels - 1);
  }
  const std::uint32_t result = intern(shorter);
  sets_[set].levels = wanted;
  sets_[set].shortened = result;
  return result;
}

/// Sets refer to sets made before them alone, so a stack of those whose parts are missing ends.
std::uint32_t GrammarAutomaton::distance_to_end(State state) {
  std::vector<std::uint32_t> waiting{state};
  while (!waiting.empty()) {
    const std::uint32_t at = waiting.back();
    std::uint32_t least = farthest;
    bool complete = true;
    for (const Pair& pair : pairs(at)) {
      if (pair.node >= first_marker) {
        least = 0;
      } else if (sets_[pair.behind].distance == UINT32_MAX) {
        complete = false;
        waiting.push_back(pair.behind);
      } else {
        least = std::min(least, network_->distance[pair.node] + sets_[pair.behind].distance);
      }
    }
    if (!complete) continue;
    sets_[at].distance = least;
    waiting.pop_back();
  }
  return sets_[state].distance;
}

}  // namespace vitrine
