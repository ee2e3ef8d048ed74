#include <algorithm>
#include <queue>

#include "core/base/error.h"
#include "core/decode/grammar/network_builder_internal.h"

namespace vitrine {
namespace {

constexpr std::size_t most_nodes = 1'000'000;
using Kind = GrammarExpression::Kind;

/// Builds from behind: an expression is given the node that follows it and returns the one that it begins with.
class Builder {
 public:
  Builder(const GrammarText& text, const std::string& where) : text_(text), where_(where) {}

  RawNetwork build() {
    for (const GrammarRule& rule : text_.rules) add_rule(rule.name);
    for (std::size_t i = 0; i < text_.rules.size(); ++i) define(static_cast<std::uint32_t>(i), *text_.rules[i].body);
    while (!groups_.empty()) {  // groups inside groups come as their own are defined
      const auto [rule, body] = groups_.back();
      groups_.pop_back();
      define(rule, *body);
    }
    return std::move(network_);
  }

 private:
  std::uint32_t add_node() {
    if (network_.nodes.size() >= most_nodes) {
      throw Error({where_, "a grammar of at most " + std::to_string(most_nodes) + " states", "more", "use smaller repetition counts"});
    }
    network_.nodes.emplace_back();
    return static_cast<std::uint32_t>(network_.nodes.size() - 1);
  }
  RawNode& node(std::uint32_t number) { return network_.nodes[number]; }

  std::uint32_t add_rule(const std::string& name) {
    network_.names.push_back(name);
    network_.starts.push_back(no_node);
    network_.ends.push_back(add_node());
    return static_cast<std::uint32_t>(network_.ends.size() - 1);
  }
  void define(std::uint32_t rule, const GrammarExpression& body) { network_.starts[rule] = add(body, network_.ends[rule]); }

  std::uint32_t add(const GrammarExpression& expression, std::uint32_t next) {
    switch (expression.kind) {
      case Kind::literal: return add_literal(expression.literal, next);
      case Kind::characters: return add_characters(expression.characters, next);
      case Kind::token:
      case Kind::other_token: {
        const std::uint32_t begin = add_node();
        node(begin).tokens.push_back({expression.index, expression.kind == Kind::other_token, next});
        return begin;
      }
      case Kind::rule: return add_call(expression.index, next);
      case Kind::sequence:
        for (auto part = expression.parts.rbegin(); part != expression.parts.rend(); ++part) next = add(*part, next);
        return next;
      case Kind::choice: {
        std::vector<std::uint32_t> begins;
        for (const GrammarExpression& part : expression.parts) begins.push_back(add(part, next));
        return add_fork(std::move(begins));
      }
      case Kind::repetition: return add_repetition(expression, next);
    }
    return next;
  }

  std::uint32_t add_fork(std::vector<std::uint32_t> targets) {
    const std::uint32_t begin = add_node();
    node(begin).empty = std::move(targets);
    return begin;
  }
  std::uint32_t add_call(std::uint32_t rule, std::uint32_t back) {
    const std::uint32_t begin = add_node();
    node(begin).rule = rule;
    node(begin).back = back;
    return begin;
  }
  std::uint32_t add_literal(const std::string& literal, std::uint32_t next) {
    for (auto c = literal.rbegin(); c != literal.rend(); ++c) {
      const std::uint32_t begin = add_node();
      node(begin).bytes.push_back({static_cast<std::uint8_t>(*c), static_cast<std::uint8_t>(*c), next});
      next = begin;
    }
    return next;
  }
  /// Sequences that end alike share the nodes of their ends.
  std::uint32_t add_characters(const CharacterSet& set, std::uint32_t next) {
    const std::uint32_t begin = add_node();
    std::map<std::vector<std::uint8_t>, std::uint32_t> tails;
    for (const Utf8Sequence& sequence : utf8_sequences(set)) {
      std::uint32_t target = next;
      std::vector<std::uint8_t> tail;
      for (int i = sequence.bytes - 1; i > 0; --i) {
        const auto at = static_cast<std::size_t>(i);
        tail.push_back(sequence.low[at]);
        tail.push_back(sequence.high[at]);
        const auto [known, added] = tails.emplace(tail, no_node);
        if (added) {
          known->second = add_node();
          node(known->second).bytes.push_back({sequence.low[at], sequence.high[at], target});
        }
        target = known->second;
      }
      node(begin).bytes.push_back({sequence.low[0], sequence.high[0], target});
    }
    return begin;
  }

