#include "core/text/characters.h"

#include <unicode/uchar.h>
#include <unicode/ustring.h>
#include <unicode/utf16.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <array>

namespace vitrine {
namespace {

template <std::size_t count>
bool is_one_of(char32_t c, const std::array<char32_t, count>& list) {
  return std::find(list.begin(), list.end(), c) != list.end();
}

std::uint32_t category(char32_t c) { return c < no_character ? U_GET_GC_MASK(static_cast<UChar32>(c)) : 0; }

}  // namespace

bool stood_in_unicode(char32_t c, unsigned version) {
  if (c >= no_character) return false;
  UVersionInfo age;
  u_charAge(static_cast<UChar32>(c), age);
  return age[0] != 0 && (age[0] < version || (age[0] == version && age[1] == 0));
}

char32_t next_character_beyond_ascii(std::string_view text, std::size_t& at) {
  // ICU counts in 32 bits, and no character has more than four bytes.
  const char* bytes = text.data() + at;
  const auto length = static_cast<int32_t>(std::min<std::size_t>(text.size() - at, 4));
  int32_t used = 0;
  UChar32 c = 0;
  U8_NEXT(bytes, used, length, c);
  if (c < 0) used = 1;
  at += static_cast<std::size_t>(used);
  return c < 0 ? no_character : static_cast<char32_t>(c);
}

char32_t previous_character(std::string_view text, std::size_t& at) {
  std::size_t begin = at - 1;
  while (begin > 0 && at - begin < 4 && (static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80) --begin;
  std::size_t end = begin;
  const char32_t c = next_character(text, end);
  if (end == at) return at = begin, c;
  return --at, no_character;
}

void append_utf8(std::string& text, char32_t character) {
  char bytes[4];
  int32_t length = 0;
  U8_APPEND_UNSAFE(bytes, length, character);
  text.append(bytes, static_cast<std::size_t>(length));
}

std::string utf8(char32_t character) {
  std::string text;
  append_utf8(text, character);
  return text;
}

bool is_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    if (next_character(text, at) == no_character) return false;
  }
  return true;
}

std::size_t count_characters(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t at = 0; at < text.size(); ++count) next_character(text, at);
  return count;
}

bool is_white_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13);
  return c < no_character && u_isUWhiteSpace(static_cast<UChar32>(c));
}

bool is_alphanumeric_or_mark(char32_t c) {
  if (c >= no_character) return false;
  const auto icu = static_cast<UChar32>(c);
  return u_isUAlphabetic(icu) || (category(c) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0 ||
         u_hasBinaryProperty(icu, UCHAR_JOIN_CONTROL);
}

bool is_numeric(char32_t c) { return (category(c) & U_GC_N_MASK) != 0; }

// Punctuation, control and nonspacing marks: the crate unicode_categories, Unicode 8; combining marks: the crate
// unicode-normalization-alignments, Unicode 9. Later characters are in no category there; the few that changed their
// category since are named.
bool is_punctuation(char32_t c) {
  if (c < 0x80) return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
  if (is_one_of<2>(c, {0x166d, 0x111c9})) return true;
  return (category(c) & U_GC_P_MASK) != 0 && stood_in_unicode(c, 8);
}

bool is_control(char32_t c) {
  if (c < 0x80) return c < 0x20 || c == 0x7f;
  return (category(c) & (U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK)) != 0 && stood_in_unicode(c, 8);
}

bool is_nonspacing_mark(char32_t c) {
  if (c < 0x300) return false;
  if (c == 0x1734) return true;
  return (category(c) & U_GC_MN_MASK) != 0 && stood_in_unicode(c, 8) &&
         !is_one_of<4>(c, {0x1885, 0x1886, 0xa9bd, 0x111c9});
}

bool is_combining_mark(char32_t c) {
  if (c < 0x300) return false;
  if (is_one_of<2>(c, {0x1cf2, 0x1cf3})) return true;
  return (category(c) & U_GC_M_MASK) != 0 && stood_in_unicode(c, 9) && c != 0x111c9;
}

void append_lower_case(std::string& text, char32_t c) {
  if (c < 0x80) {
    text += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    return;
  }
  UChar source[2], target[8];
  int32_t length = 0;
  U16_APPEND_UNSAFE(source, length, static_cast<UChar32>(c));
  UErrorCode status = U_ZERO_ERROR;
  const int32_t made = u_strToLower(target, 8, source, length, "", &status);
  for (int32_t at = 0; U_SUCCESS(status) && at < made;) {
    UChar32 lower = 0;
    U16_NEXT(target, at, made, lower);
    append_utf8(text, static_cast<char32_t>(lower));
  }
}

}  // namespace vitrine
