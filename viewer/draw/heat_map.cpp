#include "viewer/draw/heat_map.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <imgui.h>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "viewer/draw/open_gl_internal.h"

namespace vitrine {
namespace {

// Drivers of browsers need not keep NaN and infinity: numbers that no weight has stand for them.
constexpr float masked_number = -3e38f, infinite_number = 3e38f;

// The quad is made of the vertex number alone; no buffers.
constexpr const char* vertex_source = R"(
uniform vec4 corners;  // x0, y0, x1, y1 in clip space
uniform vec4 part;     // first column, first row, columns, rows
out vec2 place;        // in cells
void main() {
  vec2 at = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  place = part.xy + at * part.zw;
  gl_Position = vec4(mix(corners.xy, corners.zw, at), 0.0, 1.0);
})";

// What both fragment shaders share: numbers become colours.
constexpr const char* fragment_head = R"(
uniform sampler2D numbers;   // largest, mean
uniform sampler2D palettes;  // a row a colour map
uniform vec2 range;          // low, high
uniform ivec3 choice;        // row of the palette, spread (0 linear, 1 root, 2 logarithm), 1 = mean
uniform vec3 masked;
in vec2 place;
out vec4 color;
void paint(float value) {
  float slack = (range.y - range.x) * 1e-2;  // factors and pyramids of 16 bits make a weight of 1 a little more
  float t = (value - range.x) / max(range.y - range.x, 1e-30);
  if (choice.y == 1) t = sqrt(max(t, 0.0));
  if (choice.y == 2) {
    float low = range.x > 0.0 ? range.x : range.y * 1e-6;
    t = log(max(value, low) / low) / max(log(range.y / low), 1e-30);
  }
  vec3 shade = texelFetch(palettes, ivec2(int(clamp(t, 0.0, 1.0) * 255.0 + 0.5), choice.x), 0).rgb;
  shade = value > range.y + slack ? vec3(1.0) : shade;
  shade = value < range.x - slack && choice.y != 2 ? vec3(0.0) : shade;
  color = vec4(value > 1e38 ? vec3(1.0, 0.0, 1.0) : shade, 1.0);
}
bool is_masked(float value) { return value < -1e38; }
void paint_masked() {
  float stripe = mod(gl_FragCoord.x + gl_FragCoord.y, 8.0) < 1.0 ? 0.06 : 0.0;
  color = vec4(masked + stripe, 1.0);
}
)";

// Where a cell is at least a pixel large.
constexpr const char* nearest_source = R"(
void main() {
  ivec2 size = textureSize(numbers, 0);
  vec2 cell = texelFetch(numbers, clamp(ivec2(place), ivec2(0), size - 1), 0).rg;
  float value = choice.z == 1 ? cell.g : cell.r;
  if (is_masked(value)) paint_masked();
  else paint(value);
})";

// A pixel that covers several cells shows the largest of them: a spike must not vanish between samples.
constexpr const char* footprint_source = R"(
void main() {
  vec2 size = vec2(textureSize(numbers, 0));
  vec2 reach = fwidth(place);
  ivec2 first = ivec2(clamp(floor(place - reach * 0.5 + vec2(0.001)), vec2(0.0), size - 1.0));
  ivec2 last = ivec2(clamp(ceil(place + reach * 0.5 - vec2(0.001)) - 1.0, vec2(0.0), size - 1.0));
  if (reach.x <= 1.0) first.x = last.x = int(clamp(floor(place.x), 0.0, size.x - 1.0));
  if (reach.y <= 1.0) first.y = last.y = int(clamp(floor(place.y), 0.0, size.y - 1.0));
  float value = 0.0, count = 0.0;
  for (int y = first.y; y <= last.y && y < first.y + 64; ++y) {
    for (int x = first.x; x <= last.x && x < first.x + 64; ++x) {
      vec2 cell = texelFetch(numbers, ivec2(x, y), 0).rg;
      if (is_masked(cell.r)) continue;
      count += 1.0;
      value = choice.z == 1 ? value + cell.g : count == 1.0 ? cell.r : max(value, cell.r);
    }
  }
  if (count == 0.0) paint_masked();
  else paint(choice.z == 1 ? value / count : value);
})";

GLuint compile(GLenum kind, const char* head, const char* body) {
  const GLuint shader = glCreateShader(kind);
  const char* sources[] = {shader_language, head, body};
  glShaderSource(shader, 3, sources, nullptr);
  glCompileShader(shader);
  GLint good = 0;
  glGetShaderiv(shader, GL_COMPILE_STATUS, &good);
  char log[512] = {};
  if (good == 0) glGetShaderInfoLog(shader, sizeof log, nullptr, log);
  if (good == 0) throw std::runtime_error(std::string("a shader does not compile: ") + log);
  return shader;
}

constexpr std::array palette_order{ColorMap::viridis, ColorMap::cividis, ColorMap::greys, ColorMap::diverging};

