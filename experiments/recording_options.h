#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "experiments/secrets.h"
#include "experiments/session.h"
#include "probes/recorder.h"

namespace CLI {
class Option;
}

namespace vitrine {

/// Options of every command that records (cli.md: record).
struct RecordingOptions {
  std::string output;
  std::string attention = "factors", compress = "none";
  std::vector<std::string> points{"default"}, store{"auto"}, readers;
  bool encrypt = false;
  KeyOptions key;
  std::string untold;  ///< an argument that the recorded command line must not repeat
};
/// Declares all but the output, whose name is the command's; returns what was declared.
std::vector<CLI::Option*> declare_recording(CLI::App& app, RecordingOptions& options);

/// What they say of a session's recording, with its provenance; how long the texts are is the caller's.
/// @throws Error (usage) on an unknown word
RecorderOptions recorder_options(const Session& session, const RecordingOptions& options, const std::string& bos_rule);

/// Who may read a protected recording; asks for a passphrase where no key is named. None: it is not protected.
/// @throws Error (usage) where flags do not go together
std::vector<Reader> readers_of(const RecordingOptions& options);

/// What a word of a flag stands for. @throws Error (usage) listing those there are
template <typename Value>
Value choice(const std::string& flag, const std::string& word, const std::map<std::string, Value>& known) {
  const auto found = known.find(word);
  if (found != known.end()) return found->second;
  std::string expected;
  for (const auto& [name, value] : known) expected += (expected.empty() ? "" : ", ") + name;
  throw Error({flag, expected, quoted(word), ""}, Fault::usage);
}

/// Tokens of which no text is known.
std::vector<Token> plain_tokens(std::span<const TokenId> ids);

}  // namespace vitrine
