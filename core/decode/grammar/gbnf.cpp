#include "core/decode/grammar/gbnf.h"

#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "core/base/error.h"
#include "core/text/characters.h"

namespace vitrine {
namespace {

constexpr std::size_t most_bytes = 16 << 20, most_depth = 128, most_repeats = 100'000;
using Kind = GrammarExpression::Kind;

bool is_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_'; }

class Parser {
 public:
  Parser(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  GrammarText parse(const std::string& root) {
    rule_named(root);
    skip_space(Lines::many);
    if (at_end()) fail("a rule, as in root ::= \"yes\" | \"no\"", "nothing");
    while (!at_end()) read_rule();
    for (const GrammarRule& rule : grammar_.rules) {
      if (rule.body) continue;
      if (rule.name == root) throw Error({where_, "a rule " + root + " ::= ..., which says what the whole text is", "none", ""});
      throw Error({place_in(where_, rule.line, rule.column), "a rule that is defined", quoted(rule.name), ""});
    }
    return std::move(grammar_);
  }

 private:
  enum class Lines { one, many };

  bool at_end() const { return at_ >= text_.size(); }
  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool next_is(std::string_view word) const { return text_.substr(at_).starts_with(word); }

  std::string place(std::size_t at) const {
    const std::string_view before = text_.substr(0, std::min(at, text_.size()));
    const std::size_t line_begin = before.rfind('\n') + 1;  // npos + 1 is 0
    return place_in(where_, static_cast<std::size_t>(std::ranges::count(before, '\n')) + 1, count_characters(before.substr(line_begin)) + 1);
  }
  [[noreturn]] void fail_at(std::size_t at, const std::string& expected, const std::string& found) const { throw Error({place(at), expected, found, ""}); }
  [[noreturn]] void fail(const std::string& expected) const {
    if (at_end()) fail_at(at_, expected, "the end");
    fail_at(at_, expected, peek() == '\n' ? "the end of the line" : quoted(text_.substr(at_, character_size(text_, at_))));
  }
  [[noreturn]] void fail(const std::string& expected, const std::string& found) const { fail_at(at_, expected, found); }

  void skip_space(Lines lines) {
    while (!at_end()) {
      const char c = peek();
      if (c == '#') {
        while (!at_end() && peek() != '\n') ++at_;
      } else if (c == ' ' || c == '\t' || c == '\r' || (lines == Lines::many && c == '\n')) {
        ++at_;
      } else {
        return;
      }
    }
  }
  /// A line that begins with | goes on with the rule above it.
  bool next_line_has_choice() {
    const std::size_t before = at_;
    skip_space(Lines::many);
    if (peek() == '|') return true;
    at_ = before;
    return false;
  }

  std::uint32_t rule_named(const std::string& name) {
    const auto [found, added] = numbers_.emplace(name, static_cast<std::uint32_t>(grammar_.rules.size()));
    if (added) grammar_.rules.push_back({name, 0, 0, std::nullopt});
    return found->second;
  }
  std::string read_name() {
    const std::size_t begin = at_;
    while (is_name(peek())) ++at_;
    if (begin == at_) fail("the name of a rule");
    return std::string(text_.substr(begin, at_ - begin));
  }
  /// Lines are counted where they are asked for, from the last time on.
  void note_place(GrammarRule& rule, std::size_t at) {
    for (; counted_ < at; ++counted_) {
      if (text_[counted_] == '\n') ++line_, line_begin_ = counted_ + 1;
    }
    rule.line = line_;
    rule.column = at - line_begin_ + 1;
  }

  void read_rule() {
    const std::size_t begin = at_;
    const std::string name = read_name();
    skip_space(Lines::one);
    if (!next_is("::=")) fail("::= behind the rule's name");
    at_ += 3;
    const std::uint32_t number = rule_named(name);
    if (grammar_.rules[number].body) fail_at(begin, "one rule of each name", quoted(name) + " for the second time");
    skip_space(Lines::many);
    GrammarExpression body = read_choice(0);
    if (!at_end() && peek() != '\n') fail("the end of the rule, or a symbol");
    skip_space(Lines::many);
    note_place(grammar_.rules[number], begin);
    grammar_.rules[number].body = std::move(body);
  }

  GrammarExpression read_choice(std::size_t depth) {
    if (depth > most_depth) fail("at most " + std::to_string(most_depth) + " parentheses inside each other", "more");
    const Lines lines = depth > 0 ? Lines::many : Lines::one;
    std::vector<GrammarExpression> parts;
    parts.push_back(read_sequence(depth));
    while (peek() == '|' || (depth == 0 && next_line_has_choice())) {
      ++at_;
      skip_space(Lines::many);
      parts.push_back(read_sequence(depth));
    }
    skip_space(lines);
    if (parts.size() == 1) return std::move(parts.front());
    GrammarExpression choice;
    choice.kind = Kind::choice;
    choice.parts = std::move(parts);
    return choice;
  }

  GrammarExpression read_sequence(std::size_t depth) {
    const Lines lines = depth > 0 ? Lines::many : Lines::one;
    GrammarExpression sequence;
    while (!at_end()) {
      const char c = peek();
      if (c == '*' || c == '+' || c == '?' || c == '{') {
        if (sequence.parts.empty()) fail("a symbol before the repetition");
        read_repetition(sequence.parts.back());
      } else if (c == '"' || c == '[' || c == '.' || c == '(' || c == '<' || c == '!' || is_name(c)) {
        sequence.parts.push_back(read_symbol(depth));
      } else {
        break;
      }
      skip_space(lines);
    }
    return sequence;
  }

  GrammarExpression read_symbol(std::size_t depth) {
    GrammarExpression symbol;
    switch (peek()) {
      case '"':
        symbol.kind = Kind::literal;
        symbol.literal = read_literal();
        return symbol;
      case '[':
        symbol.kind = Kind::characters;
        symbol.characters = read_class();
        return symbol;
      case '.':
        ++at_;
        symbol.kind = Kind::characters;
        symbol.characters = CharacterSet::all();
        return symbol;
      case '<':
      case '!': return read_token();
      case '(': {
        const std::size_t begin = at_++;
        skip_space(Lines::many);
        symbol = read_choice(depth + 1);
        if (peek() != ')') fail(") for the ( of " + place(begin).substr(where_.size() + 1));
        ++at_;
        return symbol;
      }
      default: {
        const std::size_t begin = at_;
        symbol.kind = Kind::rule;
        symbol.index = rule_named(read_name());
        GrammarRule& rule = grammar_.rules[symbol.index];
        if (rule.line == 0) note_place(rule, begin);
        return symbol;
      }
    }
  }

  GrammarExpression read_token() {
    GrammarExpression symbol;
    symbol.kind = peek() == '!' ? Kind::other_token : Kind::token;
    if (peek() == '!') ++at_;
    if (peek() != '<') fail("< and the name of a token behind !");
    const std::size_t begin = at_;
    while (!at_end() && peek() != '>' && peek() != '\n') ++at_;
    if (peek() != '>') fail("> at the end of the token's name");
    ++at_;
    NamedToken token{std::string(text_.substr(begin, at_ - begin)), std::nullopt};
    if (token.text.starts_with("<[") && token.text.ends_with("]>")) {
      TokenId id = 0;
      const char* first = token.text.data() + 2;
      const char* last = token.text.data() + token.text.size() - 2;
      const auto [end, error] = std::from_chars(first, last, id);
      if (error != std::errc() || end != last || id < 0) fail_at(begin, "the number of a token, as in <[1000]>", quoted(token.text));
      token.id = id;
    } else if (token.text.size() == 2) {
      fail_at(begin, "the text or number of a token, as in <think> or <[1000]>", "'<>'");
    }
    const auto known = std::ranges::find(grammar_.tokens, token);
    symbol.index = static_cast<std::uint32_t>(known - grammar_.tokens.begin());
    if (known == grammar_.tokens.end()) grammar_.tokens.push_back(std::move(token));
    return symbol;
  }

  std::string read_literal() {
    const std::size_t begin = at_++;
    std::string literal;
    while (peek() != '"') {
      if (at_end() || peek() == '\n') fail("\" for the \" of " + place(begin).substr(where_.size() + 1));
      append_utf8(literal, read_character());
    }
    ++at_;
    return literal;
  }

  CharacterSet read_class() {
    const std::size_t begin = at_++;
    const bool negated = peek() == '^';
    if (negated) ++at_;
    std::vector<CharacterSet::Range> ranges;
    while (peek() != ']') {
      if (at_end() || peek() == '\n') fail("] for the [ of " + place(begin).substr(where_.size() + 1));
      const std::size_t at = at_;
      const char32_t first = read_character();
      char32_t last = first;
      if (peek() == '-' && peek(1) != ']' && at_ + 1 < text_.size()) {
        ++at_;
        last = read_character();
      }
      if (first > last) fail_at(at, "a range whose first character comes before its last", quoted(text_.substr(at, at_ - at)));
      ranges.emplace_back(first, last);
    }
    ++at_;
    const CharacterSet set = negated ? CharacterSet(std::move(ranges)).complement() : CharacterSet(std::move(ranges));
    if (set.empty()) fail_at(begin, "a class that some character is in", "none");
    return set;
  }

  char32_t read_hexadecimal(std::size_t digits) {
    const std::size_t begin = at_ - 1;
    std::uint32_t number = 0;
    ++at_;
    const char* first = text_.data() + at_;
    const char* last = text_.data() + std::min(text_.size(), at_ + digits);
    const auto [end, error] = std::from_chars(first, last, number, 16);
    if (error != std::errc() || end != first + digits) fail(std::to_string(digits) + " hexadecimal digits");
    at_ += digits;
    if (number > last_character || (number >= 0xD800 && number <= 0xDFFF)) fail_at(begin, "a character of Unicode", quoted(text_.substr(begin, at_ - begin)));
    return number;
  }

  /// A character of a literal or class, escaped or not.
  char32_t read_character() {
    if (peek() != '\\') {
      const std::size_t begin = at_;
      const char32_t character = next_character(text_, at_);
      if (character == no_character) fail_at(begin, "UTF-8", quoted(text_.substr(begin, 1)));
      return character;
    }
    ++at_;
    const char c = peek();
    switch (c) {
      case 'x': return read_hexadecimal(2);
      case 'u': return read_hexadecimal(4);
      case 'U': return read_hexadecimal(8);
      case 't': return ++at_, U'\t';
      case 'r': return ++at_, U'\r';
      case 'n': return ++at_, U'\n';
      case 'f': return ++at_, U'\f';
      case 'v': return ++at_, U'\v';
      default:
        if (c <= ' ' || c >= 0x7f || (is_name(c) && c != '-' && c != '_')) fail("one of t, r, n, f, v, x.., u...., U........ or a sign behind \\");
        return ++at_, static_cast<char32_t>(c);
    }
  }

  std::size_t read_count() {
    std::size_t count = 0;
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), count);
    if (error == std::errc::invalid_argument) fail("a number");
    if (error != std::errc() || count > most_repeats) fail("at most " + std::to_string(most_repeats) + " repetitions", "more");
    at_ = static_cast<std::size_t>(end - text_.data());
    skip_space(Lines::one);
    return count;
  }

