#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "core/base/error.h"
#include "experiments/command.h"
#include "experiments/secrets.h"
#include "probes/recording_readers.h"

namespace vitrine {
namespace {

struct Options {
  std::string output, recording, reader, whose;
  KeyOptions key;
  bool json = false;
};

void print(const Options& options, const Json& result, const std::string& line) {
  std::puts(options.json ? result.dump(2).c_str() : line.c_str());
}

void make_key(const Options& options) {
  write_new_key(options.output);
  print(options, Json::object().set("file", options.output), options.output + ": a new key; whoever has this file reads what is recorded for it");
}

void show(const Options& options) {
  const RecordingReaders readers = readers_of(options.recording, secret_of(options.key, options.recording));
  const std::string role(reader_role_name(readers.own));
  print(options, Json::object().set("file", options.recording).set("readers", static_cast<std::uint64_t>(readers.readers)).set("role", role),
        options.recording + ": " + std::to_string(readers.readers) + " reader" + (readers.readers == 1 ? "" : "s") + "; this key's role is " + role);
}

void grant(const Options& options) {
  const Reader reader = reader_of(options.reader);
  grant_reader(options.recording, secret_of(options.key, options.recording), reader);
  const std::string role(reader_role_name(reader.role));
  print(options, Json::object().set("file", options.recording).set("granted", role), options.recording + ": one more reader of " + role);
}

void revoke(const Options& options) {
  const SharedSecret whose = read_key(options.whose);
  revoke_reader(options.recording, secret_of(options.key, options.recording), whose);
  print(options, Json::object().set("file", options.recording).set("revoked", true),
        options.recording + ": one reader less; what was read or copied before stays known, and so may the keys: record anew to shut somebody out");
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  auto action = std::make_shared<std::function<void()>>();
  app.require_subcommand(1);
  const auto add = [&](const char* name, const char* summary, void (*run)(const Options&)) {
    CLI::App* sub = app.add_subcommand(name, summary);
    sub->add_flag("--json", options->json, "print JSON");
    sub->callback([options, action, run] { *action = [options, run] { run(*options); }; });
    return sub;
  };
  add("new", "make a key, in a new file that only you may read", make_key)->add_option("-o,--output", options->output, "the new file")->required();
  const auto of_recording = [&](CLI::App* sub) {
    sub->add_option("RUN", options->recording, "a protected recording")->required();
    declare_key_file(*sub, options->key);
    return sub;
  };
  of_recording(add("show", "how many readers a recording has, and the role of your key", show));
  of_recording(add("grant", "let one more key read a finished recording, or change a key's role", grant))
      ->add_option("--reader", options->reader, "ROLE=KEYFILE; ROLE is summaries, text or everything, up to your own")->required();
  of_recording(add("revoke", "take a key out of a finished recording", revoke))->add_option("--reader", options->whose, "the key's file")->required();
  return [action] { (*action)(); };
}

}  // namespace

const Command& command_key() {
  static const Command command{"key", "make keys, and say which of them read a protected recording", "vitrine key new -o my.key", declare};
  return command;
}

}  // namespace vitrine
