#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "core/decode/said.h"
#include "core/decode/scores.h"

namespace vitrine {
namespace {

const DecodeOption multiplier{.name = "dry-multiplier", .summary = "a token that would go on with a repetition of n tokens loses multiplier * base^(n - allowed length), 0.8 is usual; 0 (default): nothing", .low = 0.0};
const DecodeOption base{.name = "dry-base", .summary = "of --dry-multiplier (1.75)", .fallback = 1.75, .low = 1.0};
const DecodeOption allowed{.name = "dry-allowed-length", .summary = "repetitions of fewer tokens cost nothing (2)", .kind = OptionKind::whole, .fallback = 2, .low = 0.0, .high = 1e9};
const DecodeOption window{.name = "dry-window", .summary = "the last tokens in which repetitions count, those of the prompt with them; 0 (default): all", .kind = OptionKind::whole, .low = 0.0, .high = 1e9};
const DecodeOption breaker{.name = "dry-breaker", .summary = "a text across which no repetition counts; default: newline, colon, quotation mark, asterisk", .kind = OptionKind::text, .repeated = true};

struct Settings {
  double multiplier, base;
  std::size_t allowed, window;
  std::vector<std::string> breakers;
};

class Dry : public Sampler {
 public:
  Dry(Settings settings, const Tokenizer* tokenizer) : settings_(std::move(settings)), tokenizer_(tokenizer) {
    for (const std::string& text : settings_.breakers) longest_breaker_ = std::max(longest_breaker_, text.size());
  }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<Dry>(*this); }

  void apply(std::span<float> scores, const TextSoFar& text) override {
    const Said said(text);
    const std::size_t count = settings_.window == 0 ? said.size() : std::min(settings_.window, said.size());
    if (count <= settings_.allowed) return;
    const std::size_t most = unbroken(said, count);
    if (most < settings_.allowed) return;
    measure(said, count, most);
    std::unordered_map<TokenId, std::size_t> longest;  // repetition that a token would go on with
    for (std::size_t back = 1; back < count; ++back) {
      if (lengths_[back] < settings_.allowed) continue;
      std::size_t& known = longest[said[said.size() - back]];
      known = std::max(known, lengths_[back]);
    }
    for (const auto& [id, length] : longest) {
      if (breaks(piece(id))) continue;
      const double penalty = settings_.multiplier * std::pow(settings_.base, static_cast<double>(length - settings_.allowed));
      float& score = scores[static_cast<std::size_t>(id)];
      score = score - static_cast<float>(std::min(penalty, largest_penalty));
    }
  }

 private:
  static constexpr double largest_penalty = 1e30;  // base^n of a long text has no place in f32

  const std::string& piece(TokenId id) {
    static const std::string none;
    if (!tokenizer_) return none;
    const auto [place, is_new] = pieces_.try_emplace(id);
    if (is_new) place->second = tokenizer_->piece(id);
    return place->second;
  }
  bool breaks(std::string_view text) const {
    return std::ranges::any_of(settings_.breakers, [&](const std::string& one) { return text.find(one) != std::string_view::npos; });
  }

  /// How many of the last tokens stand behind the last breaker, which may lie in several tokens.
  std::size_t unbroken(const Said& said, std::size_t count) {
    if (longest_breaker_ == 0) return count;
    std::string behind;  // the text of the tokens that were passed, as far as a breaker can reach into it
    for (std::size_t back = 0; back < count; ++back) {
      const std::string& own = piece(said[said.size() - 1 - back]);
      const std::string joined = own + behind;
      if (breaks(joined)) return last_token_of_breaker(said, back);
      behind = joined.substr(0, longest_breaker_ - 1);
    }
    return count;
  }

  /// @param first  the token, counted from the last, in which the breaker begins
  std::size_t last_token_of_breaker(const Said& said, std::size_t first) {
    std::string text;
    for (std::size_t back = first;; --back) {
      text += piece(said[said.size() - 1 - back]);
      if (breaks(text) || back == 0) return back;
    }
  }

  /// lengths_[i]: how many tokens before the token that is i from the end are the text's last ones, at most `most`. The Z algorithm
  /// over the text read backwards (Gusfield 1997, section 1.4).
  void measure(const Said& said, std::size_t count, std::size_t most) {
    const auto at = [&](std::size_t back) { return said[said.size() - 1 - back]; };
    lengths_.assign(count + 1, 0);
    std::size_t left = 0, right = 0;
    for (std::size_t i = 1; i < count; ++i) {
      std::size_t length = i < right ? std::min(lengths_[i - left], right - i) : 0;
      while (i + length < count && at(length) == at(i + length)) ++length;
      lengths_[i] = length;
      if (i + length > right) {
        left = i;
        right = i + length;
      }
    }
    for (std::size_t& length : lengths_) length = std::min(length, most);
  }

  Settings settings_;
  const Tokenizer* tokenizer_;
  std::size_t longest_breaker_ = 0;  // bytes
  std::unordered_map<TokenId, std::string> pieces_;
  std::vector<std::size_t> lengths_;
};

std::unique_ptr<Sampler> make(const DecodeValues& values, const SamplerModel& model) {
  Settings settings{values.number(multiplier), values.number(base), values.whole(allowed), values.whole(window), {"\n", ":", "\"", "*"}};
  if (settings.multiplier == 0.0) return nullptr;
  if (const auto said = values.texts(breaker); !said.empty()) settings.breakers.assign(said.begin(), said.end());
  std::erase(settings.breakers, "");
  return std::make_unique<Dry>(std::move(settings), model.tokenizer);
}

}  // namespace

const SamplerKind& sampler_dry() {
  static const SamplerKind kind{"dry", "what would go on with a repetition becomes less likely, the longer the less", "Weidmann 2024, text-generation-webui #5677; llama.cpp", SamplerRole::penalty, 50, {multiplier, base, allowed, window, breaker}, make};
  return kind;
}

}  // namespace vitrine
