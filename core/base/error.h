#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace vitrine {

/// Who has to act on an error; decides the exit code of the programs.
enum class Fault { failed = 1, usage = 2 };

/// The one exception for what a user can cause: a broken file, a wrong flag, a full disk. what() is one line,
/// "where: expected ..., found ...; what to do". Anything that only a programmer can cause is VITRINE_CHECK.
class Error : public std::runtime_error {
 public:
  struct Parts {
    std::string where;     ///< the file and field, or the flag
    std::string expected;  ///< may be empty
    std::string found;     ///< may be empty
    std::string advice;    ///< may be empty
  };
  explicit Error(const Parts& parts, Fault fault = Fault::failed);
  Fault fault() const { return fault_; }

 private:
  Fault fault_;
};

/// Text from a stranger, made safe to print on one line: control characters escaped, cut at `limit` bytes.
std::string quoted(std::string_view text, std::size_t limit = 80);
// Exact matches for std::string: argument-dependent lookup would prefer std::quoted of <iomanip> to a conversion.
inline std::string quoted(const std::string& text) { return quoted(std::string_view(text)); }
inline std::string quoted(std::string& text) { return quoted(std::string_view(text)); }

[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace vitrine

/// An invariant of the program itself; throws std::logic_error with the place, in every build type.
#define VITRINE_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::vitrine::check_failed(#condition, __FILE__, __LINE__))
