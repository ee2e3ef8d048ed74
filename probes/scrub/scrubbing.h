#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "probes/scrub/scrubber.h"

namespace vitrine {

/// A rule of a user's own: what it is called and what it looks like.
struct ScrubRule {
  std::string label;
  std::vector<RegularExpression> expressions;  // one
};

/// What a run looks for.
class ScrubPlan {
 public:
  /// @param names  of `vitrine list scrubbers`, or labels; none: all of them
  /// @throws Error (usage) for a name that there is not
  explicit ScrubPlan(const std::vector<std::string>& names);
  /// Rules of a file: [{"label": "STAFF_ID", "pattern": "\\bE\\d{6}\\b"}, ...], patterns as in Ruby.
  /// @throws Error naming the rule
  void add_rules(const Json& rules, const std::string& where);
  /// Every label that it may find, sorted; their places are what recordings mark rows with.
  std::vector<std::string> labels() const;

  struct Finding {
    TextRange bytes;
    std::string label;
  };
  /// From left to right, without overlaps: of two that share bytes the longer one names them, and the span covers both.
  /// @throws Error where the text makes an expression run too long
  std::vector<Finding> find(std::string_view text) const;

 private:
  std::vector<const Scrubber*> scrubbers_;
  std::vector<ScrubRule> rules_;
};

/// A text whose findings stand there as "<LABEL>", and where those are.
struct ScrubbedText {
  std::string text;
  std::vector<ScrubPlan::Finding> places;  ///< of the placeholders, in `text`
};
ScrubbedText scrubbed(std::string_view text, const std::vector<ScrubPlan::Finding>& findings);

}  // namespace vitrine
