// Regular expressions of schemas.
#include <algorithm>
#include <charconv>

#include "core/base/error.h"
#include "core/decode/grammar/json_schema.h"
#include "core/decode/grammar/schema_text_internal.h"
#include "core/text/characters.h"

namespace vitrine {
namespace {

constexpr std::size_t no_end = SIZE_MAX, most_depth = 64, most_repeats = 10'000;

/// Characters as a JSON string spells them; control characters without a short escape are left out.
std::string spelled(const CharacterSet& set) {
  std::string choices;
  const CharacterSet raw = set.without(CharacterSet({{0, 0x1f}, {'"', '"'}, {'\\', '\\'}}));
  if (!raw.empty()) choices = gbnf_class(raw);
  static constexpr std::pair<char32_t, char> escapes[] = {{U'"', '"'}, {U'\\', '\\'}, {U'\b', 'b'}, {U'\f', 'f'}, {U'\n', 'n'}, {U'\r', 'r'}, {U'\t', 't'}};
  std::string short_ones;
  for (const auto& [character, letter] : escapes) {
    if (set.contains(character)) short_ones += letter == '"' || letter == '\\' ? std::string("\\") + letter : std::string(1, letter);
  }
  if (!short_ones.empty()) choices += (choices.empty() ? "" : " | ") + std::string("\"\\\\\" [") + short_ones + "]";
  return choices;
}

/// Parts of a pattern with the number of characters that they match.
struct Part {
  std::string text;
  std::size_t least = 0, most = 0;
};

std::size_t sum(std::size_t a, std::size_t b) { return a == no_end || b == no_end ? no_end : a + b; }
std::size_t product(std::size_t a, std::size_t b) {
  if (a == 0 || b == 0) return 0;
  return a == no_end || b == no_end || a > no_end / b ? no_end : a * b;
}

class PatternReader {
 public:
  PatternReader(std::string_view pattern, const std::string& where) : text_(pattern), where_(where) {}

  PatternGrammar read() {
    const Part all = read_choice(0);
    if (at_ < text_.size()) fail("( before )", ")");
    return {all.text, all.least, all.most};
  }

 private:
  [[noreturn]] void fail(const std::string& expected, const std::string& found) const {
    throw Error({where_ + " " + quoted(text_) + " at character " + std::to_string(count_characters(text_.substr(0, at_)) + 1), expected, found, ""});
  }
  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool next_is(std::string_view word) const { return text_.substr(at_).starts_with(word); }

  /// At the top each alternative matches anywhere in the string unless ^ and $ hold it.
  Part read_choice(std::size_t depth) {
    if (depth > most_depth) fail("at most 64 groups inside each other", "more");
    Part all;
    for (bool first = true;; first = false) {
      const bool from_begin = depth > 0 || next_is("^");
      if (depth == 0 && from_begin) ++at_;
      Part part = read_sequence(depth);
      const bool to_end = depth > 0 || next_is("$");
      if (depth == 0 && to_end) ++at_;
      if (!from_begin) part = {"character* " + part.text, part.least, no_end};
      if (!to_end) part = {part.text + " character*", part.least, no_end};
      all.text += (first ? "" : " | ") + part.text;
      all.least = first ? part.least : std::min(all.least, part.least);
      all.most = first ? part.most : std::max(all.most, part.most);
      if (peek() != '|') break;
      ++at_;
    }
    return all;
  }

  Part read_sequence(std::size_t depth) {
    Part all;
    while (at_ < text_.size() && peek() != '|' && peek() != ')') {
      if (peek() == '$' && depth == 0 && (at_ + 1 == text_.size() || peek(1) == '|')) break;
      if (peek() == '^' || peek() == '$') fail("^ and $ at the begin and end of the pattern or of an alternative of it", std::string(1, peek()) + " elsewhere");
      const Part part = read_repetition(read_atom(depth));
      all.text += (all.text.empty() ? "" : " ") + part.text;
      all.least = sum(all.least, part.least);
      all.most = sum(all.most, part.most);
    }
    if (all.text.empty()) all.text = "\"\"";
    return all;
  }

  Part of_set(const CharacterSet& set) {
    const std::string text = spelled(set);
    if (text.empty()) fail("a character that a JSON string can hold", "none");
    return {text.find(" | ") == std::string::npos && text[0] == '[' ? text : "(" + text + ")", 1, 1};
  }

  Part read_atom(std::size_t depth) {
    switch (peek()) {
      case '(': return read_group(depth);
      case '[': return of_set(read_class());
      case '.': return ++at_, of_set(CharacterSet({{U'\n', U'\n'}, {U'\r', U'\r'}, {0x2028, 0x2029}}).complement());
      case '\\': return of_set(read_escape(Place::outside));
      case '*':
      case '+':
      case '?':
      case '{': fail("something before the repetition", std::string(1, peek()));
      default: {
        const char32_t character = next_character(text_, at_);
        return of_set(CharacterSet({{character, character}}));
      }
    }
  }

  Part read_group(std::size_t depth) {
    ++at_;
    if (peek() == '?') {
      const bool named = (next_is("?<") && peek(2) != '=' && peek(2) != '!') || next_is("?P<");
      if (next_is("?:")) {
        at_ += 2;
      } else if (named) {
        const std::size_t end = text_.find('>', at_);
        if (end == std::string_view::npos) fail("> behind the group's name", "none");
        at_ = end + 1;
      } else {
        fail("a group ( or (?:", quoted(text_.substr(at_ - 1, 4)) + ", which looks at what stands around it or changes the rules");
      }
    }
    const Part inside = read_choice(depth + 1);
    if (peek() != ')') fail(")", "the end of the pattern");
    ++at_;
    return {"(" + inside.text + ")", inside.least, inside.most};
  }

