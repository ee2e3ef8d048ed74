#include "core/text/regular_expression.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "core/base/error.h"
#include "core/text/characters.h"

namespace vitrine {
namespace {

struct Free {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
  void operator()(pcre2_jit_stack* stack) const { pcre2_jit_stack_free(stack); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

constexpr std::size_t first_stack = 32 << 10, largest_stack = 8 << 20;

/// What a thread needs to match: made once a thread.
struct Matcher {
  Owned<pcre2_match_data> match{pcre2_match_data_create(1, nullptr)};
  Owned<pcre2_match_context> limits{pcre2_match_context_create(nullptr)};
  Owned<pcre2_jit_stack> stack{pcre2_jit_stack_create(first_stack, largest_stack, nullptr)};
  Matcher() {
    pcre2_set_match_limit(limits.get(), 10'000'000);  // an expression that backtracks for ever ends here
    pcre2_jit_stack_assign(limits.get(), nullptr, stack.get());
  }
};

Matcher& matcher_of_thread() {
  thread_local Matcher matcher;
  return matcher;
}

}  // namespace

struct RegularExpression::Compiled {
  std::string where;
  Owned<pcre2_code> code;
};

RegularExpression::RegularExpression(std::string_view pattern, const std::string& where) : compiled_(new Compiled{where, nullptr}) {
  const std::string translated = pcre2_of_oniguruma(pattern, where);
  int error = 0;
  PCRE2_SIZE offset = 0;
  compiled_->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr));
  if (!compiled_->code) throw Error({where, "a regular expression", quoted(pattern), ""});
  pcre2_jit_compile(compiled_->code.get(), PCRE2_JIT_COMPLETE);  // where there is no compiler, PCRE2 interprets
}

RegularExpression::~RegularExpression() = default;
RegularExpression::RegularExpression(RegularExpression&&) noexcept = default;

void RegularExpression::each_match(std::string_view text, const std::function<void(TextRange)>& found) const {
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t before = at;
    if (next_character(text, at) != no_character) continue;
    if (before > begin) each_match_of_utf8(text.substr(begin, before - begin), begin, found);
    begin = at;
  }
  if (begin < text.size()) each_match_of_utf8(text.substr(begin), begin, found);
}

void RegularExpression::each_match_of_utf8(std::string_view text, std::size_t place, const std::function<void(TextRange)>& found) const {
  Matcher& matcher = matcher_of_thread();
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  std::size_t at = 0, last_end = text.size() + 1;
  while (at <= text.size()) {
    int status = pcre2_match(compiled_->code.get(), subject, text.size(), at, PCRE2_NO_UTF_CHECK, matcher.match.get(), matcher.limits.get());
    if (status == PCRE2_ERROR_JIT_STACKLIMIT) {
      status = pcre2_match(compiled_->code.get(), subject, text.size(), at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, matcher.match.get(),
                           matcher.limits.get());
    }
    if (status == PCRE2_ERROR_NOMATCH) return;
    if (status < 0) throw Error({compiled_->where, "an expression that ends", "PCRE2 error " + std::to_string(status), ""});
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(matcher.match.get());
    const std::size_t begin = ends[0], end = ends[1];
    if (end < begin || (begin == end && begin == last_end)) {  // \K may turn a match around
      at += at < text.size() ? character_size(text, at) : 1;
      continue;
    }
    found({place + begin, place + end});
    at = last_end = end;
  }
}

}  // namespace vitrine
