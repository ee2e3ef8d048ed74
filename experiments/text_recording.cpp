#include "experiments/text_recording.h"

#include <algorithm>

namespace vitrine {

TextRecording::TextRecording(Session& session, RecordingOptions recording, const TextPrompt& prompt, const Scrubbing& scrubbing, std::size_t max_tokens)
    : model_(session.model()), text_bytes_(prompt.tokens.empty() ? 0 : prompt.tokens.back().end) {
  if (recording.output.empty()) return;
  RecorderOptions settings = recorder_options(session, recording, prompt.bos_rule);
  settings.scrub_labels = scrubbing.labels;
  marks_new_tokens_ = scrubbing.on() && prompt.source.empty();
  if (scrubbing.on()) settings.provenance.set("scrub", scrubbing.to_json());
  settings.readers = readers_of(recording);
  settings.expected_rows = rows_ = prompt.tokens.size();
  settings.expected_rows += max_tokens;
  settings.longest_sequence = std::max(settings.expected_rows, prompt.source.size());
  recorder_ = Recorder::create({model_, session.kernel(), session.ops()}, std::move(settings));
  recorder_->begin_sequence(prompt.tokens, prompt.source);
  if (scrubbing.on()) recorder_->mark_scrubbed(prompt.marks);
  Observer* observers[] = {recorder_.get()};
  taps_ = TapPlan(model_.spec, observers);
}

void TextRecording::add(TokenId id) {
  if (!recorder_ || (model_.spec.context > 0 && rows_ >= model_.spec.context)) return;
  const std::size_t begin = text_bytes_;
  text_bytes_ += model_.tokenizer ? model_.tokenizer->piece(id).size() : 0;
  const Token token{id, begin, text_bytes_};
  recorder_->extend_sequence({&token, 1});
  constexpr std::int32_t no_placeholder = 0;  // of the prompt's: what the model makes is not looked at
  if (marks_new_tokens_) recorder_->mark_scrubbed({&no_placeholder, 1});
  ++rows_;
}

void TextRecording::finish() {
  if (!recorder_) return;
  recorder_->end_sequence();
  recorder_->finish();
}

}  // namespace vitrine
