// Tokens that a grammar names, ends, copies, and what must not blow up.
#include "core/decode/grammar/matcher.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/decode/grammar/automaton.h"
#include "tests/core/decode/grammar/plain_tokenizer.h"

namespace vitrine {
namespace {

/// Text and numbers of tokens, in the order in which a model would say them.
struct Said {
  std::vector<TokenId> ids;
  Said& text(std::string_view bytes) {
    for (const char byte : bytes) ids.push_back(1 + static_cast<unsigned char>(byte));
    return *this;
  }
  Said& token(int name) {  // llama.cpp's tests number them 10 to 21
    ids.push_back(257 + name);
    return *this;
  }
};
Said token(int name) { return Said().token(name); }
Said text(std::string_view bytes) { return Said().text(bytes); }

PlainTokenizer with_names() {
  std::vector<std::string> names;
  for (int i = 0; i < 30; ++i) names.push_back("<t" + std::to_string(i) + ">");
  return PlainTokenizer::of_bytes(names);
}

bool accepted(GrammarMatcher matcher, const Said& said) {
  for (const TokenId id : said.ids) {
    if (!matcher.accepts(id)) return false;
    matcher.accept(id);
  }
  return matcher.may_end();
}

TEST(GrammarMatcher, FollowsNamedTokens) {
  const PlainTokenizer tokenizer = with_names();
  for (const std::string grammar : {"root ::= <[267]> content <[268]>\ncontent ::= (!<[268]>)*", "root ::= <t10> content <t11>\ncontent ::= (!<t11>)*"}) {
    const GrammarMatcher matcher(Grammar::parse(grammar), tokenizer);
    EXPECT_TRUE(accepted(matcher, token(10).text("hello world").token(11)));
    EXPECT_TRUE(accepted(matcher, token(10).text("text with ").token(12).text(" other tokens ").token(13).text(" mixed in").token(11)));
    EXPECT_TRUE(accepted(matcher, token(10).token(11)));
    EXPECT_TRUE(accepted(matcher, token(10).token(12).token(13).token(14).token(15).token(11)));
    EXPECT_TRUE(accepted(matcher, token(10).text("a").token(11)));
    EXPECT_FALSE(accepted(matcher, token(10).text("missing end token")));
    EXPECT_FALSE(accepted(matcher, token(10)));
    EXPECT_FALSE(accepted(matcher, text("missing start token").token(11)));
    EXPECT_FALSE(accepted(matcher, token(10).token(11).token(11)));
    EXPECT_FALSE(accepted(matcher, token(11).text("wrong order").token(10)));
  }
}

TEST(GrammarMatcher, FollowsNamedTokensThroughRules) {
  const PlainTokenizer tokenizer = with_names();
  const GrammarMatcher matcher(Grammar::parse(R"(
    root ::= reasoning+ content tool-call*
    reasoning ::= <t10> (!<t11>)* <t11>
    content ::= <t20> (!<t21>)* <t21>
    tool-call ::= <t12> name <t13> args <t14>
    name ::= (!<t13>)+
    args ::= (!<t14>)*)"), tokenizer);
  EXPECT_TRUE(accepted(matcher, token(10).text("I am thinking").token(11).token(20).text("hello world!").token(21).token(12).text("search").token(13).text("query=test").token(14)));
  EXPECT_TRUE(accepted(matcher, token(10).text("reasoning 1").token(11).token(10).text("reasoning 2").token(11).token(20).token(21).token(12).text("tool").token(13).token(14)));
  EXPECT_TRUE(accepted(matcher, token(10).token(11).token(20).text("content").token(21)));
  EXPECT_TRUE(accepted(matcher, token(10).text("think").token(12).text(" nested").token(11).token(20).token(10).text("more content").token(21).token(12).text("fn").token(13).text("x=1,y=2").token(14).token(12).text("fn2").token(13).token(14)));
  EXPECT_FALSE(accepted(matcher, token(20).text("content only").token(21)));
  EXPECT_FALSE(accepted(matcher, token(10).text("no closing reasoning")));
  EXPECT_FALSE(accepted(matcher, token(10).token(11).token(20).text("no closing content")));
  EXPECT_FALSE(accepted(matcher, token(10).token(11).token(20).token(21).token(12).text("incomplete tool")));
  EXPECT_FALSE(accepted(matcher, token(10).token(11).token(11).token(20).token(21)));
}

TEST(GrammarMatcher, RefusesNamesThatAreNoToken) {
  const PlainTokenizer tokenizer = with_names();
  EXPECT_THROW(GrammarMatcher(Grammar::parse("root ::= <think>"), tokenizer), Error);
  EXPECT_THROW(GrammarMatcher(Grammar::parse("root ::= <[100000]>"), tokenizer), Error);
}

TEST(GrammarMatcher, EndsOnlyWhereTheGrammarDoes) {
  const PlainTokenizer tokenizer = PlainTokenizer::of_bytes({"ab", "abc", ""});
  GrammarMatcher matcher(Grammar::parse("root ::= \"ab\" \"c\"?"), tokenizer);
  EXPECT_FALSE(matcher.may_end());
  EXPECT_FALSE(matcher.accepts(0));
  EXPECT_EQ(matcher.bytes_to_end(), 2u);
  EXPECT_FALSE(matcher.accepts(259)) << "a token without bytes";
  EXPECT_FALSE(matcher.accepts(-1));
  EXPECT_FALSE(matcher.accepts(260));
  EXPECT_THROW(matcher.accept(1 + 'b'), Error);
  matcher.accept(257);
  EXPECT_TRUE(matcher.may_end() && !matcher.must_end());
  GrammarMatcher other = matcher;
  other.accept(1 + 'c');
  EXPECT_TRUE(other.must_end());
  std::vector<float> logits(260, 0.0f);
  EXPECT_EQ(other.mask(logits), 1u);
  EXPECT_EQ(logits[0], 0.0f);
  other.accept(0);
  EXPECT_TRUE(other.ended() && !other.accepts(0));
  EXPECT_EQ(other.mask(logits), 0u);
  EXPECT_FALSE(matcher.ended()) << "the copy went its own way";
}

TEST(GrammarMatcher, TakesCharactersCutBetweenTokens) {
  const PlainTokenizer tokenizer = PlainTokenizer::of_bytes({"\xe4\xb8", "\xad\xe6", "\x96\x87"});
  const GrammarMatcher matcher(Grammar::parse("root ::= [\u4e00-\u9fa5]{2}"), tokenizer);
  EXPECT_TRUE(accepted(matcher, Said{{257, 258, 259}})) << "two characters of three bytes in three tokens";
  EXPECT_FALSE(accepted(matcher, Said{{257, 259, 258}}));
}

/// Runs a text through a grammar and gives the automaton's memory.
std::size_t memory_for(const std::string& grammar, const std::string& text) {
  GrammarAutomaton automaton(Grammar::parse(grammar).network());
  GrammarAutomaton::State state = automaton.start();
  for (const char byte : text) state = automaton.step(state, static_cast<std::uint8_t>(byte));
  EXPECT_NE(state, GrammarAutomaton::dead);
  EXPECT_LT(automaton.distance_to_end(state), UINT32_MAX / 8);
  return automaton.memory_bytes();
}

TEST(Grammar, GrowsSlowlyWhereItIsDeepOrAmbiguous) {
  const std::string json(named_grammar("json").text);
  const std::size_t deep = memory_for(json, std::string(10'000, '[')), deeper = memory_for(json, std::string(20'000, '['));
  EXPECT_LT(deeper, 3 * deep);
  EXPECT_LT(deeper, std::size_t{64} << 20);
  EXPECT_LT(memory_for("root ::= (a | b)*\na ::= \"x\" | \"xx\"\nb ::= \"x\" | \"xxx\"", std::string(5'000, 'x')), std::size_t{4} << 20);
  EXPECT_LT(memory_for("root ::= \"x\" root root | \"\"", std::string(300, 'x')), std::size_t{64} << 20);
  EXPECT_LT(memory_for("root ::= (\"x\"? \"x\"? \"x\"?){0,300} \"y\"", std::string(300, 'x')), std::size_t{64} << 20);
  EXPECT_LT(memory_for("root ::= \"x\" root \"y\"? | \"x\"", std::string(1'000, 'x')), std::size_t{64} << 20);
}

}  // namespace
}  // namespace vitrine
