#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "experiments/grammar_source.h"
#include "experiments/session.h"
#include "probes/recorder.h"
#include "python/interrupt_internal.h"
#include "python/observers_internal.h"

namespace vitrine {

/// A text, or the ids of one, which are used as they are.
using GivenText = std::variant<std::string, std::vector<TokenId>>;

/// What runs: texts, and of an encoder-decoder what stands in the decoder beside each (none: the start token).
struct GivenTexts {
  std::vector<GivenText> texts;
  std::vector<std::vector<TokenId>> decoder_ids;
  std::string bos = "auto";
};

/// A callable and the names of its points.
struct GivenHook {
  std::vector<std::string> points;
  pybind11::object call;
  bool writes = true;
};

struct GivenRecording {
  std::string path;
  std::vector<std::string> points, store;
  std::string attention, compress;
};

struct GivenContinuation {
  std::size_t max_tokens = 64;
  std::uint64_t seed = 0;
  bool chat = false;
  std::string search, samplers, defaults;
  GrammarSource grammar;
  std::vector<std::string> stops;
  /// Of samplers and searches, as the command line names them.
  std::vector<std::pair<std::string, std::variant<double, std::vector<std::string>>>> options;
};

/// A session that Python uses: one call at a time, whoever else calls waits; Ctrl-C ends the call. All throw Error.
class LoadedModel {
 public:
  explicit LoadedModel(const CommonOptions& options) : session_(options, progress_bar(options.quiet)), path_(options.model) {}

  const Model& model() const { return session_.model(); }
  std::string info();  ///< JSON
  std::vector<std::string> points() const;
  std::vector<std::string> select(const std::vector<std::string>& words) const;
  std::vector<TokenId> encode(const std::string& text, const std::string& bos) const;
  pybind11::bytes decode(const std::vector<TokenId>& ids) const;
  pybind11::bytes piece(TokenId id) const;

  /// Runs texts of one length. @param logits  "all", "last" or "none"
  /// Returns (ids of each text, of the sources of an encoder-decoder or None, logits [batch, pos, vocabulary] or None, {name: array}
  /// of `collect`).
  pybind11::tuple run(const GivenTexts& given, const std::vector<std::string>& collect, const std::vector<GivenHook>& hooks, const std::string& logits);
  /// ln P(token | tokens before it) of each token, one array [pos] a text; NaN for a first token.
  std::pair<std::vector<std::vector<TokenId>>, std::vector<FloatArray>> score(const GivenTexts& given);
  /// Returns (text, ids, log-probabilities [token]).
  pybind11::tuple generate(const GivenTexts& given, const GivenContinuation& request, const std::vector<GivenHook>& hooks);
  /// Writes texts of any lengths into one recording. Returns the number of rows.
  std::size_t record_to(const GivenTexts& given, const GivenRecording& recording, const std::vector<GivenHook>& hooks);

 private:
  struct Texts {
    std::vector<InputText> inputs;
    std::vector<std::vector<TokenId>> ids;      // of the encoder's or only text
    std::vector<std::vector<TokenId>> decoder;  // of an encoder-decoder
    std::vector<std::vector<std::int32_t>> types;
    const std::vector<std::vector<TokenId>>& said() const { return decoder.empty() ? ids : decoder; }
  };
  const Tokenizer& tokenizer() const;
  InputText read(const GivenText& text, const std::string& bos) const;
  Texts read(const GivenTexts& given) const;
  BatchLengths lengths_of(const Texts& texts) const;
  HookCaller caller_of(const std::vector<GivenHook>& hooks) const;
  RecorderOptions options_of(const Texts& texts, const GivenRecording& recording) const;
  ForwardSinks sinks_of(LogitRows which, FloatArray& logits) const;
  /// The rows of texts [begin, end) through encoder and decoder, in one pass.
  void run_some(const Texts& texts, std::size_t begin, std::size_t end, const TapPlan& taps, const ForwardSinks& sinks);
  /// Does `task` without Python's lock when it is this thread's turn.
  template <typename Task>
  void work(const Task& task);
  void wait_for_turn();

  Session session_;
  std::string path_;
  std::timed_mutex turn_;
  std::atomic<std::thread::id> owner_{};
};

}  // namespace vitrine
