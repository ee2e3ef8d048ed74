// Reading GBNF: what is accepted and refused, and how errors read.
#include "core/decode/grammar/grammar.h"

#include <gtest/gtest.h>


#include "core/base/error.h"
#include "core/text/characters.h"

namespace vitrine {
namespace {

std::string error_of(std::string_view text) {
  try {
    Grammar::parse(text, "g");
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

bool accepted(std::string_view grammar, std::string_view text) { return check_text(Grammar::parse(grammar), text).accepted; }

TEST(Grammar, SaysWhereItStopsBeingOne) {
  EXPECT_EQ(error_of("root ::= \"a\"\nb ::= [a"), "g:2:9: expected ] for the [ of 2:7, found the end");
  EXPECT_EQ(error_of("root ::= (\"a\" | \"b\"\n"), "g:2:1: expected ) for the ( of 1:10, found the end");
  EXPECT_EQ(error_of("root := \"a\""), "g:1:6: expected ::= behind the rule's name, found ':'");
  EXPECT_EQ(error_of("root ::= \"a\" missing \"b\" missing"), "g:1:14: expected a rule that is defined, found 'missing'");
  EXPECT_EQ(error_of("rot ::= \"a\""), "g: expected a rule root ::= ..., which says what the whole text is, found none");
  EXPECT_EQ(error_of(""), "g:1:1: expected a rule, as in root ::= \"yes\" | \"no\", found nothing");
  EXPECT_EQ(error_of("root ::= \"a\"\nroot ::= \"b\""), "g:2:1: expected one rule of each name, found 'root' for the second time");
  EXPECT_EQ(error_of("root ::= * \"a\""), "g:1:10: expected a symbol before the repetition, found '*'");
  EXPECT_EQ(error_of("root ::= \"a\"{3,2}"), "g:1:13: expected the smaller number first, found '{3,2}'");
  EXPECT_EQ(error_of("root ::= \"a\"{3"), "g:1:15: expected } at the end of the repetition, found the end");
  EXPECT_EQ(error_of("root ::= \"a\"{999999}"), "g:1:14: expected at most 100000 repetitions, found more");
  EXPECT_EQ(error_of("root ::= [z-a]"), "g:1:11: expected a range whose first character comes before its last, found 'z-a'");
  EXPECT_EQ(error_of("root ::= \"\\q\""), "g:1:12: expected one of t, r, n, f, v, x.., u...., U........ or a sign behind \\, found 'q'");
  EXPECT_EQ(error_of("root ::= \"\\ud800\""), "g:1:11: expected a character of Unicode, found '\\ud800'");
  EXPECT_EQ(error_of("root ::= \"\xff\""), "g:1:11: expected UTF-8, found '\xff'");
  EXPECT_EQ(error_of("root ::= \"é\" )"), "g:1:14: expected the end of the rule, or a symbol, found ')'");
  EXPECT_EQ(error_of("root ::= <[x]>"), "g:1:10: expected the number of a token, as in <[1000]>, found '<[x]>'");
}

TEST(Grammar, NamesTheCycleOfALeftRecursion) {
  const std::string advice = "; write repetitions with * or let the rule stand behind something";
  EXPECT_EQ(error_of("root ::= \"a\" | root \"a\""), "g:1:1: expected no rule that begins with itself, found root -> root" + advice);
  EXPECT_EQ(error_of("root ::= asdf\nasdf ::= \"a\" | asdf \"a\""), "g:2:1: expected no rule that begins with itself, found asdf -> asdf" + advice);
  EXPECT_EQ(error_of("root ::= asdf\nasdf ::= \"a\" | foo \"b\"\nfoo ::= \"c\" | asdf \"d\" | \"e\""),
            "g:2:1: expected no rule that begins with itself, found asdf -> foo -> asdf" + advice);
  EXPECT_EQ(error_of("root ::= asdf\nasdf ::= \"a\" | foo \"b\"\nfoo ::= \"c\" | empty asdf \"d\" | \"e\"\nempty ::= \"blah\" | "),
            "g:2:1: expected no rule that begins with itself, found asdf -> foo -> asdf" + advice);
  EXPECT_EQ(error_of("root ::= \"a\"? root \"b\" | \"c\""), "g:1:1: expected no rule that begins with itself, found root -> root" + advice);
}

TEST(Grammar, RefusesWhatNeverEndsAndWhatIsTooLarge) {
  EXPECT_EQ(error_of("root ::= \"a\" root"), "g:1:1: expected a rule that some text matches, found 'root', which never ends");
  EXPECT_FALSE(accepted("root ::= \"b\" | \"a\" endless\nendless ::= \"a\" endless", "a"));
  EXPECT_EQ(check_text(Grammar::parse("root ::= \"b\" | \"a\" endless\nendless ::= \"a\" endless"), "aa").bytes, 0u) << "nothing can follow that never ends";
  EXPECT_NE(error_of("root ::= ((\"abcdefghij\"{1000}){1000}){1000}"), "");
  EXPECT_EQ(error_of("root ::= \"abcdefgh\"{100000} \"abcdefgh\"{100000}"), "g: expected a grammar of at most 1000000 states, found more; use smaller repetition counts");
  std::string deep(1000, '('), optional = "root ::=";
  EXPECT_EQ(error_of("root ::= " + deep), "g:1:139: expected at most 128 parentheses inside each other, found more");
  for (int i = 0; i < 10'000; ++i) optional += " \"a\"?";
  EXPECT_EQ(error_of(optional), "g: expected a grammar with fewer ways of matching nothing, found one that is too large; write x{0,n} instead of x? x? x? ...");
  std::string repeated = "root ::= \"a\"";
  for (int i = 0; i < 1000; ++i) repeated += "{1,2}";
  EXPECT_NE(error_of(repeated), "accepted");
}

TEST(Grammar, ReadsEveryFormOfARule) {
  EXPECT_TRUE(accepted("# comment\nroot ::= # here\n  \"a\" |\n  \"b\"  # there\n", "b"));
  EXPECT_TRUE(accepted("root ::= \"a\"\n  | \"b\"\r\n", "b"));
  EXPECT_TRUE(accepted("root ::= (\n\"a\"\n\"b\"\n)\n", "ab"));
  EXPECT_TRUE(accepted("root ::= \"a\"\nnever-used ::= \"b\"", "a"));
  EXPECT_TRUE(accepted("root ::= ", ""));
  EXPECT_TRUE(accepted("root ::= \"\" | \"x\"", ""));
  EXPECT_TRUE(accepted("root ::= \"\\x41\\u00e9\\U0001F600\\n\\t\\\\\\\"\"", "A\u00e9\U0001F600\n\t\\\""));
  EXPECT_TRUE(accepted("root ::= [-a] [a-] [\\]] [^a] [\\-x]", "--]b-"));
  EXPECT_TRUE(accepted("root ::= \"ab\" {2} [c] {1,} \"d\" { 0 , 1 }", "ababcc"));
  EXPECT_TRUE(accepted("root ::= \"ab\"*", "abab")) << "a repetition takes the whole literal";
  EXPECT_TRUE(accepted("root ::= \"a\"{,2} \"b\"", "aab"));
  EXPECT_FALSE(accepted("root ::= \"a\"{0} \"b\"", "ab"));
  EXPECT_FALSE(accepted("root ::= (\"a\"*){0} \"b\"", "ab"));
  EXPECT_TRUE(accepted("root ::= item{2,3}\nitem ::= \"\" | \"a\"", ""));
}

TEST(Grammar, WalksUtf8ByteByByte) {
  const Grammar grammar = Grammar::parse("root ::= [^a-z\u00e9]");
  for (const char32_t c : {U'A', U'\u00e8', U'\u00ea', U'\u07ff', U'\u0800', U'\ud7ff', U'\ue000', U'\uffff', U'\U00010000', U'\U0010ffff'}) {
    std::string text;
    append_utf8(text, c);
    EXPECT_TRUE(check_text(grammar, text).accepted) << static_cast<std::uint32_t>(c);
  }
  EXPECT_FALSE(check_text(grammar, "\u00e9").accepted);
  EXPECT_EQ(check_text(grammar, "\u00e9").bytes, 1u) << "the first byte is that of other characters too";
  for (const std::string_view bad : {"\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80", "\xff", "\xe2\x82"}) EXPECT_FALSE(check_text(grammar, bad).accepted);
}

}  // namespace
}  // namespace vitrine