GLuint make_palettes() {
  std::vector<std::uint8_t> colors;  // [map, position, rgba]
  for (const ColorMap map : palette_order) {
    for (int i = 0; i < 256; ++i) {
      const Color color = color_at(map, i / 255.0);
      for (const float each : {color.red, color.green, color.blue, 1.0f}) colors.push_back(static_cast<std::uint8_t>(each * 255.0f + 0.5f));
    }
  }
  GLuint texture = 0;
  glGenTextures(1, &texture);
  glBindTexture(GL_TEXTURE_2D, texture);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_NEAREST);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_NEAREST);
  glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA8, 256, static_cast<GLsizei>(palette_order.size()), 0, GL_RGBA, GL_UNSIGNED_BYTE, colors.data());
  return texture;
}

struct Program {
  GLuint program = 0, vertices = 0, palettes = 0;
  GLint corners = 0, part = 0, range = 0, choice = 0, masked = 0;

  explicit Program(const char* fragment_body) {
    program = glCreateProgram();
    glAttachShader(program, compile(GL_VERTEX_SHADER, vertex_source, ""));
    glAttachShader(program, compile(GL_FRAGMENT_SHADER, fragment_head, fragment_body));
    glLinkProgram(program);
    GLint good = 0;
    glGetProgramiv(program, GL_LINK_STATUS, &good);
    VITRINE_CHECK(good != 0);
    glUseProgram(program);
    glUniform1i(glGetUniformLocation(program, "numbers"), 0);
    glUniform1i(glGetUniformLocation(program, "palettes"), 1);
    corners = glGetUniformLocation(program, "corners");
    part = glGetUniformLocation(program, "part");
    range = glGetUniformLocation(program, "range");
    choice = glGetUniformLocation(program, "choice");
    masked = glGetUniformLocation(program, "masked");
    glGenVertexArrays(1, &vertices);
    palettes = make_palettes();
  }
};

/// Those of a context; a process has one after another.
struct Programs {
  Program nearest{nearest_source}, footprint{footprint_source};
};
std::unique_ptr<Programs>& made_programs() {
  static std::unique_ptr<Programs> made;
  return made;
}
const Programs& programs() {
  std::unique_ptr<Programs>& made = made_programs();
  if (!made) made = std::make_unique<Programs>();
  return *made;
}

/// In front of the parts that it draws.
struct alignas(16) Quads {
  GLuint texture;
  ColorScale scale;
  ImVec4 masked;
  std::size_t count;
};

void set_scale(const Program& used, const Quads& quads) {
  glUseProgram(used.program);
  glUniform2f(used.range, quads.scale.low, quads.scale.high);
  const auto palette = std::find(palette_order.begin(), palette_order.end(), quads.scale.colors) - palette_order.begin();
  glUniform3i(used.choice, static_cast<GLint>(palette), static_cast<GLint>(quads.scale.spread), quads.scale.reduction == Reduction::mean ? 1 : 0);
  glUniform3f(used.masked, quads.masked.x, quads.masked.y, quads.masked.z);
  glActiveTexture(GL_TEXTURE1);
  glBindTexture(GL_TEXTURE_2D, used.palettes);
  glActiveTexture(GL_TEXTURE0);
  glBindTexture(GL_TEXTURE_2D, quads.texture);
  glBindVertexArray(used.vertices);
}

const Program& program_for(const HeatMap::Placed& placed) {
  const float width = placed.bottom_right.x - placed.top_left.x, height = placed.bottom_right.y - placed.top_left.y;
  const float cells = std::max(placed.part.columns / std::max(width, 1e-6f), placed.part.rows / std::max(height, 1e-6f));
  return cells <= 1.0001f ? programs().nearest : programs().footprint;
}

void draw_quads(const ImDrawList*, const ImDrawCmd* command) {
  const Quads& quads = *static_cast<const Quads*>(command->UserCallbackData);
  const auto* placed = reinterpret_cast<const HeatMap::Placed*>(static_cast<const std::byte*>(command->UserCallbackData) + sizeof(Quads));
  const ImDrawData* data = ImGui::GetDrawData();
  const ImVec2 size = data->DisplaySize, from = data->DisplayPos, pixels = data->FramebufferScale;
  const ImVec4 clip = command->ClipRect;
  glScissor(static_cast<GLint>((clip.x - from.x) * pixels.x), static_cast<GLint>((from.y + size.y - clip.w) * pixels.y),
            static_cast<GLsizei>((clip.z - clip.x) * pixels.x), static_cast<GLsizei>((clip.w - clip.y) * pixels.y));
  glBindSampler(0, 0);  // ImGui's own sampler would filter
  glBindSampler(1, 0);
  const Program* used = nullptr;
  for (std::size_t i = 0; i < quads.count; ++i) {
    const HeatMap::Placed& each = placed[i];
    const Program* wanted = &program_for(each);
    if (std::exchange(used, wanted) != wanted) set_scale(*wanted, quads);
    glUniform4f(used->corners, (each.top_left.x - from.x) / size.x * 2 - 1, 1 - (each.top_left.y - from.y) / size.y * 2, (each.bottom_right.x - from.x) / size.x * 2 - 1,
                1 - (each.bottom_right.y - from.y) / size.y * 2);
    glUniform4f(used->part, each.part.column, each.part.row, each.part.columns, each.part.rows);
    glDrawArrays(GL_TRIANGLE_STRIP, 0, 4);
  }
}

