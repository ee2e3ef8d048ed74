#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/shortcuts/calibration.h"

namespace vitrine {

/// A key of a shortcut's word, `prune:sparsity=0.5`.
struct ShortcutOption {
  std::string_view key;
  std::string_view summary;
  std::string_view fallback;  ///< as a user would write it; empty: must be given, unless `optional`
  bool optional = false;
};

struct Shortcut;

/// What a shortcut puts over the arithmetic, besides what it changes in the weights.
enum class Layering {
  none,
  beside,   ///< terms that are added to products of the weights as they are then
  around,   ///< products of the weights as they are then, done otherwise
  instead,  ///< products of its own: what the weights are no longer matters
};

/// A word of a variant: a shortcut and the values of its keys, all of them known.
class ShortcutCall {
 public:
  /// Reads "name:key=value,key=value". @throws Error (usage) listing the shortcuts, or the keys of the one
  explicit ShortcutCall(std::string_view word);
  ShortcutCall(const Shortcut& shortcut, std::map<std::string, std::string, std::less<>> values);

  const Shortcut& shortcut() const { return *shortcut_; }
  /// The whole word again, with every key, for titles and provenance.
  std::string spelled() const;
  bool has(std::string_view key) const { return values_.contains(key); }
  /// The value, or the option's fallback. @throws Error (usage) where the key must be given, or is outside of the bounds
  std::string text(std::string_view key) const;
  double number(std::string_view key, double low, double high) const;
  std::size_t whole(std::string_view key, std::size_t low, std::size_t high) const;
  bool flag(std::string_view key) const;  ///< yes or no
  /// One of these words.
  std::size_t choice(std::string_view key, std::span<const std::string_view> words) const;

 private:
  [[noreturn]] void refuse(std::string_view key, const std::string& expected) const;
  const Shortcut* shortcut_;
  std::map<std::string, std::string, std::less<>> values_;
};

/// What became of a matrix.
struct MatrixChange {
  std::string name;            ///< "blocks.3 attn_q"
  std::string made;            ///< type or way, for people: "Q4_K", "2:4 of F16"
  std::size_t bytes_before = 0, bytes_after = 0;
  double relative_error = 0.0; ///< ||W' - W|| / ||W||, Frobenius
  std::optional<double> output_error;  ///< ||(W' - W) X|| / ||W X|| over the calibration text, where one was used
};

/// Makes an arithmetic between a model and the one that computes: what cannot be said by other weights (unmerged adapters, factors). It
/// tells weights by their place in the model, which must stay where it is.
using OpsLayer = std::function<std::unique_ptr<Ops>(Ops& base, const Model& model)>;

/// What a shortcut left behind besides the changed model.
struct ShortcutReport {
  std::vector<MatrixChange> matrices;
  std::vector<std::string> notes;  ///< what a user must know: fallbacks, what was left alone
  std::vector<OpsLayer> layers;    ///< innermost first
  std::ptrdiff_t bytes_beside = 0; ///< of what layers multiply with, less those of weights that nobody multiplies any more
};

/// Tokens that shortcuts learn from.
std::size_t calibration_tokens(std::span<const ModelText> texts);

/// What a shortcut works with besides the model, which it changes.
struct ShortcutBench {
  Ops& ops;  ///< of exact precision
  const KernelChoice& kernel;
  Workspace& workspace;
  Run& run;
  std::span<const ModelText> calibration{};  ///< none: no calibration text was given
  std::uint64_t seed = 0;

