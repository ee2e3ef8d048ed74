#include "viewer/data/record_job.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "core/base/error.h"
#include "core/base/json.h"
#include "viewer/data/remembered.h"

namespace vitrine {
namespace {

/// A folder that only this user reads; it goes away with the program.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "vitrine-viewer-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw Error({pattern, "to make a folder for recordings", std::strerror(errno), "set TMPDIR to a folder with room"});
    path_ = pattern;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  /// A path that nothing had before.
  std::filesystem::path next(const std::string& name, const char* ending) { return path_ / (name + "-" + std::to_string(++count_) + ending); }

 private:
  std::filesystem::path path_;
  std::atomic<std::size_t> count_{0};
};

ScratchFolder& scratch() {
  static ScratchFolder folder;
  return folder;
}

std::string file_name_of(std::string name) {
  std::ranges::replace_if(name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != '_'; }, '-');
  return name.substr(0, 60);
}

void write_texts(const std::filesystem::path& path, const std::vector<std::string>& texts) {
  std::ofstream file(path, std::ios::binary);
  for (const std::string& text : texts) file << Json::object().set("text", text).dump() << "\n";
  file.flush();
  if (!file) throw Error({path.string(), "to write the texts", "no room or no right to", ""});
}

}  // namespace

RecordJob::RecordJob(const RecordOrder& order, std::function<void()> told) {
  if (order.model.empty()) throw Error({"model", "a GGUF file, a safetensors file, a Hugging Face folder, or hf:NAME", "nothing", ""});
  if (order.model.starts_with('-')) throw Error({"model", "a path", quoted(order.model), "write ./ before a name that begins with -"});
  const std::string name = file_name_of(order.name);
  texts_ = scratch().next(name, ".jsonl");
  recording_ = order.file.empty() ? scratch().next(name, ".h5") : std::filesystem::path(order.file);
  write_texts(texts_, order.texts);
  std::vector<std::string> words{"record", order.model, "--jsonl", texts_.string(), "--field", "text", "-o", recording_.string()};
  const auto add = [&](const char* flag, const std::string& value) {
    if (!value.empty()) words.insert(words.end(), {flag, value});
  };
  add("--precision", order.precision);
  add("--kernel", order.kernel);
  add("--bos", order.bos);
  child_ = std::make_unique<ChildProcess>(ChildProcess::Order{order.program, words, {{"VITRINE_PROGRESS", "1"}}, std::move(told)});
}

RecordJob::~RecordJob() {
  child_.reset();  // dead before its texts go
  std::error_code ignored;
  std::filesystem::remove(texts_, ignored);
}

std::string RecordJob::error() const {
  if (child_->cancelled()) return "the run was cancelled";
  if (child_->exit_code() == 0) return "";
  const std::string words = child_->last_words();
  return words.empty() ? "vitrine record ended with code " + std::to_string(child_->exit_code()) : words;
}

std::vector<std::string> known_models(const std::vector<Json>& recordings) {
  std::vector<std::string> models = remembered("models");
  for (const Json& provenance : recordings) {
    const Json& line = provenance["command_line"].is_string() ? provenance["command_line"] : provenance["provenance"]["command_line"];
    const Json& model = provenance["model"];
    if (!line.is_string() || !model.is_string()) continue;
    for (std::string_view rest = line.string(); !rest.empty();) {  // the word that ends in the model's name, where it is still there
      const std::string word(rest.substr(0, rest.find(' ')));
      rest.remove_prefix(std::min(rest.size(), word.size() + 1));
      std::error_code failed;
      const std::filesystem::path path(word);
      const bool is_it = path.filename() == model.string() && path.is_absolute() && std::filesystem::exists(path, failed);
      if (is_it && std::ranges::find(models, word) == models.end()) models.push_back(word);
    }
  }
  return models;
}

}  // namespace vitrine
