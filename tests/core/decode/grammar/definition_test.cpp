// Random small grammars against their definition: the least sets of strings that satisfy the rules, up to a length.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "core/base/error.h"
#include "core/decode/grammar/automaton.h"
#include "core/decode/grammar/grammar.h"
#include "core/decode/grammar/matcher.h"
#include "core/text/characters.h"
#include "tests/core/decode/grammar/plain_tokenizer.h"

namespace vitrine {
namespace {

constexpr std::size_t longest = 6;
using Strings = std::set<std::string>;
using Kind = GrammarExpression::Kind;

Strings joined_strings(const Strings& a, const Strings& b) {
  Strings all;
  for (const std::string& left : a) {
    for (const std::string& right : b) {
      if (left.size() + right.size() <= longest) all.insert(left + right);
    }
  }
  return all;
}

Strings strings_of(const GrammarExpression& expression, const std::vector<Strings>& rules) {
  switch (expression.kind) {
    case Kind::literal: return expression.literal.size() <= longest ? Strings{expression.literal} : Strings{};
    case Kind::characters: {
      Strings all;
      for (const auto& [first, last] : expression.characters.ranges()) {
        for (char32_t c = first; c <= last; ++c) all.insert(utf8(c));
      }
      return all;
    }
    case Kind::rule: return rules[expression.index];
    case Kind::sequence: {
      Strings all{""};
      for (const GrammarExpression& part : expression.parts) all = joined_strings(all, strings_of(part, rules));
      return all;
    }
    case Kind::choice: {
      Strings all;
      for (const GrammarExpression& part : expression.parts) all.merge(strings_of(part, rules));
      return all;
    }
    case Kind::repetition: {
      const Strings once = strings_of(expression.parts.front(), rules);
      Strings power{""}, all;
      // Behind `longest` turns nothing new comes: each that adds something is a byte long at least.
      const std::size_t most = std::min(expression.most, std::max(expression.least, longest) + longest);
      for (std::size_t turn = 0; turn <= most; ++turn) {
        if (turn >= expression.least) all.insert(power.begin(), power.end());
        power = joined_strings(power, once);
      }
      return all;
    }
    default: return {};
  }
}

/// The least fixed point.
Strings language_of(const GrammarText& text) {
  std::vector<Strings> rules(text.rules.size());
  for (bool grew = true; grew;) {
    grew = false;
    for (std::size_t i = 0; i < rules.size(); ++i) {
      Strings next = strings_of(*text.rules[i].body, rules);
      grew |= next.size() != rules[i].size();
      rules[i] = std::move(next);
    }
  }
  return rules[0];
}

class RandomGrammar {
 public:
  explicit RandomGrammar(unsigned seed) : random_(seed) {}
  std::string text() {
    rules_ = 1 + random_() % 4;
    std::string all;
    for (unsigned i = 0; i < rules_; ++i) all += name(i) + " ::= " + expression(0) + "\n";
    return all;
  }

