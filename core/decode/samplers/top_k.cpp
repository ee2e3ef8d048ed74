#include "core/decode/sampler.h"
#include "core/decode/scores.h"

namespace vitrine {
namespace {

const DecodeOption top_k{.name = "top-k", .summary = "so many of the likeliest tokens; 0 (default): all", .kind = OptionKind::whole, .low = 0.0, .high = 1e9};

/// Of equals at the border those of the lowest ids, so that it is k of them (llama.cpp; transformers keeps all equals).
class TopK : public Sampler {
 public:
  explicit TopK(std::size_t count) : count_(count) {}
  void apply(std::span<float> scores, const TextSoFar&) override { Ranking(scores).keep_first(count_, scores); }
  std::unique_ptr<Sampler> clone() const override { return std::make_unique<TopK>(*this); }

 private:
  std::size_t count_;
};

std::unique_ptr<Sampler> make(const DecodeValues& values, const SamplerModel& model) {
  const std::size_t count = values.whole(top_k);
  return count == 0 || count >= model.vocabulary ? nullptr : std::make_unique<TopK>(count);
}

}  // namespace

const SamplerKind& sampler_top_k() {
  static const SamplerKind kind{"top_k", "the k likeliest tokens", "Fan et al. 2018, arXiv:1805.04833", SamplerRole::shape, 30, {top_k}, make};
  return kind;
}

}  // namespace vitrine
