#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "viewer/data/child_process.h"

namespace vitrine {

/// What `vitrine record` shall run.
struct RecordOrder {
  std::string model;               ///< a path or hf:NAME
  std::vector<std::string> texts;  ///< each a sequence of the recording
  std::string precision, kernel, bos;  ///< as the flags of these names; empty: as the program chooses
  std::string name = "text";       ///< of the recording's file
  std::string file;                ///< where it goes; empty: a folder that goes away with this program
  std::filesystem::path program = program_beside("vitrine");
};

/// Texts that a child process runs through a model into a recording. They reach it in a file that only this user reads, never on a command line.
class RecordJob {
 public:
  /// @param told  called on another thread when there is something new  @throws Error where it cannot be started
  RecordJob(const RecordOrder& order, std::function<void()> told);
  ~RecordJob();

  bool done() const { return child_->done(); }
  void cancel() { child_->cancel(); }
  bool cancelled() const { return child_->cancelled(); }
  /// What it says of how far it is.
  std::string progress() const { return child_->last_words(); }
  /// Once it is done: why there is no recording; empty where there is one.
  std::string error() const;
  const std::filesystem::path& recording() const { return recording_; }

 private:
  std::filesystem::path texts_, recording_;
  std::unique_ptr<ChildProcess> child_;
};

/// Models that may be run: those that were remembered, and those that recordings name which are open.
/// @param recordings  provenance of each
std::vector<std::string> known_models(const std::vector<Json>& recordings);

}  // namespace vitrine