  std::uint32_t add_repetition(const GrammarExpression& expression, std::uint32_t next) {
    const GrammarExpression* body = &expression.parts.front();
    GrammarExpression call;
    const bool many = expression.least > 1 || (expression.most > 1 && expression.most != without_end);
    const bool large = body->kind != Kind::characters && body->kind != Kind::rule && body->kind != Kind::token &&
                       body->kind != Kind::other_token && !(body->kind == Kind::literal && body->literal.size() <= 8);
    if (many && large) {  // a rule of its own, so that repetitions inside repetitions add up and do not multiply
      call.kind = Kind::rule;
      call.index = add_rule("a repeated group");
      groups_.emplace_back(call.index, body);
      body = &call;
    }
    std::uint32_t begin = next;
    if (expression.most == without_end) {
      begin = add_node();  // stands for x*
      const std::uint32_t again = add(*body, begin);
      node(begin).empty = {again, next};
    } else {
      for (std::size_t i = expression.least; i < expression.most; ++i) begin = add_fork({add(*body, begin), next});
    }
    for (std::size_t i = 0; i < expression.least; ++i) begin = add(*body, begin);
    return begin;
  }

  const GrammarText& text_;
  const std::string& where_;
  RawNetwork network_;
  std::vector<std::pair<std::uint32_t, const GrammarExpression*>> groups_;
};

}  // namespace

RawNetwork build_nodes(const GrammarText& text, const std::string& where) { return Builder(text, where).build(); }

std::vector<std::uint32_t> distances(const RawNetwork& network) {
  constexpr std::uint32_t farthest = UINT32_MAX / 4;  // sums of two stay below `never`
  const std::size_t nodes = network.nodes.size();
  struct Edge {
    std::uint32_t source, cost;
  };
  std::vector<std::vector<Edge>> sources(nodes);
  std::vector<std::vector<std::uint32_t>> callers(network.starts.size()), returning(nodes);
  for (std::uint32_t i = 0; i < nodes; ++i) {
    const RawNode& node = network.nodes[i];
    for (const std::uint32_t target : node.empty) sources[target].push_back({i, 0});
    for (const RawNode::Bytes& edge : node.bytes) sources[edge.target].push_back({i, 1});
    for (const auto& edge : node.tokens) sources[edge.target].push_back({i, 1});
    if (node.rule == no_node) continue;
    callers[node.rule].push_back(i);
    returning[node.back].push_back(i);
  }
  std::vector<std::vector<std::uint32_t>> rules_at(nodes);
  for (std::uint32_t rule = 0; rule < network.starts.size(); ++rule) rules_at[network.starts[rule]].push_back(rule);

  std::vector<std::uint32_t> distance(nodes, never);
  using Entry = std::pair<std::uint32_t, std::uint32_t>;  // distance, node
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue;
  const auto offer = [&](std::uint32_t node, std::uint32_t cost) { queue.emplace(std::min(cost, farthest), node); };
  const auto offer_call = [&](std::uint32_t caller) {
    const std::uint32_t inside = distance[network.starts[network.nodes[caller].rule]], behind = distance[network.nodes[caller].back];
    if (inside != never && behind != never) offer(caller, inside + behind);
  };
  for (const std::uint32_t end : network.ends) offer(end, 0);
  while (!queue.empty()) {
    const auto [cost, node] = queue.top();
    queue.pop();
    if (distance[node] != never) continue;
    distance[node] = cost;
    for (const Edge& edge : sources[node]) offer(edge.source, cost + edge.cost);
    for (const std::uint32_t caller : returning[node]) offer_call(caller);
    for (const std::uint32_t rule : rules_at[node]) {
      for (const std::uint32_t caller : callers[rule]) offer_call(caller);
    }
  }
  return distance;
}

}  // namespace vitrine
