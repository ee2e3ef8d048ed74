#include "core/decode/stop_strings.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"

namespace vitrine {

StopStrings::StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {
  for (const std::string& stop : stops_) {
    if (stop.empty()) throw Error({"--stop", "at least one byte", "an empty text", ""}, Fault::usage);
  }
}

std::string StopStrings::push(std::string_view text) {
  if (met_) return {};
  waiting_ += text;
  constexpr std::size_t none = std::string::npos;
  std::size_t begin = none, end = none, held = 0;  // of the string that is whole first; the longest end of the text that may begin one
  for (const std::string& stop : stops_) {
    const std::size_t found = waiting_.find(stop);
    if (found != none && std::pair(found + stop.size(), found) < std::pair(end, begin)) {
      begin = found;
      end = found + stop.size();
    }
    for (std::size_t length = std::min(stop.size() - 1, waiting_.size()); length > held; --length) {
      if (waiting_.ends_with(std::string_view(stop).substr(0, length))) held = length;
    }
  }
  met_ = begin != none;
  std::string said = waiting_.substr(0, met_ ? begin : waiting_.size() - held);
  waiting_.erase(0, met_ ? waiting_.size() : said.size());
  return said;
}

std::string StopStrings::finish() { return std::exchange(waiting_, {}); }

}  // namespace vitrine
