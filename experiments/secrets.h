#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "probes/recording.h"

namespace CLI {
class App;
class Option;
}

namespace vitrine {

/// How a command opens protected recordings. Secrets are never arguments: a key stands in a file, a passphrase is asked for.
struct KeyOptions {
  std::string key_file;
};
/// --key-file
CLI::Option* declare_key_file(CLI::App& app, KeyOptions& options);

/// The key of the file that the options or VITRINE_KEY_FILE name, else a passphrase that the terminal is asked for.
/// @param purpose  "run.h5", in the question and in the Error where there is no terminal to ask
SharedSecret secret_of(const KeyOptions& options, const std::string& purpose);
/// The same for a passphrase that is new: asked for twice.
SharedSecret new_secret_of(const KeyOptions& options, const std::string& purpose);

/// Opens a recording, protected or not. @throws Error as Recording::open
std::unique_ptr<Recording> open_recording(const std::filesystem::path& path, const KeyOptions& options);

/// "ROLE=KEYFILE" of --reader. @throws Error (usage)
Reader reader_of(const std::string& words);

}  // namespace vitrine
