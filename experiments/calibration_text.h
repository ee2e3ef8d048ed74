#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "core/model/model_runner.h"

namespace CLI {
class App;
class Option;
}

namespace vitrine {

class Session;

/// A text from which shortcuts learn what goes into the matrices of a model.
struct CalibrationOptions {
  std::string file;
  std::size_t tokens = 16384;  ///< at most, from the beginning of the file
  std::size_t window = 512;    ///< tokens that are run at once; the model's context where that is shorter
  std::string flag = "--calibration";  ///< that named the file, for errors
};

/// --calibration, --calibration-tokens, --calibration-window
/// @returns the three, so that a command can say what they need
std::vector<CLI::Option*> declare_calibration(CLI::App& app, CalibrationOptions& options);

/// The file's text in windows that follow one another, each with the tokens that the tokenizer puts around a text; an encoder-decoder's read them as
/// sources, with the same tokens moved right behind the start token. Empty where no file is named.
/// @param sha256  of the file's bytes, for signatures and metadata  @throws Error where it cannot be read or has no 16 tokens
std::vector<ModelText> calibration_texts(const Session& session, const CalibrationOptions& options, std::string& sha256);

}  // namespace vitrine
