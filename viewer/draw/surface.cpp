#include "viewer/draw/surface.h"

#define EGL_EGLEXT_PROTOTYPES
#define GL_GLEXT_PROTOTYPES
#include <EGL/egl.h>
#include <EGL/eglext.h>
#include <GL/gl.h>
#include <GL/glext.h>
#include <GLFW/glfw3.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <imgui.h>
#include <imgui_impl_glfw.h>
#include <imgui_impl_opengl3.h>
#include <implot.h>
#include <thread>

#include "core/base/error.h"
#include "viewer/draw/fonts.h"
#include "viewer/draw/heat_map.h"
#include "viewer/draw/items.h"

namespace vitrine {
namespace {

constexpr const char* glsl_version = "#version 330 core";
constexpr int most_frames = 20000;   // of an offscreen picture: a panel that never settles must not hang a script
constexpr int settled_frames = 4;
constexpr int largest_tile = 4096;     // of pixels that are drawn at once: every OpenGL can
constexpr int frames_after_event = 3;  // ImGui needs some until what an event changed has its place

std::atomic<bool> window_exists{false};

/// ImGui and ImPlot while a surface exists.
class Interface {
 public:
  explicit Interface(const Look& look) {
    ImGui::CreateContext();
    ImPlot::CreateContext();
    ImGuiIO& io = ImGui::GetIO();
    io.IniFilename = nullptr;
    io.ConfigFlags |= ImGuiConfigFlags_DockingEnable | ImGuiConfigFlags_NavEnableKeyboard;
    io.ConfigWindowsMoveFromTitleBarOnly = true;
    choose_fonts(look.font);
    apply_look(look);
  }
  ~Interface() {
    forget_heat_map_programs();
    ImGui_ImplOpenGL3_Shutdown();
    ImPlot::DestroyContext();
    ImGui::DestroyContext();
  }
};

void draw_frame(int width, int height) {
  ImGui::Render();
  const ImVec4 back = ImGui::GetStyleColorVec4(ImGuiCol_WindowBg);
  glViewport(0, 0, width, height);
  glClearColor(back.x, back.y, back.z, 1.0f);
  glClear(GL_COLOR_BUFFER_BIT);
  ImGui_ImplOpenGL3_RenderDrawData(ImGui::GetDrawData());
}

struct GlfwSession {
  GlfwSession() {
    if (glfwInit() != GLFW_TRUE) {
      throw Error({"DISPLAY", "a display", "none", "use --screenshot out.png or --export PANEL out.svg, which need none"});
    }
  }
  ~GlfwSession() {
    window_exists = false;
    glfwTerminate();
  }
};

void on_drop(GLFWwindow* window, int count, const char** paths) {
  static_cast<Scene*>(glfwGetWindowUserPointer(window))->dropped({paths, paths + count});
}

/// An OpenGL context without any surface, and a framebuffer to draw into.
class Offscreen {
 public:
  explicit Offscreen(PixelSize size) {
    const auto get = reinterpret_cast<PFNEGLGETPLATFORMDISPLAYEXTPROC>(eglGetProcAddress("eglGetPlatformDisplayEXT"));
    if (get != nullptr) display_ = get(EGL_PLATFORM_SURFACELESS_MESA, EGL_DEFAULT_DISPLAY, nullptr);
    if (display_ == EGL_NO_DISPLAY || eglInitialize(display_, nullptr, nullptr) != EGL_TRUE || eglBindAPI(EGL_OPENGL_API) != EGL_TRUE) {
      fail("EGL without a surface");
    }
    const EGLint wanted[] = {EGL_SURFACE_TYPE, 0, EGL_RENDERABLE_TYPE, EGL_OPENGL_BIT, EGL_NONE};
    EGLConfig config = EGL_NO_CONFIG_KHR;
    EGLint count = 0;
    eglChooseConfig(display_, wanted, &config, 1, &count);
    const EGLint version[] = {EGL_CONTEXT_MAJOR_VERSION, 3, EGL_CONTEXT_MINOR_VERSION, 3, EGL_CONTEXT_OPENGL_PROFILE_MASK,
                              EGL_CONTEXT_OPENGL_CORE_PROFILE_BIT, EGL_NONE};
    context_ = eglCreateContext(display_, count > 0 ? config : EGL_NO_CONFIG_KHR, EGL_NO_CONTEXT, version);
    if (context_ == EGL_NO_CONTEXT || eglMakeCurrent(display_, EGL_NO_SURFACE, EGL_NO_SURFACE, context_) != EGL_TRUE) {
      fail("OpenGL 3.3");
    }
    glGenRenderbuffers(1, &color_);
    glBindRenderbuffer(GL_RENDERBUFFER, color_);
    glRenderbufferStorage(GL_RENDERBUFFER, GL_RGBA8, size.width, size.height);
    glGenFramebuffers(1, &target_);
    glBindFramebuffer(GL_FRAMEBUFFER, target_);
    glFramebufferRenderbuffer(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_RENDERBUFFER, color_);
    if (glCheckFramebufferStatus(GL_FRAMEBUFFER) != GL_FRAMEBUFFER_COMPLETE) fail("a picture of this size");
  }
  ~Offscreen() {
    eglMakeCurrent(display_, EGL_NO_SURFACE, EGL_NO_SURFACE, EGL_NO_CONTEXT);
    eglDestroyContext(display_, context_);
    eglTerminate(display_);
  }

