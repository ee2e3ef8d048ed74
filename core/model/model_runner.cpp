#include "core/model/model_runner.h"

#include <deque>

namespace vitrine {

void run_texts(const ModelRunner& runner, std::span<const ModelText> texts, std::span<Observer* const> observers, const ForwardSinks& sinks) {
  const ModelSpec& spec = runner.model.spec;
  const TapPlan taps(spec, observers);
  const ForwardContext context = runner.context(taps);
  for (std::size_t begin = 0, end = 0; begin < texts.size(); begin = end) {
    end = pass_end(begin, texts.size(), [&](std::size_t i) { return std::max(texts[i].ids.size(), texts[i].source.size()); });
    std::deque<KvCache> caches, memories;  // whose places in memory stay
    std::vector<Segment> segments, sources;
    for (std::size_t i = begin; i < end; ++i) {
      const ModelText& text = texts[i];
      if (text.ids.empty()) continue;
      Segment segment{.sequence = static_cast<std::uint32_t>(i), .ids = text.ids, .types = text.types};
      if (spec.causal()) segment.cache = &caches.emplace_back(spec, runner.kv_format);
      if (!spec.encoder.empty()) {
        segment.memory = &memories.emplace_back(spec, runner.kv_format, AttentionRole::cross);
        segment.source = text.source;
        sources.push_back({.sequence = segment.sequence, .ids = text.source, .memory = segment.memory});
      }
      segments.push_back(segment);
    }
    if (!sources.empty()) encode(context, sources, {});
    if (!segments.empty()) forward(context, segments, sinks);
  }
}

}  // namespace vitrine