  Part read_repetition(const Part& once) {
    std::size_t least = 1, most = 1;
    const char c = peek();
    std::string sign(1, c);
    if (c == '*') {
      least = 0, most = no_end, ++at_;
    } else if (c == '+') {
      most = no_end, ++at_;
    } else if (c == '?') {
      least = 0, ++at_;
    } else if (c == '{') {
      const std::size_t begin = at_++;
      least = most = read_count();
      if (peek() == ',') {
        ++at_;
        most = peek() == '}' ? no_end : read_count();
      }
      if (peek() != '}' || most < least) fail("{3}, {3,} or {3,5}", quoted(text_.substr(begin, at_ - begin + 1)));
      ++at_;
      sign = std::string(text_.substr(begin, at_ - begin));
    } else {
      return once;
    }
    if (peek() == '?') ++at_;  // the shortest match first: the same strings
    if (peek() == '*' || peek() == '+' || peek() == '{' || peek() == '?') fail("one repetition", "another behind it");
    return {once.text + sign, product(once.least, least), product(once.most, most)};
  }
  std::size_t read_count() {
    std::size_t count = 0;
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), count);
    if (error != std::errc() || count > most_repeats) fail("a number up to 10000", quoted(text_.substr(at_, 8)));
    at_ = static_cast<std::size_t>(end - text_.data());
    return count;
  }

  enum class Place { outside, in_class };

  /// \d and the like in ASCII; their opposites too, as Python and ECMA-262 differ on the rest of Unicode.
  CharacterSet read_escape(Place place) {
    ++at_;
    const char c = peek();
    if (at_ >= text_.size()) fail("a character behind \\", "the end");
    ++at_;
    static const CharacterSet ascii({{0, 0x7f}}), digits({{'0', '9'}}), words({{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}), spaces({{'\t', '\r'}, {' ', ' '}});
    switch (c) {
      case 'd': return digits;
      case 'w': return words;
      case 's': return spaces;
      case 'D': return ascii.without(digits);
      case 'W': return ascii.without(words);
      case 'S': return ascii.without(spaces).without(CharacterSet({{0x1c, 0x1f}}));  // Python's white space
      case 't': return CharacterSet({{'\t', '\t'}});
      case 'n': return CharacterSet({{'\n', '\n'}});
      case 'r': return CharacterSet({{'\r', '\r'}});
      case 'f': return CharacterSet({{'\f', '\f'}});
      case 'x': return read_hexadecimal(2);
      case 'u': return read_hexadecimal(4);
      case 'b':
        if (place == Place::in_class) return CharacterSet({{'\b', '\b'}});
        break;
      default:
        if (static_cast<unsigned char>(c) > ' ' && static_cast<unsigned char>(c) < 0x7f && !(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z')) {
          return CharacterSet({{static_cast<char32_t>(c), static_cast<char32_t>(c)}});
        }
    }
    at_ -= 2;
    fail("an escape of characters (\\d \\w \\s \\D \\W \\S \\t \\n \\r \\f \\x.. \\u.... or a sign)", quoted(text_.substr(at_, 2)));
  }
  CharacterSet read_hexadecimal(std::size_t digits) {
    std::uint32_t number = 0;
    const char* begin = text_.data() + at_;
    const auto [end, error] = std::from_chars(begin, begin + std::min(digits, text_.size() - at_), number, 16);
    if (error != std::errc() || end != begin + digits) fail(std::to_string(digits) + " hexadecimal digits", quoted(text_.substr(at_, digits)));
    at_ += digits;
    return CharacterSet({{number, number}});
  }

  CharacterSet read_class() {
    ++at_;
    const bool negated = peek() == '^';
    if (negated) ++at_;
    CharacterSet all;
    bool any_shorthand = false;
    if (peek() == ']') fail("a character in the class", "]");
    while (peek() != ']') {
      if (at_ >= text_.size()) fail("]", "the end of the pattern");
      const CharacterSet first = read_class_member();
      const bool single = first.ranges().size() == 1 && first.ranges()[0].first == first.ranges()[0].second;
      any_shorthand |= !single;
      if (peek() == '-' && peek(1) != ']' && single) {
        ++at_;
        const CharacterSet last = read_class_member();
        const bool ends = last.ranges().size() == 1 && last.ranges()[0].first == last.ranges()[0].second;
        if (!ends || last.ranges()[0].first < first.ranges()[0].first) fail("a range of characters in order", "another");
        all = all.united(CharacterSet({{first.ranges()[0].first, last.ranges()[0].first}}));
      } else {
        all = all.united(first);
      }
    }
    ++at_;
    if (!negated) return all;
    const CharacterSet rest = all.complement();
    return any_shorthand ? rest.without(CharacterSet({{0x1c, 0x1f}, {0x80, last_character}})) : rest;
  }
  CharacterSet read_class_member() {
    if (peek() == '\\') return read_escape(Place::in_class);
    if (at_ >= text_.size()) fail("]", "the end of the pattern");
    const char32_t character = next_character(text_, at_);
    return CharacterSet({{character, character}});
  }

  std::string_view text_;
  const std::string& where_;
  std::size_t at_ = 0;
};

}  // namespace

PatternGrammar grammar_of_pattern(std::string_view pattern, const std::string& where) { return PatternReader(pattern, where).read(); }

}  // namespace vitrine
