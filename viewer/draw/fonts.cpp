#include "viewer/draw/fonts.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <imgui.h>
#include <imgui_internal.h>

#include "core/base/error.h"

namespace vitrine {
namespace {

/// Fonts that an archive of scripts/package carries: VITRINE_FONTS says where, else they stand beside the program.
std::filesystem::path own_fonts() {
  if (const char* folder = std::getenv("VITRINE_FONTS")) return folder;
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path().parent_path() / "share" / "fonts";
}

/// Debian's packages, installed by scripts/install, or our own.
void add_fonts(std::initializer_list<const char*> files, const ImFontConfig& how, std::size_t most) {
  const std::filesystem::path own = own_fonts();
  const std::filesystem::path debian = "/usr/share/fonts";
  std::size_t added = 0;
  for (const std::filesystem::path file : files) {
    const std::filesystem::path path = std::filesystem::exists(debian / file) ? debian / file : own / file.filename();
    if (added < most && std::filesystem::exists(path) && ImGui::GetIO().Fonts->AddFontFromFileTTF(path.c_str(), 15.0f, &how) != nullptr) ++added;
  }
}

struct Range {
  unsigned first, last;
};

// Blocks of Unicode whose scripts are written by shaping: letters join, change places or stack.
constexpr std::array shaped{Range{0x0590, 0x08ff}, Range{0x0900, 0x109f}, Range{0x1780, 0x17ff}, Range{0x1a20, 0x1aaf}, Range{0x1b00, 0x1c4f},
                            Range{0xa800, 0xabff}, Range{0xfb1d, 0xfdff}, Range{0xfe70, 0xfefc}, Range{0x10a00, 0x11fff}};

bool is_shaped(unsigned code) {
  return std::any_of(shaped.begin(), shaped.end(), [&](const Range& range) { return code >= range.first && code <= range.last; });
}

bool has_glyph(unsigned code) {
  return code < 0x80 || (code <= IM_UNICODE_CODEPOINT_MAX && ImGui::GetFont()->IsGlyphInFont(static_cast<ImWchar>(code)));
}

bool is_drawn(unsigned code) { return !is_shaped(code) && has_glyph(code); }

/// Calls for each character of well-formed UTF-8 with its code and bytes.
template <class Function>
void for_each_character(std::string_view text, const Function& function) {
  for (std::size_t i = 0; i < text.size();) {
    unsigned code = 0;
    const int length = ImTextCharFromUtf8(&code, text.data() + i, text.data() + text.size());
    const std::size_t used = static_cast<std::size_t>(std::max(length, 1));
    function(code, text.substr(i, used));
    i += used;
  }
}

}  // namespace

void choose_fonts(const std::string& own) {
  ImFontConfig first, merged;
  merged.MergeMode = true;
  if (!own.empty() && (!std::filesystem::exists(own) || ImGui::GetIO().Fonts->AddFontFromFileTTF(own.c_str(), 15.0f, &first) == nullptr)) {
    throw Error({"--font", "a TrueType or OpenType font", quoted(own), ""}, Fault::usage);
  }
  const bool is_first = own.empty();
  add_fonts({"truetype/dejavu/DejaVuSans.ttf", "truetype/noto/NotoSans-Regular.ttf"}, is_first ? first : merged, 1);
  add_fonts({"truetype/noto/NotoSans-Regular.ttf", "truetype/noto/NotoSansSymbols2-Regular.ttf", "truetype/ancient-scripts/Symbola_hint.ttf"}, merged, 3);
  merged.FontNo = 2;  // of the collection's languages the simplified Chinese forms
  add_fonts({"opentype/noto/NotoSansCJK-Regular.ttc"}, merged, 1);
}

bool needs_code_points(std::string_view text) {
  bool any = false;
  for_each_character(text, [&](unsigned code, std::string_view) { any |= !is_drawn(code); });
  return any;
}

std::string drawable(std::string_view text) {
  std::string result;
  for_each_character(text, [&](unsigned code, std::string_view bytes) {
    if (is_drawn(code)) {
      result += bytes;
      return;
    }
    char name[16];
    std::snprintf(name, sizeof name, "U+%04X ", code);
    result += name;
  });
  if (!result.empty() && result.back() == ' ' && needs_code_points(text.substr(text.size() - std::min<std::size_t>(text.size(), 1)))) result.pop_back();
  return result;
}

std::vector<std::string> drawable_labels(const std::vector<std::string>& labels) {
  if (ImGui::GetCurrentContext() == nullptr) return labels;
  std::vector<std::string> drawn;
  for (const std::string& each : labels) drawn.push_back(drawable(each));
  return drawn;
}

}  // namespace vitrine
