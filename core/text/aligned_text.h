#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine {

/// Bytes [begin, end) of a text.
struct TextRange {
  std::size_t begin = 0, end = 0;
  std::size_t size() const { return end - begin; }
  bool operator==(const TextRange&) const = default;
};

/// A text on its way through the stages of a tokenizer, and for each of its bytes the bytes of the original that it
/// stands for. A text that no stage changed is a view of the original.
class AlignedText {
 public:
  /// @param place  where `original` begins in the whole text
  AlignedText(std::string_view original, std::size_t place) : original_(original), place_(place) {}
  /// A part of another text, which outlives it.
  AlignedText(const AlignedText& whole, TextRange part);
  AlignedText(const AlignedText&) = delete;
  AlignedText& operator=(const AlignedText&) = delete;

  std::string_view text() const { return changed_ ? std::string_view(text_) : original_; }
  /// Where its original begins in the whole text.
  std::size_t place() const { return place_; }
  /// The bytes of the whole text that a range stands for; empty where nothing in the text stands behind it.
  TextRange origin(TextRange range) const;

 private:
  friend class TextEdits;
  std::string_view original_;
  std::size_t place_;
  bool changed_ = false;
  std::string text_;
  struct Span {
    std::uint32_t begin, end;  // of the original
  };
  std::vector<Span> origins_;  // one a byte of text_
};

/// Rewrites an AlignedText from its beginning to its end. Nothing is copied before the first change.
class TextEdits {
 public:
  /// @throws Error where the text has 4 GiB or more
  explicit TextEdits(AlignedText& text);
  /// The next bytes stay.
  void keep(std::size_t bytes) { at_ += bytes; }
  /// The next `bytes` become `with`; all of it stands for all of them.
  void replace(std::size_t bytes, std::string_view with);
  /// The next byte becomes `with`; for what happens often.
  void replace_byte(std::string_view with) {
    flush();
    const AlignedText::Span span = span_of(at_, at_ + 1);
    text_.append(with);
    for (std::size_t i = 0; i < with.size(); ++i) origins_.push_back(span);
    copied_ = ++at_;
    if (text_.size() > most_) grow_too_much();
  }
  std::size_t at() const { return at_; }
  /// What was written so far.
  std::string_view written() {
    if (changed_) flush();
    return changed_ ? std::string_view(text_) : source_.text().substr(0, at_);
  }
  /// Takes back what was written behind `size`.
  void truncate(std::size_t size);
  /// Keeps the rest and hands the result over.
  void finish();

 private:
  /// @throws Error: a stranger's stages could double a text again and again
  [[noreturn]] void grow_too_much() const;
  /// Copies what was kept.
  void flush();
  AlignedText::Span span_of(std::size_t begin, std::size_t end) const;

  AlignedText& source_;
  std::size_t at_ = 0, copied_ = 0, most_;
  bool changed_ = false;
  std::string text_;
  std::vector<AlignedText::Span> origins_;
};

}  // namespace vitrine
