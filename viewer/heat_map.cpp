#include "viewer/heat_map.h"

#define GL_GLEXT_PROTOTYPES
#include <GL/gl.h>
#include <GL/glext.h>

#include <algorithm>
#include <imgui.h>
#include <stdexcept>
#include <string>

#include "core/base/error.h"

namespace vitrine {
namespace {

// Viridis at eleven even places, as published; in between, straight lines.
constexpr std::array<std::array<float, 3>, 11> stops{{{0.267f, 0.005f, 0.329f},
                                                      {0.283f, 0.141f, 0.458f},
                                                      {0.254f, 0.265f, 0.530f},
                                                      {0.207f, 0.372f, 0.553f},
                                                      {0.164f, 0.471f, 0.558f},
                                                      {0.128f, 0.567f, 0.551f},
                                                      {0.135f, 0.659f, 0.518f},
                                                      {0.267f, 0.749f, 0.441f},
                                                      {0.478f, 0.821f, 0.318f},
                                                      {0.741f, 0.873f, 0.150f},
                                                      {0.993f, 0.906f, 0.144f}}};

// The quad is made of the vertex number alone; no buffers.
constexpr const char* vertex_source = R"(#version 330 core
uniform vec4 corners;  // x0, y0, x1, y1 in clip space
out vec2 place;
void main() {
  vec2 at = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  place = at;
  gl_Position = vec4(mix(corners.xy, corners.zw, at), 0.0, 1.0);
})";

// A pixel that covers several cells shows the largest of them: a spike must not vanish between samples.
constexpr const char* fragment_source = R"(#version 330 core
uniform sampler2D numbers;
uniform vec3 scale;  // low, high, 1 = square root
uniform vec3 palette[11];
in vec2 place;
out vec4 color;
void main() {
  vec2 size = vec2(textureSize(numbers, 0));
  vec2 reach = max(fwidth(place) * size, vec2(0.0));
  vec2 center = place * size;
  ivec2 first = ivec2(clamp(floor(center - reach * 0.5 + vec2(0.001)), vec2(0.0), size - 1.0));
  ivec2 last = ivec2(clamp(ceil(center + reach * 0.5 - vec2(0.001)) - 1.0, vec2(0.0), size - 1.0));
  if (reach.x <= 1.0) first.x = last.x = int(clamp(floor(center.x), 0.0, size.x - 1.0));
  if (reach.y <= 1.0) first.y = last.y = int(clamp(floor(center.y), 0.0, size.y - 1.0));
  bool any = false;
  float largest = 0.0;
  for (int y = first.y; y <= last.y && y < first.y + 64; ++y) {
    for (int x = first.x; x <= last.x && x < first.x + 64; ++x) {
      float value = texelFetch(numbers, ivec2(x, y), 0).r;
      if (!isnan(value)) {
        largest = any ? max(largest, value) : value;
        any = true;
      }
    }
  }
  if (!any) {
    color = vec4(0.13, 0.13, 0.15, 1.0);
    return;
  }
  float t = clamp((largest - scale.x) / max(scale.y - scale.x, 1e-30), 0.0, 1.0);
  if (scale.z > 0.5) t = sqrt(t);
  int stop = min(int(t * 10.0), 9);
  color = vec4(mix(palette[stop], palette[stop + 1], t * 10.0 - float(stop)), 1.0);
})";

GLuint compile(GLenum kind, const char* source) {
  const GLuint shader = glCreateShader(kind);
  glShaderSource(shader, 1, &source, nullptr);
  glCompileShader(shader);
  GLint good = 0;
  glGetShaderiv(shader, GL_COMPILE_STATUS, &good);
  char log[512] = {};
  if (good == 0) glGetShaderInfoLog(shader, sizeof log, nullptr, log);
  if (good == 0) throw std::runtime_error(std::string("a shader does not compile: ") + log);
  return shader;
}

struct Program {
  GLuint program = 0, vertices = 0;
  GLint corners = 0, scale = 0;
};

