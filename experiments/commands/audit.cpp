#include "probes/protection/audit_log.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>

#include "core/base/error.h"
#include "experiments/command.h"
#include "experiments/secrets.h"
#include "probes/recording_readers.h"

namespace vitrine {
namespace {

struct Options {
  std::string recording, head;
  KeyOptions key;
  bool json = false;
};

std::string text_of(const Json& json) { return json.is_string() ? json.string() : json.is_null() ? "" : json.dump(); }

void print_table(const AuditCheck& check) {
  std::printf("%5s  %-20s  %-16s  %-12s  %-8s  %-10s  %s\n", "entry", "time", "user", "program", "action", "role", "what");
  for (std::size_t i = 0; i < check.entries.size(); ++i) {
    const Json& entry = check.entries[i];
    std::string what = text_of(entry["detail"]);
    if (entry["datasets"].is_array()) {
      const auto& names = entry["datasets"].items();
      what += (what.empty() ? "" : ", ") + std::to_string(names.size()) + " datasets";
      for (std::size_t n = 0; n < std::min<std::size_t>(names.size(), 3); ++n) what += (n == 0 ? ": " : ", ") + text_of(names[n]);
      if (names.size() > 3) what += ", ...";
    }
    const auto cell = [&](const char* name) { return quoted(text_of(entry[name]), 60); };
    const auto bare = [&](const char* name) { return cell(name).substr(1, cell(name).size() - 2); };
    std::printf("%5zu  %-20s  %-16s  %-12s  %-8s  %-10s  %s\n", i, bare("time").c_str(), bare("user").c_str(), bare("program").c_str(), bare("action").c_str(),
                bare("role").c_str(), quoted(what, 200).substr(1, quoted(what, 200).size() - 2).c_str());
  }
}

Json json_of(const AuditCheck& check) {
  Json entries = Json::array();
  for (const Json& entry : check.entries) entries.push(entry);
  Json json = Json::object().set("entries", std::move(entries)).set("head", check.head).set("unproven", static_cast<std::uint64_t>(check.unproven));
  return json.set("broken", check.broken ? Json(static_cast<std::uint64_t>(*check.broken)) : Json()).set("reason", check.broken ? Json(check.reason) : Json());
}

void run(const Options& options) {
  std::optional<FileKeys> keys;
  if (const SharedSecret key = options.key.key_file.empty() ? secret_of_environment() : read_key(options.key.key_file)) keys = keys_of(options.recording, key);
  AuditCheck check = check_audit(options.recording, keys ? &*keys : nullptr);
  if (options.json) {
    std::puts(json_of(check).dump(2).c_str());
  } else {
    print_table(check);
    std::printf("head %s\n", check.head.c_str());
  }
  const std::string log = audit_path(options.recording).string();
  if (check.broken) throw Error({log + ", entry " + std::to_string(*check.broken), "the chain unbroken", check.reason, ""});
  const auto is_anchor = [&](const Json& entry) { return text_of(entry["hash"]) == options.head; };
  if (!options.head.empty() && std::ranges::none_of(check.entries, is_anchor)) {
    throw Error({log, "an entry with the hash of --head", "none", "the log was cut short or written anew since that hash was noted"});
  }
  if (!options.json && check.unproven > 0) {
    std::fprintf(stderr, "vitrine: the chain is whole; who wrote %zu of its entries was not checked (that takes a key of the recording)\n", check.unproven);
  }
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("RUN", options->recording, "a protected recording; its log is RUN.audit")->required();
  app.add_option("--head", options->head, "a hash noted before: it must still be in the chain");
  app.add_flag("--json", options->json, "print JSON");
  declare_key_file(app, options->key);
  return [options] { run(*options); };
}

}  // namespace

const Command& command_audit() {
  static const Command command{"audit", "who opened and exported what of a protected recording, and whether that log was changed",
                               "vitrine audit run.h5 --key-file my.key", declare};
  return command;
}

}  // namespace vitrine
