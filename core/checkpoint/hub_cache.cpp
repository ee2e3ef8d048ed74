#include "core/checkpoint/hub_cache.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/nearest.h"

// The layout of the cache is huggingface_hub's: models--ORG--NAME/{refs/BRANCH, snapshots/COMMIT/...}.

namespace vitrine {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view prefix = "models--";

fs::path cache_folder() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return fs::path(value ? value : "");
  };
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
    if (const fs::path place = variable(name); !place.empty()) return place;
  }
  if (const fs::path home = variable("HF_HOME"); !home.empty()) return home / "hub";
  const fs::path cache = variable("XDG_CACHE_HOME"), home = variable("HOME");
  return (cache.empty() ? home / ".cache" : cache) / "huggingface" / "hub";
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) text.replace(at, from.size(), to);
  return text;
}

/// Names in a folder, sorted; none where there is no such folder.
std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

/// At most ten of them on one line, the nearest to the wanted one first.
std::string some_of(const std::vector<std::string>& names, const std::string& wanted) {
  std::vector<std::string_view> shown(names.begin(), names.end());
  const std::string_view nearest = nearest_word(wanted, shown);
  std::stable_partition(shown.begin(), shown.end(), [&](std::string_view name) { return name == nearest; });
  const std::size_t most = 10, rest = shown.size() - std::min(most, shown.size());
  shown.resize(shown.size() - rest);
  return joined(shown) + (rest > 0 ? " and " + std::to_string(rest) + " more" : "");
}

/// Letters, digits, '-', '_', '.', and '/' between names that are not "..": nothing that leads out of the cache.
bool is_plain(const std::string& name) {
  const bool letters = std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) || std::string_view("-_./").find(static_cast<char>(c)) != std::string_view::npos; });
  return letters && !name.empty() && name.front() != '/' && name.back() != '/' && name.find("..") == std::string::npos && name.find("//") == std::string::npos;
}

class Snapshots {
 public:
  Snapshots(std::string spelled, fs::path model) : spelled_(std::move(spelled)), model_(std::move(model)), commits_(names_in(model_ / "snapshots")) {}

  fs::path of(const std::string& revision) const {
    const std::string commit = revision.empty() ? main_commit() : named_commit(revision);
    return model_ / "snapshots" / commit;
  }

 private:
  bool has(const std::string& commit) const { return std::find(commits_.begin(), commits_.end(), commit) != commits_.end(); }

  std::string referred(const std::string& name) const {
    std::string commit;
    std::ifstream(model_ / "refs" / name) >> commit;
    return has(commit) ? commit : "";
  }

  std::string main_commit() const {
    if (const std::string commit = referred("main"); !commit.empty()) return commit;
    if (commits_.size() == 1) return commits_.front();
    throw Error({spelled_, "a snapshot of main in " + model_.string(), commits_.empty() ? "none" : "none; it has " + some_of(commits_, ""),
                 commits_.empty() ? "nothing is downloaded" : "write hf:NAME@REVISION"});
  }

  std::string named_commit(const std::string& revision) const {
    if (const std::string commit = referred(revision); !commit.empty()) return commit;
    std::vector<std::string> found;
    std::copy_if(commits_.begin(), commits_.end(), std::back_inserter(found), [&](const std::string& commit) { return commit.starts_with(revision); });
    if (found.size() == 1) return found.front();
    std::vector<std::string> known = names_in(model_ / "refs");
    known.insert(known.end(), commits_.begin(), commits_.end());
    throw Error({spelled_, "one revision " + quoted(revision) + " in " + model_.string(),
                 (found.empty() ? "none" : std::to_string(found.size())) + (known.empty() ? std::string() : "; it has " + some_of(known, revision)), "nothing is downloaded"});
  }

  std::string spelled_;
  fs::path model_;
  std::vector<std::string> commits_;
};

}  // namespace

fs::path cached_model(std::string_view name) {
  const std::string spelled = "hf:" + std::string(name);
  const std::size_t at = name.find('@');
  const std::string model(name.substr(0, at)), revision(at == std::string_view::npos ? "" : name.substr(at + 1));
  if (!is_plain(model) || (at != std::string_view::npos && !is_plain(revision))) {
    throw Error({quoted(spelled), "hf:NAME, hf:ORGANISATION/NAME or either with @REVISION", "something else", ""}, Fault::usage);
  }
  const fs::path cache = cache_folder(), folder = cache / (std::string(prefix) + replaced(model, "/", "--"));
  std::error_code ignored;
  if (fs::is_directory(folder, ignored)) return Snapshots(spelled, folder).of(revision);
  std::vector<std::string> known;
  for (const std::string& entry : names_in(cache)) {
    if (entry.starts_with(prefix)) known.push_back(replaced(entry.substr(prefix.size()), "--", "/"));
  }
  throw Error({spelled, "a model of the cache " + cache.string(), known.empty() ? "no models there" : "others: " + some_of(known, model), "nothing is downloaded"});
}

}  // namespace vitrine
