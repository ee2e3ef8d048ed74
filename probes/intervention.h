#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/model/observer.h"

namespace vitrine {

/// Which rows and heads of which points an intervention changes.
struct InterventionPlace {
  std::vector<ProbePoint> points;
  std::vector<std::size_t> heads;                                 ///< none: all
  std::vector<std::pair<std::size_t, std::size_t>> positions;     ///< first and last of each range; none: all
};

/// What an intervention is made of: `name:points:head=0+3,position=4..7,key=value`.
struct InterventionCall {
  const ModelSpec& spec;
  std::string name;                                    ///< of the intervention, for errors
  std::string model;                                   ///< file name of the model, for errors
  InterventionPlace place;
  std::map<std::string, std::string, std::less<>> values;  ///< of the intervention's own keys
  std::uint64_t seed = 0;

  /// @throws Error (usage) where the key is missing, or not a number within the bounds
  const std::string& text(std::string_view key) const;
  double number(std::string_view key, double fallback) const;
  std::size_t whole(std::string_view key) const;
  /// Numbers with '+' between them. Empty where the key is not given.
  std::vector<std::size_t> list(std::string_view key) const;
};

/// Changes values of the forward pass, on every kernel, weight type and path: an observer that writes. Extension point:
/// probes/interventions/<name>.cpp; the comment at the head of the file says what becomes of a value.
struct Intervention {
  std::string_view name;
  std::string_view summary;
  std::string_view example;             ///< `--intervene` word
  std::string_view points;              ///< that it changes where the word names none; empty: they must be named
  std::span<const std::string_view> keys;  ///< that it knows besides head and position
  /// @throws Error where the model or a file does not fit
  std::unique_ptr<Observer> (*make)(const InterventionCall& call);
};

std::span<const Intervention* const> all_interventions();

/// The furthest position that a word names, of a row or a key; none where it names none to be there (ranges without an end).
/// @throws Error (usage) as make_intervention
std::optional<std::size_t> furthest_position(const ModelSpec& spec, std::string_view word);

/// Reads a word. @throws Error (usage) naming the interventions, points or keys that there are
std::unique_ptr<Observer> make_intervention(const ModelSpec& spec, std::string_view word, std::uint64_t seed);

/// An observer that changes the chosen rows and heads one by one.
class PlacedChange : public Observer {
 public:
  PlacedChange(const ModelSpec& spec, InterventionPlace place) : spec_(spec), place_(std::move(place)) {}

  Access access(const ProbePoint& point) const override;
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override;

 protected:
  struct Row {
    const ProbePoint& point;
    const RowRef& ref;
    std::size_t head;
  };
  /// @param values  [width]; of a map under a causal mask the keys up to the row's own
  virtual void change(const Row& row, std::span<float> values) = 0;

 private:
  bool chosen(const RowRef& row) const;

  const ModelSpec& spec_;
  InterventionPlace place_;
};

}  // namespace vitrine
