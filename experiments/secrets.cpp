#include "experiments/secrets.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstring>
#include <optional>

#include "core/base/error.h"
#include "core/base/run.h"

namespace vitrine {
namespace {

constexpr std::size_t longest_passphrase = 1024;  // bytes

/// The terminal of whoever started us, without echo while a passphrase is typed.
class Terminal {
 public:
  static std::optional<Terminal> open() {
    const int file = ::open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    termios before{};
    if (file >= 0 && tcgetattr(file, &before) == 0) return Terminal(file, before);
    if (file >= 0) ::close(file);
    return std::nullopt;
  }
  Terminal(Terminal&& other) noexcept : file_(std::exchange(other.file_, -1)), before_(other.before_) {}
  Terminal& operator=(Terminal&&) = delete;
  ~Terminal() {
    if (file_ >= 0) ::close(file_);
  }

  /// What is typed up to the end of the line. @throws Cancelled at Ctrl-C
  SecretBytes ask(const std::string& question) const {
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO | ISIG);  // Ctrl-C must not leave the terminal without echo
    tcsetattr(file_, TCSAFLUSH, &silent);                   // which forgets what was typed so far: only then is the question asked
    say(question);
    SecretBytes typed(longest_passphrase);
    std::size_t size = 0;
    char byte = 0;
    while (size < typed.size() && read(file_, &byte, 1) == 1 && byte != '\n' && byte != '\x03') typed.span()[size++] = static_cast<std::byte>(byte);
    tcsetattr(file_, TCSAFLUSH, &before_);
    say("\n");
    if (byte == '\x03') throw Cancelled();
    SecretBytes whole(size);
    std::memcpy(whole.span().data(), typed.span().data(), size);
    return whole;
  }

 private:
  Terminal(int file, const termios& before) : file_(file), before_(before) {}
  void say(const std::string& text) const { [[maybe_unused]] const ssize_t written = write(file_, text.data(), text.size()); }

  int file_;
  termios before_;
};

SharedSecret key_of(const KeyOptions& options) { return options.key_file.empty() ? secret_of_environment() : read_key(options.key_file); }

Terminal terminal_for(const std::string& purpose) {
  std::optional<Terminal> terminal = Terminal::open();
  if (!terminal) throw Error({purpose, "a key with --key-file or VITRINE_KEY_FILE", "none, and no terminal to ask for a passphrase", ""}, Fault::usage);
  return std::move(*terminal);
}

}  // namespace

CLI::Option* declare_key_file(CLI::App& app, KeyOptions& options) {
  return app.add_option("--key-file", options.key_file, "the key that opens a protected recording (default: VITRINE_KEY_FILE, else a passphrase is asked for)");
}

SharedSecret secret_of(const KeyOptions& options, const std::string& purpose) {
  if (SharedSecret key = key_of(options)) return key;
  return std::make_shared<ReaderSecret>(ReaderSecret::Kind::passphrase, terminal_for(purpose).ask("passphrase of " + purpose + ": "));
}

SharedSecret new_secret_of(const KeyOptions& options, const std::string& purpose) {
  if (SharedSecret key = key_of(options)) return key;
  const Terminal terminal = terminal_for(purpose);
  SecretBytes first = terminal.ask("new passphrase of " + purpose + ": ");
  const SecretBytes second = terminal.ask("again: ");
  if (first.size() != second.size() || std::memcmp(first.span().data(), second.span().data(), first.size()) != 0) {
    throw Error({"passphrase", "the same twice", "two different ones", ""}, Fault::usage);
  }
  return std::make_shared<ReaderSecret>(ReaderSecret::Kind::passphrase, std::move(first));
}

std::unique_ptr<Recording> open_recording(const std::filesystem::path& path, const KeyOptions& options) {
  if (SharedSecret key = key_of(options)) return Recording::open(path, key);
  if (!Terminal::open() || !Recording::is_protected(path)) return Recording::open(path);
  return Recording::open(path, secret_of(options, path.string()));
}

Reader reader_of(const std::string& words) {
  const std::size_t equals = words.find('=');
  if (equals == std::string::npos || equals + 1 == words.size()) throw Error({"--reader", "ROLE=KEYFILE", quoted(words), "ROLE is summaries, text or everything"}, Fault::usage);
  const ReaderRole role = parse_reader_role(words.substr(0, equals), "--reader");
  return {role, read_key(words.substr(equals + 1))};
}

}  // namespace vitrine
