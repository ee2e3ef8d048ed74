#include <unicode/uchar.h>

#include <algorithm>
#include <optional>

#include "core/base/error.h"
#include "core/text/regular_expression.h"

// Where Oniguruma's Ruby syntax (Kosako, doc/RE) and PCRE2's mean different things by the same letters.

namespace vitrine {
namespace {

// Oniguruma counts the six fractions and raised digits of Latin-1 as parts of words.
constexpr std::string_view word_class = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where) : in_(pattern), where_(where) {}

  std::string translate() {
    while (at_ < in_.size()) step();
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(const std::string& found) const {
    throw Error({where_, "a regular expression without " + found, quoted(in_), ""});
  }
  char peek(std::size_t ahead = 0) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }
  /// The next characters begin a new atom, to which a quantifier would belong.
  void open_atom() { atom_ = out_.size(); }

  void step() {
    const char c = in_[at_];
    if (c == '\\') {
      open_atom();
      return escape(false);
    }
    if (c == '[') {
      open_atom();
      return character_class();
    }
    if (c == '(') return open_group();
    if (c == ')') {
      if (!groups_.empty()) {
        atom_ = groups_.back();
        groups_.pop_back();
      }
      out_ += in_[at_++];
      return;
    }
    if (c == '{') return interval();
    if (c != '*' && c != '+' && c != '?') open_atom();
    out_ += in_[at_++];
  }

  void open_group() {
    groups_.push_back(out_.size());
    out_ += in_[at_++];
    if (peek() != '?') return;
    std::size_t end = at_ + 1;
    while (end < in_.size() && (in_[end] == 'i' || in_[end] == 'm' || in_[end] == 'x' || in_[end] == '-')) ++end;
    if (end == at_ + 1 || end >= in_.size() || (in_[end] != ':' && in_[end] != ')')) return;
    for (; at_ < end; ++at_) out_ += in_[at_] == 'm' ? 's' : in_[at_];  // Ruby's m lets the dot match a line break
  }

  /// {n,m} is no possessive quantifier before +: the + repeats it. {,m} is {0,m}.
  void interval() {
    const std::size_t end = in_.find('}', at_);
    const std::string_view body = end == std::string_view::npos ? "" : in_.substr(at_ + 1, end - at_ - 1);
    const bool numbers = !body.empty() && body.find_first_not_of("0123456789,") == std::string_view::npos && body != ",";
    if (!numbers) {
      open_atom();
      out_ += "\\{";
      ++at_;
      return;
    }
    const bool repeated = end + 1 < in_.size() && in_[end + 1] == '+';
    if (repeated) out_.insert(atom_, "(?:");
    out_ += (body[0] == ',' ? "{0" : "{") + std::string(body) + "}";
    at_ = end + 1;
    if (repeated) out_ += ')';
  }

  void character_class() {
    const std::size_t begin = out_.size();
    out_ += in_[at_++];
    if (peek() == '^') out_ += in_[at_++];
    bool first = true;
    for (int depth = 1; depth > 0; first = false) {
      if (at_ >= in_.size()) refuse("an open character class");
      const char c = in_[at_];
      if (c == '&' && peek(1) == '&') refuse("an intersection of character classes");
      if (c == '\\') {
        escape(true);
      } else if (c == '[' && peek(1) == ':') {
        posix_class();
      } else if (c == '[') {
        if (peek(1) == '^') refuse("a negated class within a class");
        ++depth;
        ++at_;
      } else if (c == ']' && !(first && begin + 1 == out_.size())) {
        --depth;
        ++at_;
        if (depth == 0) out_ += ']';
      } else {
        out_ += c == ']' ? "\\]" : std::string(1, c);
        ++at_;
      }
    }
  }

  void posix_class() {
    const std::size_t end = in_.find(":]", at_);
    if (end == std::string_view::npos) {
      out_ += "\\[";
      ++at_;
      return;
    }
    const std::string_view name = in_.substr(at_ + 2, end - at_ - 2);
    out_ += name == "space" ? "\\p{White_Space}" : name == "word" ? word_class : in_.substr(at_, end + 2 - at_);
    at_ = end + 2;
  }

  void escape(bool in_class) {
    const char c = peek(1);
    if (c == '\0') refuse("a backslash at its end");
    if (c == 'p' || c == 'P') return property();
    at_ += 2;
    const std::string word(word_class);
    switch (c) {
      case 's': out_ += "\\p{White_Space}"; break;
      case 'S': out_ += "\\P{White_Space}"; break;
      case 'h': out_ += in_class ? "0-9A-Fa-f" : "[0-9A-Fa-f]"; break;
      case 'w': out_ += in_class ? word : "[" + word + "]"; break;
      case 'W':
        if (in_class) refuse("\\W within a class");
        out_ += "[^" + word + "]";
        break;
      case 'b':
        out_ += in_class ? "\\b" : "(?:(?<=[" + word + "])(?![" + word + "])|(?<![" + word + "])(?=[" + word + "]))";
        break;
      case 'B': out_ += "(?:(?<=[" + word + "])(?=[" + word + "])|(?<![" + word + "])(?![" + word + "]))"; break;
      case 'H': case 'C': case 'y': case 'Y': refuse("\\" + std::string(1, c));
      case 'u': {
        if (at_ + 4 > in_.size()) refuse("a short \\u");
        out_ += "\\x{" + std::string(in_.substr(at_, 4)) + "}";
        at_ += 4;
        break;
      }
      default: out_ += {'\\', c}; break;
    }
  }

  /// \p{Han} is a script, without the characters that scripts share; PCRE2 writes that \p{sc:Han}.
  void property() {
    bool negated = peek(1) == 'P';
    at_ += 2;
    std::string name(1, peek());
    if (peek() == '{') {
      const std::size_t end = in_.find('}', at_);
      if (end == std::string_view::npos) refuse("an open \\p{");
      name = in_.substr(at_ + 1, end - at_ - 1);
      at_ = end + 1;
    } else {
      ++at_;
    }
    if (!name.empty() && name[0] == '^') {
      negated = !negated;
      name.erase(0, 1);
    }
    out_ += negated ? "\\P{" : "\\p{";
    out_ += property_name(name) + "}";
  }

  static std::string property_name(const std::string& name) {
    const auto short_name = [](UProperty property, int32_t value, const std::string& otherwise) {
      const char* found = u_getPropertyValueName(property, value, U_SHORT_PROPERTY_NAME);
      return std::string(found ? found : otherwise);
    };
    const int32_t category = u_getPropertyValueEnum(UCHAR_GENERAL_CATEGORY_MASK, name.c_str());
    if (category != UCHAR_INVALID_CODE) return short_name(UCHAR_GENERAL_CATEGORY_MASK, category, name);
    const int32_t script = u_getPropertyValueEnum(UCHAR_SCRIPT, name.c_str());
    if (script != UCHAR_INVALID_CODE) return "sc:" + short_name(UCHAR_SCRIPT, script, name);
    return name;
  }

  std::string_view in_;
  const std::string& where_;
  std::size_t at_ = 0;
  std::string out_;
  std::size_t atom_ = 0;               // where the last atom begins in out_
  std::vector<std::size_t> groups_;    // where the open groups begin in out_
};

}  // namespace

std::string pcre2_of_oniguruma(std::string_view pattern, const std::string& where) { return Translator(pattern, where).translate(); }

std::string escaped_literal(std::string_view text) {
  std::string pattern;
  for (const char c : text) {
    if (std::string_view("\\^$.|?*+()[]{}#&-~").find(c) != std::string_view::npos) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

}  // namespace vitrine
