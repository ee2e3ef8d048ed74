#include "probes/intervention.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/model/derived_point.h"

namespace vitrine {
namespace {

std::vector<std::string_view> split(std::string_view text, char border) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(border);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

template <typename Number>
bool parse(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

std::size_t whole_of(std::string_view where, std::string_view text) {
  std::size_t value = 0;
  if (!parse(text, value)) throw Error({"--intervene, " + std::string(where), "a whole number", quoted(text), ""}, Fault::usage);
  return value;
}

/// "3", "3..7" or "3.." with '+' between them.
std::vector<std::pair<std::size_t, std::size_t>> ranges_of(std::string_view text) {
  std::vector<std::pair<std::size_t, std::size_t>> ranges;
  for (const std::string_view part : split(text, '+')) {
    const std::size_t dots = part.find("..");
    const std::size_t first = whole_of("position", part.substr(0, dots));
    std::size_t last = first;
    if (dots != std::string_view::npos) last = dots + 2 == part.size() ? static_cast<std::size_t>(-1) : whole_of("position", part.substr(dots + 2));
    if (last < first) throw Error({"--intervene, position", "a range whose end is not before its beginning", quoted(part), ""}, Fault::usage);
    ranges.emplace_back(first, last);
  }
  return ranges;
}

const Intervention& find(std::string_view name) {
  std::vector<std::string_view> names;
  for (const Intervention* intervention : all_interventions()) {
    if (intervention->name == name) return *intervention;
    names.push_back(intervention->name);
  }
  throw Error({"--intervene", joined(names), quoted(name), "see `vitrine list interventions`"}, Fault::usage);
}

/// `all` and `*` leave out what cannot be written; who names it hears so.
void keep_writable(InterventionCall& call, std::span<const std::string> words) {
  const auto wild = [](const std::string& word) { return word == "all" || word.find('*') != std::string::npos; };
  const bool some = std::ranges::any_of(words, wild);
  std::string derived;
  std::vector<ProbePoint> writable;
  for (const ProbePoint& point : call.place.points) {
    if (is_derived(point.site)) derived = point_name(point);
    else writable.push_back(point);
  }
  if (!derived.empty() && (!some || writable.empty())) {
    throw Error({"--intervene " + call.name, "points that the model goes on from: embeddings, residual streams, q, k, v, z, maps, outputs, normalized values", derived + ", which is derived from them",
                 "write the value that it is derived from"}, Fault::usage);
  }
  call.place.points = std::move(writable);
}

/// Which of an encoder-decoder's three kinds of attention a point belongs to.
std::string_view attention_of(const ProbePoint& point) {
  return point.role == AttentionRole::cross ? "cross" : point.stack == Stack::encoder ? "encoder" : "decoder";
}

void keep_attention(InterventionCall& call, std::string_view kind) {
  if (call.spec.encoder.empty() || (kind != "encoder" && kind != "decoder" && kind != "cross")) {
    throw Error({"--intervene " + call.name + ", of", call.spec.encoder.empty() ? "an encoder-decoder" : "encoder, decoder or cross", call.spec.encoder.empty() ? call.spec.architecture : quoted(kind), ""}, Fault::usage);
  }
  std::erase_if(call.place.points, [&](const ProbePoint& point) { return attention_of(point) != kind; });
  if (call.place.points.empty()) throw Error({"--intervene " + call.name + ", of", "points that this attention has", std::string(kind), ""}, Fault::usage);
}

/// Maps of two texts beside those of each: positions of queries and keys mean different tokens in each.
void require_one_attention(const InterventionCall& call) {
  std::set<std::string_view> kinds;
  for (const ProbePoint& point : call.place.points) {
    if (is_square(point.site)) kinds.insert(attention_of(point));
  }
  if (kinds.size() <= 1) return;
  throw Error({"--intervene " + call.name, "one kind of attention of an encoder-decoder: of=encoder, of=decoder or of=cross", "maps of " + std::to_string(kinds.size()) + " kinds", ""}, Fault::usage);
}

void check_heads(const InterventionCall& call) {
  for (const ProbePoint& point : call.place.points) {
    const std::size_t heads = point_shape(call.spec, point).heads;
    for (const std::size_t head : call.place.heads) {
      if (head >= heads) throw Error({"--intervene, head", "0 to " + std::to_string(heads - 1) + ", of " + point_name(point), std::to_string(head), ""}, Fault::usage);
    }
  }
}

}  // namespace

const std::string& InterventionCall::text(std::string_view key) const {
  const auto found = values.find(key);
  if (found == values.end()) throw Error({"--intervene " + name, std::string(key) + "=...", "none", ""}, Fault::usage);
  return found->second;
}

double InterventionCall::number(std::string_view key, double fallback) const {
  if (!values.contains(key)) return fallback;
  double value = 0.0;
  if (!parse(text(key), value) || !std::isfinite(value) || std::abs(value) > 1e9) throw Error({"--intervene " + name + ", " + std::string(key), "a number up to 1e9", quoted(text(key)), ""}, Fault::usage);
  return value;
}

std::size_t InterventionCall::whole(std::string_view key) const { return whole_of(key, text(key)); }

std::vector<std::size_t> InterventionCall::list(std::string_view key) const {
  std::vector<std::size_t> numbers;
  if (!values.contains(key)) return numbers;
  for (const std::string_view part : split(text(key), '+')) numbers.push_back(whole_of(key, part));
  return numbers;
}

namespace {

struct ReadWord {
  const Intervention& intervention;
  InterventionCall call;
};

ReadWord read_word(const ModelSpec& spec, std::string_view word, std::uint64_t seed) {
  const std::size_t first = word.find(':');
  const Intervention& intervention = find(word.substr(0, first));
  std::string_view rest = first == std::string_view::npos ? std::string_view() : word.substr(first + 1);
  const std::size_t second = std::min(rest.find(':'), rest.size());
  std::string_view points = rest.substr(0, second), settings = rest.substr(std::min(second + 1, rest.size()));
  if (points.find('=') != std::string_view::npos) settings = std::exchange(points, {});  // no points, settings alone
  InterventionCall call{.spec = spec, .name = std::string(intervention.name), .model = spec.name, .place = {}, .values = {}, .seed = seed};
  std::vector<std::string> words;
  for (const std::string_view point : split(points.empty() ? intervention.points : points, '+')) words.emplace_back(point);
  if (words.front().empty()) throw Error({"--intervene " + call.name, "points to change: " + std::string(intervention.example), "none", ""}, Fault::usage);
  try {
    call.place.points = select_points(spec, words);
  } catch (const Error&) {  // which lists every point there is, under another flag's name
    std::string asked;
    for (const std::string& point : words) asked += (asked.empty() ? "" : "+") + point;
    throw Error({"--intervene " + call.name, "points of this model, which has " + std::to_string(spec.blocks.size()) + " blocks, with '+' between them", quoted(asked), "see `vitrine list points`"}, Fault::usage);
  }
  keep_writable(call, words);
  std::set<std::string> seen;
  for (const std::string_view setting : settings.empty() ? std::vector<std::string_view>() : split(settings, ',')) {
    const std::size_t equals = std::min(setting.find('='), setting.size());
    const std::string_view key = setting.substr(0, equals), value = setting.substr(std::min(equals + 1, setting.size()));
    if (!seen.insert(std::string(key)).second) throw Error({"--intervene " + call.name, "each key once: lists have a '+' between their numbers", quoted(key) + " twice", ""}, Fault::usage);
    if (key == "position") {
      call.place.positions = ranges_of(value);
    } else if (key == "of") {
      keep_attention(call, value);
    } else if (key != "head" && std::ranges::find(intervention.keys, key) == intervention.keys.end()) {
      throw Error({"--intervene " + call.name, "head, position, of" + std::string(intervention.keys.empty() ? "" : ", ") + joined(intervention.keys), quoted(key), ""}, Fault::usage);
    } else {
      call.values.emplace(key, value);
    }
  }
  if (!seen.contains("of")) require_one_attention(call);
  call.place.heads = call.list("head");
  check_heads(call);
  return {intervention, std::move(call)};
}

}  // namespace

std::optional<std::size_t> furthest_position(const ModelSpec& spec, std::string_view word) {
  const InterventionCall call = read_word(spec, word, 0).call;
  std::optional<std::size_t> furthest;
  for (const auto& [first, last] : call.place.positions) furthest = std::max(furthest.value_or(0), last == static_cast<std::size_t>(-1) ? first : last);
  for (const std::size_t key : call.list("key")) furthest = std::max(furthest.value_or(0), key);
  return furthest;
}

std::unique_ptr<Observer> make_intervention(const ModelSpec& spec, std::string_view word, std::uint64_t seed) {
  const ReadWord read = read_word(spec, word, seed);
  return read.intervention.make(read.call);
}

Access PlacedChange::access(const ProbePoint& point) const {
  return std::ranges::find(place_.points, point) == place_.points.end() ? Access::none : Access::write;
}

bool PlacedChange::chosen(const RowRef& row) const {
  const auto holds = [&](const auto& range) { return row.position >= range.first && row.position <= range.second; };
  return place_.positions.empty() || std::ranges::any_of(place_.positions, holds);
}

void PlacedChange::see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) {
  const ModelSpec& stack = *stack_of(spec_, point);
  const bool cut = is_square(point.site) && point.role == AttentionRole::self && stack.causal();
  for (std::size_t r = 0; r < rows.size(); ++r) {
    if (!chosen(rows[r])) continue;
    const std::size_t width = cut ? std::min<std::size_t>(values.extent(2), rows[r].position + 1) : values.extent(2);
    for (std::size_t h = 0; h < values.extent(1); ++h) {
      if (!place_.heads.empty() && std::ranges::find(place_.heads, h) == place_.heads.end()) continue;
      change({point, rows[r], h}, {&values(r, h, 0), width});
    }
  }
}

}  // namespace vitrine
