#pragma once

#include <span>
#include <string>
#include <vector>

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

/// Tokens of which no text is known.
std::vector<Token> plain_tokens(std::span<const TokenId> ids);

}  // namespace vitrine
