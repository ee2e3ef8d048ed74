#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "kernels/pattern/pattern.h"
#include "probes/protection/audit_log.h"

namespace vitrine {

/// Whether the file begins as HDF5 files do; false where it cannot be read.
bool is_hdf5_file(const std::filesystem::path& path);

/// A recording read back. Opening checks every shape and type against FORMAT.md, first in a child process, whose death
/// is the error message (libhdf5 itself can fall over a hostile file). One thread uses a recording at a time.
class Recording {
 public:
  /// A protected recording writes down in its audit log that it was opened and, when it is closed, what was read.
  /// @param secret  of a protected recording; null: the key that VITRINE_KEY_FILE names
  /// @throws Error with one clear line, also where no secret opens it, or where something in it was changed
  static std::unique_ptr<Recording> open(const std::filesystem::path& path, const SharedSecret& secret = nullptr);
  /// Whether it takes a secret to open. @throws Error as open()
  static bool is_protected(const std::filesystem::path& path);
  virtual ~Recording() = default;

  virtual const std::filesystem::path& path() const = 0;
  virtual const Json& provenance() const = 0;  ///< root attributes: model, architecture, precision, kernel, provenance, ...
  virtual bool finished() const = 0;           ///< false: it is still being written, or its writer was stopped

  /// Whether our role reads a class of data; always true where nothing is protected. Reading what it does not is an Error.
  virtual bool may_read(DataClass data) const = 0;
  /// Writes into the audit log of a protected recording what is done with it, before it is done. @throws Error as append_audit
  virtual void note(const AuditEvent& event) const = 0;

  virtual std::size_t sequences() const = 0;
  struct Rows {
    std::size_t begin = 0, count = 0;  ///< in the concatenated rows
  };
  /// Which text of a sequence: its own, or the encoder's of an encoder-decoder, whose rows are counted apart.
  enum class Side { text, encoder };
  virtual bool has_encoder() const = 0;
  virtual Rows rows_of(std::size_t sequence, Side side = Side::text) const = 0;
  virtual std::vector<std::int32_t> token_ids(std::size_t sequence, Side side = Side::text) const = 0;
  /// The bytes of each token; empty strings where the model had no tokenizer.
  virtual std::vector<std::string> token_texts(std::size_t sequence, Side side = Side::text) const = 0;
  /// Of a text that was scrubbed: for each token 0, or 1 + the place of its label in provenance/scrub/labels; else empty.
  virtual std::vector<std::int32_t> scrub_marks(std::size_t sequence, Side side = Side::text) const = 0;
  /// NaN for a first token; empty where none were recorded.
  virtual std::vector<float> log_probabilities(std::size_t sequence) const = 0;
  /// What a row held likeliest to come next, largest first; in its own place, of a model that sees both sides.
  struct TopTokens {
    std::vector<std::int32_t> ids;
    std::vector<float> log_probabilities;  ///< nats
  };
  /// Of a row of a sequence; empty where none were recorded.
  virtual TopTokens top_tokens(std::size_t sequence, std::size_t row) const = 0;

  /// A group below /attention.
  struct Module {
    std::string name;       ///< "blocks.3.attn", "encoder.blocks.3.attn", "decoder.blocks.3.cross_attn"
    std::size_t block = 0;
    Side queries = Side::text, keys = Side::text;  ///< whose rows they are
    std::size_t heads = 0, kv_heads = 0, head_dim = 0;
    ScoreRule score;        ///< as the model asks, without what each head holds for itself
    PatternRule rule;       ///< as the kernel applied
    std::size_t distances = 0;  ///< of a table of biases; 0: none
    std::size_t positions = 0;  ///< of those that queries meet; 0: none
    bool slopes = false, segments = false, allowed = false;
    bool codes = false;  ///< queries or keys are stored in 8 bits: a map made of them is not to its last digits
  };
  virtual std::span<const Module> modules() const = 0;  ///< in the order of the forward pass

  /// Factors of one head of one sequence as f32, good for any number of tiles.
  struct Head {
    std::vector<float> q, k, normalizer, threshold;
    std::vector<float> bias, slope, positions, key_bias, positions_bias, segment, segment_bias;  ///< of this head alone
    std::vector<std::int32_t> segments;   ///< of the sequence's tokens
    std::vector<std::uint64_t> allowed;
    PatternFactors factors;  ///< looks at the vectors beside it
  };
  virtual std::shared_ptr<const Head> head(const Module& module, std::size_t head, std::size_t sequence) const = 0;
  /// A row statistic of the recorder ("entropy", "distance", "first_key"): [rows of the sequence * heads].
  virtual std::vector<float> row_statistic(const Module& module, std::string_view name, std::size_t sequence) const = 0;

  /// Means of a row statistic over all rows of a finished recording: [module * heads], padded with NaN to the most heads.
  virtual std::vector<double> summary(std::string_view statistic) const = 0;

  /// A map pooled to squares of `cell` queries and keys, [rows, columns]; those at the end may be smaller.
  struct Squares {
    std::size_t cell = 0, rows = 0, columns = 0;
    std::vector<float> largest, mean;  ///< of the weights of a square, those that are masked (0) with it
  };
  /// A level of the pyramid of a long text: 0 as the file holds it, each further one of squares twice as large. None where the file
  /// has no pyramid of this text, or not yet.
  virtual std::optional<Squares> squares(const Module& module, std::size_t head, std::size_t sequence, std::size_t level = 0) const = 0;

  struct Dataset {
    std::string name;  ///< "/activations/blocks.0.hook_resid_pre"
    std::string type;
    std::vector<std::size_t> shape;
    std::size_t bytes = 0;
    Side side = Side::text;  ///< whose rows they are
  };
  /// Everything below /activations, /logits included.
  virtual std::span<const Dataset> activations() const = 0;
  /// Rows of an activation as f32, packed. `rows` counts in the concatenated rows of its side.
  virtual std::vector<float> activation(const Dataset& dataset, Rows rows) const = 0;
};

/// The modules of a text that looks at itself: all of a model with one stack, the decoder's own of an encoder-decoder.
std::vector<Recording::Module> own_modules(const Recording& recording);

}  // namespace vitrine
