#include <GLFW/glfw3.h>
#include <emscripten.h>
#include <emscripten/html5.h>
#include <imgui.h>
#include <imgui_impl_glfw.h>
#include <imgui_impl_opengl3.h>
#include <imgui_internal.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <utility>

#include "viewer/draw/ink.h"
#include "viewer/draw/items.h"
#include "viewer/draw/look.h"
#include "viewer/draw/open_gl_internal.h"
#include "viewer/web/browser_font.h"
#include "viewer/web/pack_view.h"

// The program inside the page: page.html hands it packs and asks for its state.

EM_JS(void, ask_for_file, (), { Module.askForFile(); });
EM_JS(void, tell_head, (const char* label), { Module.headChanged(UTF8ToString(label)); });
// ImGui asks in every frame how everything was, to put it back. In a browser each question waits until another process has drawn all that
// it was told (200 ms a frame in SwiftShader). Nothing but ImGui draws here: the first answer stays good.
EM_JS(void, remember_answers, (), {
  const ask = GLctx.getParameter.bind(GLctx), known = new Map();
  GLctx.getParameter = (name) => {
    if (!known.has(name)) known.set(name, ask(name));
    return known.get(name);
  };
});

namespace vitrine {
namespace {

constexpr int frames_after_event = 3;  // ImGui needs some until what an event changed has its place

struct Page {
  GLFWwindow* window = nullptr;
  PackView view;
  int width = 0, height = 0;  // pixels of the canvas
  float scale = 0.0f;         // of a pixel of style sheets
  int again = frames_after_event;
  bool always = false;  // for measurements
  std::uint64_t frames = 0;
  std::string head, answer;
  std::string bytes;  // of the pack that comes
};

Page& page() {
  static Page the_page;
  return the_page;
}

/// GLFW of emscripten knows nothing of displays whose pixels are smaller: the canvas has all of them, and its style its size.
void fit_canvas(Page& page) {
  double width = 0.0, height = 0.0;
  emscripten_get_element_css_size("#canvas", &width, &height);
  const double scale = emscripten_get_device_pixel_ratio();
  const int wide = std::max(1, static_cast<int>(std::lround(width * scale))), high = std::max(1, static_cast<int>(std::lround(height * scale)));
  if (wide == page.width && high == page.height && static_cast<float>(scale) == page.scale) return;
  page.width = wide;
  page.height = high;
  page.scale = static_cast<float>(scale);
  apply_window_look({light_look(), page.scale, {}});
  glfwSetWindowSize(page.window, wide, high);
  page.again = frames_after_event;
}

void draw(Page& page) {
  ImGui_ImplOpenGL3_NewFrame();
  ImGui_ImplGlfw_NewFrame();
  ImGui::NewFrame();
  forget_items();
  if (page.view.frame()) page.again = frames_after_event;
  ImGui::Render();
  const ImVec4 back = ImGui::GetStyleColorVec4(ImGuiCol_WindowBg);
  glViewport(0, 0, page.width, page.height);
  glClearColor(back.x, back.y, back.z, 1.0f);
  glClear(GL_COLOR_BUFFER_BIT);
  ImGui_ImplOpenGL3_RenderDrawData(ImGui::GetDrawData());
  ++page.frames;
  if (page.view.wants_file()) ask_for_file();
  if (page.view.chosen() != page.head) tell_head((page.head = page.view.chosen()).c_str());
}

/// Called for every picture of the display; an idle page costs nothing.
void tick() {
  Page& the_page = page();
  fit_canvas(the_page);
  if (ImGui::GetCurrentContext()->InputEventsQueue.Size > 0) the_page.again = frames_after_event;
  if (the_page.again <= 0 && !the_page.always) return;
  --the_page.again;
  draw(the_page);
}

void start() {
  Page& the_page = page();
  glfwInit();
  for (const int unused : {GLFW_ALPHA_BITS, GLFW_DEPTH_BITS, GLFW_STENCIL_BITS}) glfwWindowHint(unused, 0);
  the_page.window = glfwCreateWindow(640, 480, "Vitrine", nullptr, nullptr);
  glfwMakeContextCurrent(the_page.window);
  remember_answers();
  ImGui::CreateContext();
  ImGui::GetIO().IniFilename = nullptr;
  choose_browser_font();
  apply_window_look({});
  ImGui_ImplGlfw_InitForOpenGL(the_page.window, true);
  ImGui_ImplGlfw_InstallEmscriptenCallbacks(the_page.window, "#canvas");
  ImGui_ImplOpenGL3_Init("#version 300 es");
  emscripten_set_main_loop(tick, 0, 0);
}

}  // namespace
}  // namespace vitrine

extern "C" {

/// Where the page writes the bytes of a pack that it has unpacked, before it calls vitrine_open; null where there is no memory for them.
EMSCRIPTEN_KEEPALIVE char* vitrine_room(std::size_t size) {
  try {
    vitrine::page().bytes.assign(size, '\0');
    return vitrine::page().bytes.data();
  } catch (const std::exception&) {
    return nullptr;
  }
}

/// Shows that pack. Returns what is wrong with it, or nothing. The answer is good until the next call.
EMSCRIPTEN_KEEPALIVE const char* vitrine_open(const char* name) {
  vitrine::Page& page = vitrine::page();
  page.answer.clear();
  try {
    page.view.open(std::exchange(page.bytes, {}), name);
  } catch (const std::exception& error) {
    page.answer = error.what();
  }
  page.again = vitrine::frames_after_event;
  return page.answer.c_str();
}

EMSCRIPTEN_KEEPALIVE int vitrine_choose(const char* label) {
  vitrine::page().again = vitrine::frames_after_event;
  return vitrine::page().view.choose(label) ? 1 : 0;
}

/// Draws every picture, also where nothing happens.
EMSCRIPTEN_KEEPALIVE void vitrine_draw_always(int always) { vitrine::page().always = always != 0; }

/// JSON: what is shown, and where things are, in pixels of the style sheet.
EMSCRIPTEN_KEEPALIVE const char* vitrine_state() {
  vitrine::Page& page = vitrine::page();
  vitrine::Json items = vitrine::Json::object();
  const auto place = [&](float pixels) { return vitrine::Json(static_cast<double>(pixels / std::max(page.scale, 1e-3f))); };
  for (const auto& [name, where] : vitrine::all_items()) {
    items.set(name, vitrine::Json::array().push(place(where.from.x)).push(place(where.from.y)).push(place(where.to.x)).push(place(where.to.y)));
  }
  page.answer = page.view.state().set("frames", page.frames).set("scale", static_cast<double>(page.scale)).set("items", std::move(items)).dump();
  return page.answer.c_str();
}
}

int main() {
  vitrine::start();
  return 0;
}
