#include "core/text/trie.h"

#include <algorithm>
#include <deque>
#include <span>

namespace vitrine {

class Trie::Builder {
 public:
  Builder(std::vector<Unit>& units, std::span<const std::pair<std::string_view, std::int32_t>> keys) : units_(units), keys_(keys) { add_block(); }

  void build() {
    units_[0].parent = 0;  // the root is no one's child; its slot is taken
    take(0);
    std::deque<Task> tasks{{0, keys_.size(), 0, root}};
    for (; !tasks.empty(); tasks.pop_front()) place(Task(tasks.front()), tasks);
  }

 private:
  static constexpr std::size_t block = 256, blocks_tried = 16;

  struct Task {  // keys [begin, end) agree in their first `depth` bytes, which lead to `node`
    std::size_t begin, end, depth;
    std::uint32_t node;
  };

  void add_block() {
    open_.push_back(units_.size() / block);
    units_.resize(units_.size() + block);
    taken_.resize(units_.size(), false);
    free_.push_back(block);
  }

  void take(std::size_t slot) {
    taken_[slot] = true;
    --free_[slot / block];
  }

  void place(Task task, std::deque<Task>& tasks) {
    while (task.begin < task.end && keys_[task.begin].first.size() == task.depth) units_[task.node].value = keys_[task.begin++].second;
    if (task.begin == task.end) return;
    std::vector<Task> children;
    bytes_.clear();
    for (std::size_t i = task.begin; i < task.end; ++i) {
      const auto byte = static_cast<unsigned char>(keys_[i].first[task.depth]);
      if (bytes_.empty() || bytes_.back() != byte) {
        bytes_.push_back(byte);
        children.push_back({i, i, task.depth + 1, 0});
      }
      children.back().end = i + 1;
    }
    const std::uint32_t base = find_base();
    units_[task.node].base = base;
    for (std::size_t i = 0; i < children.size(); ++i) {
      children[i].node = base ^ bytes_[i];
      units_[children[i].node].parent = task.node;
      take(children[i].node);
      tasks.push_back(children[i]);
    }
  }

  /// A base whose children are all free, in one of the last blocks that are not full.
  std::uint32_t find_base() {
    std::erase_if(open_, [&](std::size_t i) { return free_[i] == 0; });
    if (open_.size() > blocks_tried) open_.erase(open_.begin(), open_.end() - blocks_tried);
    for (const std::size_t i : open_) {
      if (free_[i] < bytes_.size()) continue;
      for (std::size_t low = 0; low < block; ++low) {
        const std::size_t base = i * block | low;
        if (std::ranges::none_of(bytes_, [&](unsigned char byte) { return taken_[base ^ byte]; })) return static_cast<std::uint32_t>(base);
      }
    }
    add_block();
    return static_cast<std::uint32_t>((free_.size() - 1) * block);
  }

  std::vector<Unit>& units_;
  std::span<const std::pair<std::string_view, std::int32_t>> keys_;
  std::vector<bool> taken_;
  std::vector<std::size_t> free_;  // slots, one entry a block
  std::vector<std::size_t> open_;  // blocks that are tried
  std::vector<unsigned char> bytes_;
};

Trie::Trie(std::vector<std::pair<std::string_view, std::int32_t>> keys) {
  std::erase_if(keys, [](const auto& key) { return key.first.empty(); });
  std::stable_sort(keys.begin(), keys.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  Builder(units_, keys).build();
}

Trie::Match Trie::longest(std::string_view text, std::uint32_t node) const {
  Match best;
  for (std::size_t i = 0; i < text.size(); ++i) {
    node = next(node, text[i]);
    if (node == nowhere) break;
    if (value(node) != no_value) best = {value(node), i + 1};
  }
  return best;
}

std::uint32_t Trie::walk(std::string_view text) const {
  std::uint32_t node = root;
  for (std::size_t i = 0; i < text.size() && node != nowhere; ++i) node = next(node, text[i]);
  return node;
}

std::int32_t Trie::find(std::string_view text) const {
  const std::uint32_t node = walk(text);
  return node == nowhere ? no_value : value(node);
}

}  // namespace vitrine