  void read_repetition(GrammarExpression& symbol) {
    GrammarExpression repetition;
    repetition.kind = Kind::repetition;
    const std::size_t begin = at_;
    const char c = text_[at_++];
    repetition.least = c == '+' ? 1 : 0;
    repetition.most = c == '?' ? 1 : without_end;
    if (c == '{') {
      skip_space(Lines::one);
      repetition.least = peek() == ',' ? 0 : read_count();
      repetition.most = repetition.least;
      if (peek() == ',') {
        ++at_;
        skip_space(Lines::one);
        repetition.most = peek() == '}' ? without_end : read_count();
      }
      if (peek() != '}') fail("} at the end of the repetition");
      ++at_;
      if (repetition.most < repetition.least) fail_at(begin, "the smaller number first", quoted(text_.substr(begin, at_ - begin)));
    }
    // (x*)* and the like in any depth: what is repeated without end need not be repeated so again.
    if (symbol.kind == Kind::repetition && symbol.least == 0 && symbol.most == without_end && repetition.most > 0) return;
    std::size_t depth = 0;
    for (const GrammarExpression* inner = &symbol; inner->kind == Kind::repetition; inner = &inner->parts.front()) ++depth;
    if (depth > most_depth) fail("fewer repetitions of repetitions", "more");
    repetition.parts.push_back(std::move(symbol));
    symbol = std::move(repetition);
  }

  std::string_view text_;
  const std::string& where_;
  std::size_t at_ = 0;
  std::size_t counted_ = 0, line_ = 1, line_begin_ = 0;
  GrammarText grammar_;
  std::unordered_map<std::string, std::uint32_t> numbers_;
};

}  // namespace

std::string place_in(const std::string& where, std::size_t line, std::size_t column) {
  return where + ":" + std::to_string(line) + ":" + std::to_string(column);
}

GrammarText parse_gbnf(std::string_view text, const std::string& where, const std::string& root) {
  if (text.size() > most_bytes) throw Error({where, "a grammar of at most 16 MiB", std::to_string(text.size()) + " bytes", ""});
  return Parser(text, where).parse(root);
}

}  // namespace vitrine
