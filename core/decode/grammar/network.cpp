#include <algorithm>

#include "core/base/error.h"
#include "core/decode/grammar/network_builder_internal.h"

namespace vitrine {
namespace {

constexpr std::size_t most_entries = 8'000'000;

/// Bytes that no edge tells apart share a class, so that tables of transitions are short.
void choose_classes(const RawNetwork& raw, GrammarNetwork& network) {
  std::array<bool, 257> border{};
  for (const RawNode& node : raw.nodes) {
    for (const RawNode::Bytes& edge : node.bytes) border[edge.low] = border[edge.high + 1u] = true;
  }
  std::uint8_t number = 0;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    if (byte > 0 && border[byte]) ++number;
    network.class_of[byte] = number;
  }
  network.classes = std::size_t{number} + 1;
}

/// What a node reaches without a byte, one node after the other into the slices of the network.
class Closures {
 public:
  Closures(const RawNetwork& raw, GrammarNetwork& network) : raw_(raw), network_(network), seen_(raw.nodes.size(), no_node) {}

  void fill() {
    is_end_.assign(raw_.nodes.size(), false);
    for (const std::uint32_t end : raw_.ends) is_end_[end] = true;
    for (std::uint32_t node = 0; node < raw_.nodes.size(); ++node) {
      network_.stops.begin.push_back(static_cast<std::uint32_t>(network_.stops.all.size()));
      network_.calls.begin.push_back(static_cast<std::uint32_t>(network_.calls.all.size()));
      network_.returns.push_back(false);
      if (alive(node)) explore(node);
      if (network_.stops.all.size() + network_.calls.all.size() > most_entries) {
        throw Error({network_.where, "a grammar with fewer ways of matching nothing", "one that is too large", "write x{0,n} instead of x? x? x? ..."});
      }
    }
    network_.stops.begin.push_back(static_cast<std::uint32_t>(network_.stops.all.size()));
    network_.calls.begin.push_back(static_cast<std::uint32_t>(network_.calls.all.size()));
    // What has nothing left to do but to return is known once all are explored.
    for (GrammarNetwork::Call& call : network_.calls.all) {
      call.tail = network_.returns[call.back] && network_.stops.of(call.back).empty() && network_.calls.of(call.back).empty();
    }
  }

 private:
  bool alive(std::uint32_t node) const { return network_.distance[node] != never; }

  void explore(std::uint32_t from) {
    work_.assign(1, from);
    seen_[from] = from;
    while (!work_.empty()) {
      const std::uint32_t at = work_.back();
      work_.pop_back();
      const RawNode& node = raw_.nodes[at];
      if (is_end_[at]) network_.returns[from] = true;
      if (!node.bytes.empty() || !node.tokens.empty()) network_.stops.all.push_back(at);
      for (const std::uint32_t target : node.empty) visit(target, from);
      if (node.rule == no_node) continue;
      network_.calls.all.push_back({node.rule, node.back, false});
      if (network_.distance[raw_.starts[node.rule]] == 0) visit(node.back, from);  // the rule may match nothing
    }
  }
  void visit(std::uint32_t target, std::uint32_t from) {
    if (seen_[target] == from || !alive(target)) return;
    seen_[target] = from;
    work_.push_back(target);
  }

  const RawNetwork& raw_;
  GrammarNetwork& network_;
  std::vector<std::uint32_t> seen_, work_;
  std::vector<bool> is_end_;
};

void fill_edges(const RawNetwork& raw, GrammarNetwork& network) {
  for (const RawNode& node : raw.nodes) {
    network.bytes.begin.push_back(static_cast<std::uint32_t>(network.bytes.all.size()));
    network.token_edges.begin.push_back(static_cast<std::uint32_t>(network.token_edges.all.size()));
    for (const RawNode::Bytes& edge : node.bytes) {
      if (network.distance[edge.target] == never) continue;
      network.bytes.all.push_back({network.class_of[edge.low], network.class_of[edge.high], edge.target});
    }
    for (const GrammarNetwork::TokenEdge& edge : node.tokens) {
      if (network.distance[edge.target] != never) network.token_edges.all.push_back(edge);
    }
  }
  network.bytes.begin.push_back(static_cast<std::uint32_t>(network.bytes.all.size()));
  network.token_edges.begin.push_back(static_cast<std::uint32_t>(network.token_edges.all.size()));
}

/// Orders rules so that callers without a byte come first. @throws Error that names the cycle where there is one
void rank_rules(const GrammarText& text, GrammarNetwork& network) {
  const std::size_t rules = network.starts.size();
  enum class Mark : std::uint8_t { fresh, open, done };
  std::vector<Mark> mark(rules, Mark::fresh);
  std::vector<std::pair<std::uint32_t, std::size_t>> path;  // rule, and its next call
  std::vector<std::uint32_t> finished;
  for (std::uint32_t first = 0; first < rules; ++first) {
    if (mark[first] != Mark::fresh) continue;
    path.emplace_back(first, 0);
    mark[first] = Mark::open;
    while (!path.empty()) {
      const auto calls = network.calls.of(network.starts[path.back().first]);
      if (path.back().second == calls.size()) {
        mark[path.back().first] = Mark::done;
        finished.push_back(path.back().first);
        path.pop_back();
        continue;
      }
      const std::uint32_t next = calls[path.back().second++].rule;
      if (mark[next] == Mark::open) {
        std::string cycle;
        std::uint32_t named = no_node;
        for (auto step = std::ranges::find(path, next, [](const auto& entry) { return entry.first; }); step != path.end(); ++step) {
          cycle += network.rule_names[step->first] + " -> ";
          if (named == no_node && step->first < text.rules.size()) named = step->first;
        }
        const GrammarRule& rule = text.rules[named == no_node ? 0 : named];
        throw Error({place_in(network.where, rule.line, rule.column), "no rule that begins with itself", cycle + network.rule_names[next],
                     "write repetitions with * or let the rule stand behind something"});
      }
      if (mark[next] != Mark::fresh) continue;
      mark[next] = Mark::open;
      path.emplace_back(next, 0);
    }
  }
  network.by_rank.assign(finished.rbegin(), finished.rend());
  network.rank.resize(rules);
  for (std::uint32_t i = 0; i < rules; ++i) network.rank[network.by_rank[i]] = i;
}

}  // namespace

GrammarNetwork compile_grammar(GrammarText text, const std::string& where) {
  const RawNetwork raw = build_nodes(text, where);
  GrammarNetwork network;
  network.where = where;
  network.rule_names = raw.names;
  network.starts = raw.starts;
  network.distance = distances(raw);
  if (network.distance[raw.starts[0]] == never) {
    throw Error({place_in(where, text.rules[0].line, text.rules[0].column), "a rule that some text matches", quoted(text.rules[0].name) + ", which never ends", ""});
  }
  choose_classes(raw, network);
  fill_edges(raw, network);
  Closures(raw, network).fill();
  rank_rules(text, network);
  network.tokens = std::move(text.tokens);
  return network;
}

}  // namespace vitrine