 private:
  [[noreturn]] static void fail(const char* expected) {
    throw Error({"vitrine-viewer without a display", expected, "none", "install Mesa (Debian: libegl-mesa0 libgl1-mesa-dri)"});
  }
  EGLDisplay display_ = EGL_NO_DISPLAY;
  EGLContext context_ = EGL_NO_CONTEXT;
  GLuint color_ = 0, target_ = 0;
};

}  // namespace

void apply_look(const Look& look) {
  apply_window_look(look);
  look.light ? ImPlot::StyleColorsLight() : ImPlot::StyleColorsDark();
}

void run_window(const std::string& title, PixelSize size, const Look& look, const MakeScene& make) {
  const GlfwSession session;
  glfwWindowHint(GLFW_CONTEXT_VERSION_MAJOR, 3);
  glfwWindowHint(GLFW_CONTEXT_VERSION_MINOR, 3);
  glfwWindowHint(GLFW_OPENGL_PROFILE, GLFW_OPENGL_CORE_PROFILE);
  glfwWindowHint(GLFW_SCALE_TO_MONITOR, GLFW_TRUE);
  GLFWwindow* window = glfwCreateWindow(size.width, size.height, title.c_str(), nullptr, nullptr);
  if (window == nullptr) throw Error({"DISPLAY", "a window with OpenGL 3.3", "none", "use --screenshot out.png"});
  glfwMakeContextCurrent(window);
  glfwSwapInterval(1);
  {
    const Interface interface(look);
    float x_scale = 1.0f, y_scale = 1.0f;
    glfwGetWindowContentScale(window, &x_scale, &y_scale);
    ImGui::GetStyle().FontScaleDpi = std::max(x_scale, 0.5f);
    ImGui_ImplGlfw_InitForOpenGL(window, true);
    ImGui_ImplOpenGL3_Init(glsl_version);
    const std::unique_ptr<Scene> scene = make();
    glfwSetWindowUserPointer(window, scene.get());
    glfwSetDropCallback(window, on_drop);
    window_exists = true;
    for (int again = frames_after_event; glfwWindowShouldClose(window) == GLFW_FALSE && !scene->wants_to_close();) {
      if (again > 0) {
        glfwPollEvents();
        --again;
      } else {
        glfwWaitEventsTimeout(1.0);  // an idle window costs nothing; files that grow are looked at
        again = frames_after_event;
      }
      if (glfwGetWindowAttrib(window, GLFW_ICONIFIED) == GLFW_TRUE) {
        glfwWaitEventsTimeout(1.0);
        continue;
      }
      ImGui_ImplOpenGL3_NewFrame();
      ImGui_ImplGlfw_NewFrame();
      ImGui::NewFrame();
      forget_items();
      scene->frame();  // work in the background wakes the window when it is done
      int width = 0, height = 0;
      glfwGetFramebufferSize(window, &width, &height);
      draw_frame(width, height);
      glfwSwapBuffers(window);
    }
    window_exists = false;
    ImGui_ImplGlfw_Shutdown();
  }
  glfwDestroyWindow(window);
}

void wake_window() {
  if (window_exists) glfwPostEmptyEvent();
}

/// Draws what lies in a rectangle of the frame that ImGui::Render made.
void draw_tile(ImDrawData& data, int x, int y, PixelSize tile) {
  data.DisplayPos = {static_cast<float>(x), static_cast<float>(y)};
  data.DisplaySize = {static_cast<float>(tile.width), static_cast<float>(tile.height)};
  const ImVec4 back = ImGui::GetStyleColorVec4(ImGuiCol_WindowBg);
  glDisable(GL_SCISSOR_TEST);
  glViewport(0, 0, tile.width, tile.height);
  glClearColor(back.x, back.y, back.z, 1.0f);
  glClear(GL_COLOR_BUFFER_BIT);
  ImGui_ImplOpenGL3_RenderDrawData(&data);
}

struct OffscreenSurface::State {
  State(PixelSize wanted, const Look& look) : size(wanted), tile{std::min(wanted.width, largest_tile), std::min(wanted.height, largest_tile)}, context(tile), interface(look) {
    ImGui_ImplOpenGL3_Init(glsl_version);
    ImGui::GetIO().DisplaySize = {static_cast<float>(size.width), static_cast<float>(size.height)};
  }
  PixelSize size, tile;
  Offscreen context;
  Interface interface;
};

OffscreenSurface::OffscreenSurface(PixelSize size, const Look& look) : state_(std::make_unique<State>(size, look)) {}
OffscreenSurface::~OffscreenSurface() = default;
PixelSize OffscreenSurface::size() const { return state_->size; }

bool OffscreenSurface::draw(const std::function<bool()>& frame) {
  ImGui::GetIO().DeltaTime = 1.0f / 60.0f;
  ImGui_ImplOpenGL3_NewFrame();
  ImGui::NewFrame();
  forget_items();
  const bool again = frame();
  ImGui::Render();
  draw_tile(*ImGui::GetDrawData(), 0, 0, state_->tile);
  glFinish();  // nothing is presented: the driver would keep the buffers of every frame
  return again;
}

void OffscreenSurface::settle(const std::function<bool()>& frame) {
  int settled = 0;
  for (int count = 0; settled < settled_frames && count < most_frames; ++count) {
    const bool again = draw(frame);
    settled = again ? 0 : settled + 1;
    if (again) std::this_thread::sleep_for(std::chrono::milliseconds(5));  // the cores are for the work that is waited for
  }
}

std::vector<std::uint8_t> OffscreenSurface::pixels() const {
  const PixelSize size = state_->size, tile = state_->tile;
  const auto width = static_cast<std::size_t>(size.width), tile_bytes = static_cast<std::size_t>(tile.width) * 4;
  std::vector<std::uint8_t> rgba(width * static_cast<std::size_t>(size.height) * 4), bottom_first(tile_bytes * static_cast<std::size_t>(tile.height));
  for (int y = 0; y < size.height; y += tile.height) {
    for (int x = 0; x < size.width; x += tile.width) {
      draw_tile(*ImGui::GetDrawData(), x, y, tile);
      glReadPixels(0, 0, tile.width, tile.height, GL_RGBA, GL_UNSIGNED_BYTE, bottom_first.data());
      const auto used = static_cast<std::size_t>(std::min(tile.width, size.width - x)) * 4;
      for (int row = 0; row < std::min(tile.height, size.height - y); ++row) {
        const std::uint8_t* from = bottom_first.data() + static_cast<std::size_t>(tile.height - 1 - row) * tile_bytes;
        std::copy(from, from + used, rgba.data() + (static_cast<std::size_t>(y + row) * width + static_cast<std::size_t>(x)) * 4);
      }
    }
  }
  for (std::size_t i = 3; i < rgba.size(); i += 4) rgba[i] = 255;
  return rgba;
}

}  // namespace vitrine