 private:
  static std::string name(unsigned rule) { return rule == 0 ? "root" : "r" + std::to_string(rule); }
  std::string expression(int depth) {
    std::string all = sequence(depth);
    for (unsigned more = random_() % 3; more > 0; --more) all += " | " + sequence(depth);
    return all;
  }
  std::string sequence(int depth) {
    std::string all;
    for (unsigned parts = random_() % 4; parts > 0; --parts) all += symbol(depth) + repetition() + " ";
    return all;
  }
  std::string symbol(int depth) {
    switch (random_() % (depth < 2 ? 8 : 6)) {
      case 0: return "\"a\"";
      case 1: return "\"ab\"";
      case 2: return "[ab]";
      case 3: return "[b\u00e9]";  // two bytes
      case 4:
      case 5: return name(random_() % rules_);
      default: return "(" + expression(depth + 1) + ")";
    }
  }
  std::string repetition() {
    constexpr const char* kinds[] = {"*", "+", "?", "{2}", "{1,}", "{0,2}", "{2,3}"};
    return random_() % 3 == 0 ? kinds[random_() % std::size(kinds)] : "";
  }
  std::mt19937 random_;
  unsigned rules_ = 1;
};

/// Every text over the bytes of the alphabet up to a length.
std::vector<std::string> all_texts(std::size_t length) {
  std::vector<std::string> texts{""};
  for (std::size_t begin = 0, size = 0; size < length; ++size) {
    const std::size_t end = texts.size();
    for (; begin < end; ++begin) {
      for (const char byte : {'a', 'b', '\xc3', '\xa9'}) texts.push_back(texts[begin] + byte);
    }
  }
  return texts;
}

TEST(Grammar, AcceptsWhatItsDefinitionHolds) {
  const std::vector<std::string> texts = all_texts(longest - 1);
  int compared = 0, left_recursive = 0;
  for (unsigned seed = 0; seed < 8000; ++seed) {
    const std::string text = RandomGrammar(seed).text();
    SCOPED_TRACE(text);
    std::optional<Grammar> grammar;
    try {
      grammar = Grammar::parse(text);
    } catch (const Error&) {
      ++left_recursive;
      continue;
    }
    ++compared;
    const Strings language = language_of(parse_gbnf(text, "definition", "root"));
    GrammarAutomaton automaton(grammar->network());
    for (const std::string& candidate : texts) {
      GrammarAutomaton::State state = automaton.start();
      for (const char byte : candidate) state = automaton.step(state, static_cast<std::uint8_t>(byte));
      ASSERT_EQ(automaton.may_end(state), language.contains(candidate)) << candidate;
      // What is left to write, where the definition's strings are long enough to say so.
      std::size_t rest = SIZE_MAX;
      for (auto at = language.lower_bound(candidate); at != language.end() && at->starts_with(candidate); ++at) rest = std::min(rest, at->size() - candidate.size());
      if (rest != SIZE_MAX) {
        ASSERT_EQ(automaton.distance_to_end(state), rest) << candidate;
      } else if (state != GrammarAutomaton::dead) {
        ASSERT_GT(candidate.size() + automaton.distance_to_end(state), longest) << candidate;
      }
    }
  }
  EXPECT_GT(compared, 200);
  EXPECT_GT(left_recursive, 20);
}

TEST(GrammarMatcher, MasksWhatItRefusesOneByOne) {
  std::vector<std::string> more{"<name>"};
  for (const std::string& text : all_texts(4)) {
    if (text.size() > 1) more.push_back(text);
  }
  const PlainTokenizer tokenizer = PlainTokenizer::of_bytes(more);
  const auto vocabulary = std::make_shared<const GrammarVocabulary>(tokenizer);
  std::mt19937 random(11);
  std::size_t refused = 0, allowed = 0;
  for (unsigned seed = 0; seed < 800; ++seed) {
    const std::string text = RandomGrammar(seed).text();
    SCOPED_TRACE(text);
    std::optional<Grammar> grammar;
    try {
      grammar = Grammar::parse(text);
    } catch (const Error&) {
      continue;
    }
    GrammarMatcher matcher(*grammar, tokenizer, vocabulary);
    for (int step = 0; step < 6; ++step) {
      std::vector<float> logits(tokenizer.vocabulary_size() + 3, 1.0f);
      std::vector<TokenId> next;
      const std::size_t count = matcher.mask(logits);
      for (std::size_t i = 0; i < logits.size(); ++i) {
        const bool open = std::isfinite(logits[i]);
        ASSERT_EQ(open, matcher.accepts(static_cast<TokenId>(i))) << i << " in step " << step;
        if (open) next.push_back(static_cast<TokenId>(i));
      }
      ASSERT_EQ(next.size(), count);
      ASSERT_EQ(matcher.accepts(0), matcher.may_end());
      allowed += next.size();
      refused += logits.size() - next.size();
      if (next.empty()) break;
      const GrammarMatcher before = matcher;  // a copy stays where it is
      matcher.accept(next[random() % next.size()]);
      std::vector<float> again(logits.size(), 1.0f);
      EXPECT_EQ(before.mask(again), count);
      EXPECT_EQ(again, logits);
      if (matcher.ended()) break;
    }
  }
  EXPECT_GT(allowed, 10'000u);
  EXPECT_GT(refused, 10'000u);
}

}  // namespace
}  // namespace vitrine