  std::size_t calibration_tokens() const { return vitrine::calibration_tokens(calibration); }
  /// The model as it is now, with f32 keys and values.
  ModelRunner runner(const Model& model) const;
};

/// One way of making a model cheaper, in memory. Extension point: core/shortcuts/methods/<name>.cpp.
struct Shortcut {
  std::string_view name;
  std::string_view summary;
  std::string_view source;
  std::string_view example;  ///< a word
  std::vector<ShortcutOption> options;
  /// Whether it can't do without a calibration text (of so many tokens, below which it refuses); 0: none is needed.
  std::size_t (*least_calibration_tokens)(const ShortcutCall& call, const Model& model);
  /// Whether it can be done to this model, as far as that is known before the work. Null: it always can. @throws Error
  void (*check)(const Model& model, const ShortcutCall& call, std::size_t calibration_tokens);
  /// @throws Error where only the work shows that it cannot be done
  void (*apply)(Model& model, const ShortcutCall& call, const ShortcutBench& bench, ShortcutReport& report);
  /// The word of a change of the same size that chooses at random by the seed, which a study judges this one against (a random mask of the
  /// same sparsity, random heads). Null: Gaussian noise as large, matrix by matrix.
  std::string (*control)(const ShortcutCall& call) = nullptr;
  /// Null: none.
  Layering (*layering)(const ShortcutCall& call) = nullptr;
};

std::span<const Shortcut* const> all_shortcuts();

/// Words with '+' between them, in the order in which they are applied. @throws Error (usage)
std::vector<ShortcutCall> parse_shortcuts(std::string_view spelled);
std::string spelled(std::span<const ShortcutCall> calls);

/// Whether a shortcut can be applied to a model. @param calibration_tokens  of the text that it would learn from; 0: there is none
/// @throws Error where it cannot, or the text is missing or too short
void check_shortcut(const Model& model, const ShortcutCall& call, std::size_t calibration_tokens);

/// Whether each would have an effect behind the ones before it. @throws Error (usage) naming the first that would not
void require_order(std::span<const ShortcutCall> calls);

/// Applies one after the other, each checked first; weights share the bytes of `model` where nothing changed.
/// @throws Error where one cannot be applied, or its calibration text is missing or too short
ShortcutReport apply_shortcuts(Model& model, std::span<const ShortcutCall> calls, const ShortcutBench& bench);

/// The matrices of the blocks (attention and MLP, no norms, biases, routers or tables): what shortcuts work on. One that several blocks
/// share (ALBERT) is there once.
std::vector<WeightKey> block_matrices(const Model& model);
/// The matrix itself, and those of other blocks that are the same one (ALBERT). A head that is tied to the embedding changes alone.
std::vector<WeightKey> sharing_matrix(const Model& model, const WeightKey& key);
/// "blocks.3 attn_q", "encoder blocks.0 mlp_up expert 2"
std::string matrix_name(const WeightKey& key);
Tensor copy_of(const Tensor& tensor);
/// @throws Error naming the matrix where a number is none
void require_finite(const Tensor& numbers, const std::string& name);
/// What is told of a matrix that takes another's place, besides its bytes.
struct Replacement {
  std::string made;               ///< MatrixChange::made
  const Tensor& before;           ///< [rows, cols] f32 the numbers as they were
  const Matrix* gram = nullptr;   ///< [cols, cols] X^T X of what they multiply, for the output error
  const Tensor* after = nullptr;  ///< [rows, cols] f32 what the new ones come to; null: themselves
};
/// Puts numbers in the place of a matrix in the model, for all blocks that share it, in its own type if that is f32, f16 or bf16, else in
/// f32, and tells what changed.
/// @param numbers  [rows, cols] f32
void put_numbers(Model& model, const WeightKey& key, const Tensor& numbers, const Replacement& told, ShortcutReport& report);
/// Puts a tensor of another type in the place of a matrix, and in that of all weights that were the same one (a head that is the table).
void put_tensor(Model& model, const WeightKey& key, Tensor tensor, const Replacement& told, ShortcutReport& report);
/// ||b - a|| / ||a||, Frobenius; 0 of two zeros.
double relative_error(std::span<const float> a, std::span<const float> b);
/// ||W X||^2, summed over the rows X. @param weights  [rows, cols] W @param gram  [cols, cols] X^T X
double squared_output(const Matrix& weights, const Matrix& gram);
/// ||(b - a) X|| / ||a X|| over the rows X that the statistics are of; 0 of two equal matrices. @param a, b  [rows, cols]
double output_error(std::span<const float> a, std::span<const float> b, const Matrix& gram);

}  // namespace vitrine
