#include "core/text/aligned_text.h"

#include <algorithm>

#include "core/base/error.h"

namespace vitrine {

AlignedText::AlignedText(const AlignedText& whole, TextRange part)
    : original_(whole.changed_ ? whole.original_ : whole.original_.substr(part.begin, part.size())),
      place_(whole.changed_ ? whole.place_ : whole.place_ + part.begin), changed_(whole.changed_) {
  if (!changed_) return;
  text_ = whole.text_.substr(part.begin, part.size());
  const auto begin = whole.origins_.begin() + static_cast<std::ptrdiff_t>(part.begin);
  origins_.assign(begin, begin + static_cast<std::ptrdiff_t>(part.size()));
}

TextRange AlignedText::origin(TextRange range) const {
  if (!changed_) return {place_ + range.begin, place_ + range.end};
  if (range.begin >= range.end) {
    const std::size_t at = range.begin < origins_.size() ? origins_[range.begin].begin : original_.size();
    return {place_ + at, place_ + at};
  }
  const std::size_t begin = origins_[range.begin].begin;
  return {place_ + begin, place_ + std::max<std::size_t>(begin, origins_[range.end - 1].end)};
}

namespace {
constexpr std::size_t most_of_one_byte = 256, always_allowed = 1 << 16;
}

TextEdits::TextEdits(AlignedText& text) : source_(text), most_(text.original_.size() * most_of_one_byte + always_allowed) {
  if (text.original_.size() >= UINT32_MAX) throw Error({"text", "less than 4 GiB between two special tokens", "more", ""});
}

AlignedText::Span TextEdits::span_of(std::size_t begin, std::size_t end) const {
  if (!source_.changed_) return {static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)};
  const auto& origins = source_.origins_;
  if (begin == end) {  // something new stands for nothing, where the next byte begins
    const std::uint32_t at = begin < origins.size() ? origins[begin].begin : static_cast<std::uint32_t>(source_.original_.size());
    return {at, at};
  }
  std::uint32_t first = origins[begin].begin, last = origins[begin].end;
  for (std::size_t i = begin + 1; i < end; ++i) {
    first = std::min(first, origins[i].begin);
    last = std::max(last, origins[i].end);
  }
  return {first, last};
}

void TextEdits::flush() {
  if (!changed_) {
    changed_ = true;
    const std::size_t expected = source_.text().size() + source_.text().size() / 2 + 16;
    text_.reserve(expected);
    origins_.reserve(expected);
  }
  if (copied_ == at_) return;
  text_.append(source_.text().substr(copied_, at_ - copied_));
  if (source_.changed_) {
    origins_.insert(origins_.end(), source_.origins_.begin() + static_cast<std::ptrdiff_t>(copied_),
                    source_.origins_.begin() + static_cast<std::ptrdiff_t>(at_));
  } else {
    for (auto i = static_cast<std::uint32_t>(copied_); i < at_; ++i) origins_.push_back({i, i + 1});
  }
  copied_ = at_;
}

void TextEdits::replace(std::size_t bytes, std::string_view with) {
  if (bytes == with.size() && source_.text().substr(at_, bytes) == with) return keep(bytes);
  flush();
  text_.append(with);
  origins_.insert(origins_.end(), with.size(), span_of(at_, at_ + bytes));
  copied_ = at_ += bytes;
  if (text_.size() > most_) grow_too_much();
}

void TextEdits::grow_too_much() const {
  throw Error({"normalizers", "at most " + std::to_string(most_of_one_byte) + " bytes for one of the text", "more", "the tokenizer's stages repeat what they write"});
}

void TextEdits::truncate(std::size_t size) {
  flush();
  text_.resize(size);
  origins_.resize(size);
}

void TextEdits::finish() {
  if (!changed_) return;
  at_ = source_.text().size();
  flush();
  source_.text_ = std::move(text_);
  source_.origins_ = std::move(origins_);
  source_.changed_ = true;
}

}  // namespace vitrine
