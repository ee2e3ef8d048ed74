#pragma once

#include <memory>

#include "experiments/recording_options.h"
#include "experiments/scrubbing.h"

namespace vitrine {

/// What a text is made from.
struct TextPrompt {
  std::vector<Token> tokens;  ///< before the first new token
  std::vector<Token> source;  ///< of an encoder-decoder
  std::string bos_rule;
  std::vector<std::int32_t> marks;  ///< of a scrubbed text's tokens (Scrubbing::marks)
};

/// Records a text while it is made: `--record`.
class TextRecording {
 public:
  /// Nothing is recorded where the options name no output. @param max_tokens  that are made at the most
  TextRecording(Session& session, RecordingOptions recording, const TextPrompt& prompt, const Scrubbing& scrubbing, std::size_t max_tokens);
  bool on() const { return recorder_ != nullptr; }
  const TapPlan& taps() const { return taps_; }
  /// A token that goes into the model next, unless its context is full.
  void add(TokenId id);
  /// Once the last token went through the model (SearchProblem::feeds_last_token).
  void finish();

 private:
  const Model& model_;
  std::unique_ptr<Recorder> recorder_;
  TapPlan taps_;
  std::size_t rows_ = 0, text_bytes_;
  bool marks_new_tokens_ = false;
};

}  // namespace vitrine