/// One for the process: it has one context.
const Program& program() {
  static const Program made = [] {
    Program result;
    result.program = glCreateProgram();
    glAttachShader(result.program, compile(GL_VERTEX_SHADER, vertex_source));
    glAttachShader(result.program, compile(GL_FRAGMENT_SHADER, fragment_source));
    glLinkProgram(result.program);
    GLint good = 0;
    glGetProgramiv(result.program, GL_LINK_STATUS, &good);
    VITRINE_CHECK(good != 0);
    glUseProgram(result.program);
    glUniform1i(glGetUniformLocation(result.program, "numbers"), 0);
    glUniform3fv(glGetUniformLocation(result.program, "palette"), 11, stops[0].data());
    result.corners = glGetUniformLocation(result.program, "corners");
    result.scale = glGetUniformLocation(result.program, "scale");
    glGenVertexArrays(1, &result.vertices);
    return result;
  }();
  return made;
}

struct Quad {
  GLuint texture;
  float x0, y0, x1, y1;
  ColorScale scale;
};

void draw_quad(const ImDrawList*, const ImDrawCmd* command) {
  const Quad& quad = *static_cast<const Quad*>(command->UserCallbackData);
  const ImVec2 size = ImGui::GetDrawData()->DisplaySize, pixels = ImGui::GetDrawData()->FramebufferScale;
  const ImVec4 clip = command->ClipRect;
  glScissor(static_cast<GLint>(clip.x * pixels.x), static_cast<GLint>((size.y - clip.w) * pixels.y),
            static_cast<GLsizei>((clip.z - clip.x) * pixels.x), static_cast<GLsizei>((clip.w - clip.y) * pixels.y));
  const Program& used = program();
  glUseProgram(used.program);
  glUniform4f(used.corners, quad.x0 / size.x * 2 - 1, 1 - quad.y0 / size.y * 2, quad.x1 / size.x * 2 - 1, 1 - quad.y1 / size.y * 2);
  glUniform3f(used.scale, quad.scale.low, quad.scale.high, quad.scale.square_root ? 1.0f : 0.0f);
  glActiveTexture(GL_TEXTURE0);
  glBindSampler(0, 0);  // ImGui's own sampler would filter
  glBindTexture(GL_TEXTURE_2D, quad.texture);
  glBindVertexArray(used.vertices);
  glDrawArrays(GL_TRIANGLE_STRIP, 0, 4);
}

}  // namespace

std::array<float, 3> viridis(float position) {
  const float at = std::clamp(position, 0.0f, 1.0f) * 10.0f;
  const auto stop = std::min(static_cast<std::size_t>(at), std::size_t{9});
  std::array<float, 3> color{};
  for (std::size_t c = 0; c < 3; ++c) color[c] = stops[stop][c] + (stops[stop + 1][c] - stops[stop][c]) * (at - static_cast<float>(stop));
  return color;
}

HeatMap::~HeatMap() {
  if (texture_ != 0) glDeleteTextures(1, &texture_);
}

void HeatMap::upload(std::span<const float> values, std::size_t rows, std::size_t cols) {
  VITRINE_CHECK(values.size() == rows * cols && rows <= 8192 && cols <= 8192);
  if (texture_ == 0) glGenTextures(1, &texture_);
  glBindTexture(GL_TEXTURE_2D, texture_);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_NEAREST);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_NEAREST);
  glPixelStorei(GL_UNPACK_ALIGNMENT, 4);
  glTexImage2D(GL_TEXTURE_2D, 0, GL_R32F, static_cast<GLsizei>(cols), static_cast<GLsizei>(rows), 0, GL_RED, GL_FLOAT, values.data());
  rows_ = rows;
  cols_ = cols;
}

void HeatMap::draw(Corner top_left, Corner bottom_right, const ColorScale& scale) const {
  if (empty()) return;
  Quad quad{texture_, top_left.x, top_left.y, bottom_right.x, bottom_right.y, scale};
  ImDrawList* list = ImGui::GetWindowDrawList();
  list->AddCallback(draw_quad, &quad, sizeof quad);  // ImGui keeps a copy
  list->AddCallback(ImDrawCallback_ResetRenderState, nullptr);
}

void draw_in_whole_window(const HeatMap& map, HeatMap::Corner top_left, HeatMap::Corner bottom_right) {
  ImGui::SetNextWindowPos({0, 0});
  ImGui::SetNextWindowSize(ImGui::GetIO().DisplaySize);
  ImGui::Begin("map", nullptr, ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoBackground);
  ImGui::PushClipRect({0, 0}, ImGui::GetIO().DisplaySize, false);
  map.draw(top_left, bottom_right, {0.0f, 1.0f, false});
  ImGui::PopClipRect();
  ImGui::End();
}

}  // namespace vitrine