float for_shader(float value) { return std::isnan(value) ? masked_number : std::isinf(value) ? infinite_number : value; }

/// [cells, 2]
std::vector<float> side_by_side(std::span<const float> largest, std::span<const float> mean) {
  VITRINE_CHECK(largest.size() == mean.size());
  std::vector<float> pairs(2 * largest.size());
  for (std::size_t i = 0; i < largest.size(); ++i) pairs[2 * i] = for_shader(largest[i]), pairs[2 * i + 1] = for_shader(mean[i]);
  return pairs;
}

}  // namespace

HeatMap::~HeatMap() {
  if (texture_ != 0) glDeleteTextures(1, &texture_);
}

void HeatMap::upload(std::span<const float> largest, std::span<const float> mean, std::size_t rows, std::size_t columns) {
  VITRINE_CHECK(largest.size() == rows * columns && rows <= 8192 && columns <= 8192);
  if (texture_ == 0) glGenTextures(1, &texture_);
  glBindTexture(GL_TEXTURE_2D, texture_);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_NEAREST);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_NEAREST);
  glPixelStorei(GL_UNPACK_ALIGNMENT, 4);
  glTexImage2D(GL_TEXTURE_2D, 0, GL_RG32F, static_cast<GLsizei>(columns), static_cast<GLsizei>(rows), 0, GL_RG, GL_FLOAT, side_by_side(largest, mean).data());
  rows_ = rows;
  columns_ = columns;
}

void HeatMap::replace(std::span<const float> largest, std::span<const float> mean, std::size_t row, std::size_t column, std::size_t rows, std::size_t columns) {
  VITRINE_CHECK(largest.size() == rows * columns && row + rows <= rows_ && column + columns <= columns_);
  glBindTexture(GL_TEXTURE_2D, texture_);
  glPixelStorei(GL_UNPACK_ALIGNMENT, 4);
  glTexSubImage2D(GL_TEXTURE_2D, 0, static_cast<GLint>(column), static_cast<GLint>(row), static_cast<GLsizei>(columns), static_cast<GLsizei>(rows), GL_RG, GL_FLOAT,
                  side_by_side(largest, mean).data());
}

void HeatMap::draw(Corner top_left, Corner bottom_right, const ColorScale& scale) const {
  draw_part({0.0f, 0.0f, static_cast<float>(rows_), static_cast<float>(columns_)}, top_left, bottom_right, scale);
}

void HeatMap::draw_part(const Part& part, Corner top_left, Corner bottom_right, const ColorScale& scale) const {
  const Placed placed{part, top_left, bottom_right};
  draw_parts({&placed, 1}, scale);
}

void HeatMap::draw_parts(std::span<const Placed> parts, const ColorScale& scale) const {
  if (empty() || parts.empty()) return;
  const ImVec4 background = ImGui::GetStyleColorVec4(ImGuiCol_WindowBg);
  const float shift = background.x > 0.5f ? -0.12f : 0.06f;
  const Quads quads{texture_, scale, {background.x + shift, background.y + shift, background.z + shift, 1.0f}, parts.size()};
  std::vector<std::byte> bytes(sizeof quads + parts.size_bytes());
  std::memcpy(bytes.data(), &quads, sizeof quads);
  std::memcpy(bytes.data() + sizeof quads, parts.data(), parts.size_bytes());
  ImDrawList* list = ImGui::GetWindowDrawList();
  list->AddCallback(draw_quads, bytes.data(), bytes.size());  // ImGui keeps a copy
  list->AddCallback(ImDrawCallback_ResetRenderState, nullptr);
}

void forget_heat_map_programs() { made_programs().reset(); }

void draw_in_whole_window(const HeatMap& map, Corner top_left, Corner bottom_right, const ColorScale& scale) {
  ImGui::SetNextWindowPos({0, 0});
  ImGui::SetNextWindowSize(ImGui::GetIO().DisplaySize);
  ImGui::Begin("map", nullptr, ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoBackground);
  ImGui::PushClipRect({0, 0}, ImGui::GetIO().DisplaySize, false);
  map.draw(top_left, bottom_right, scale);
  ImGui::PopClipRect();
  ImGui::End();
}

}  // namespace vitrine
