#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/model/forward.h"

namespace CLI {
class App;
}

namespace vitrine {

/// Options that every command with a model shares (cli.md: Common).
struct CommonOptions {
  std::string model;
  std::string precision = "fast";
  std::string kernel = "auto";
  std::string kv;
  std::string simd = "auto";
  std::size_t threads = 0;
  std::uint64_t seed = 0;
  bool quiet = false;
  bool json = false;
};
void declare_common(CLI::App& app, CommonOptions& options);

/// Where a text comes from.
struct TextOptions {
  std::optional<std::string> text;
  std::string file;
  std::vector<int> ids;
  std::string bos = "auto";
};
void declare_text(CLI::App& app, TextOptions& options);

struct InputText {
  std::string text;           ///< empty where ids were given
  std::vector<Token> tokens;  ///< with a BOS where asked for
  bool bos_added = false;     ///< the first token is a BOS
  std::string bos_rule;       ///< "auto", "yes (the tokenizer adds none)", ...
};

/// A model with everything that runs it.
class Session {
 public:
  explicit Session(const CommonOptions& options);
  ~Session();

  const Model& model() const { return model_; }
  Ops& ops() { return *ops_; }
  const KernelChoice& kernel() const { return kernel_; }
  Precision precision() const { return precision_; }
  DType kv_type() const { return kv_type_; }
  Run& run() { return run_; }
  Workspace& workspace() { return workspace_; }

  /// @throws Error (usage) where no text is given or the model has no tokenizer
  InputText read(const TextOptions& options) const;
  KvCache new_cache() const { return KvCache(model_.spec, kv_type_); }
  /// Runs forward() over one sequence; a bidirectional model gets no cache.
  void run_sequence(std::span<const TokenId> ids, const TapPlan& taps, const ForwardSinks& sinks, std::uint32_t sequence = 0);
  /// Precision, kernel, cache type, instruction set, threads, seed, version: what makes a number repeatable.
  Json signature() const;

 private:
  CommonOptions options_;
  Precision precision_;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<Ops> ops_;
  KernelChoice kernel_;
  Model model_;
  DType kv_type_;
  Workspace workspace_;
  Run run_;
};

/// A whole file. @param flag  names it in the error, as "--file"  @throws Error  @param expected  what should be there
std::string read_file(const std::string& flag, const std::string& path, const std::string& expected = "a readable file");
/// Progress on stderr; none when that is no terminal or `quiet`.
Run::Report progress_bar(bool quiet);
/// @throws Error (usage) where the number is absurd
std::size_t checked_threads(std::size_t threads);
std::vector<TokenId> ids_of(std::span<const Token> tokens);
/// A token's text for people: invalid UTF-8 and control characters escaped.
std::string printable(std::string_view bytes);

}  // namespace vitrine
