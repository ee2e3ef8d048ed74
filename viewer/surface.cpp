#include "viewer/surface.h"

#define EGL_EGLEXT_PROTOTYPES
#define GL_GLEXT_PROTOTYPES
#include <EGL/egl.h>
#include <EGL/eglext.h>
#include <GL/gl.h>
#include <GL/glext.h>
#include <GLFW/glfw3.h>

#include <cstdlib>
#include <filesystem>
#include <imgui.h>
#include <imgui_impl_glfw.h>
#include <imgui_impl_opengl3.h>
#include <implot.h>

#include "core/base/error.h"

namespace vitrine {
namespace {

constexpr const char* glsl_version = "#version 330 core";
constexpr int most_frames = 3000;  // of an offscreen picture: a panel that never settles must not hang a script

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

/// The first font that is there, ImGui's own where none is, and the glyphs of others that it lacks.
void choose_font() {
  ImFontConfig first, merged;
  merged.MergeMode = true;
  add_fonts({"truetype/dejavu/DejaVuSans.ttf", "truetype/noto/NotoSans-Regular.ttf"}, first, 1);
  add_fonts({"opentype/noto/NotoSansCJK-Regular.ttc", "truetype/noto/NotoSans-Regular.ttf"}, merged, 2);
}

/// ImGui and ImPlot while a surface exists.
class Interface {
 public:
  Interface() {
    ImGui::CreateContext();
    ImPlot::CreateContext();
    ImGui::GetIO().IniFilename = nullptr;
    ImGui::GetIO().ConfigFlags |= ImGuiConfigFlags_DockingEnable;
    ImGui::StyleColorsDark();
    ImGui::GetStyle().WindowRounding = 3.0f;
    choose_font();
  }
  ~Interface() {
    ImGui_ImplOpenGL3_Shutdown();
    ImPlot::DestroyContext();
    ImGui::DestroyContext();
  }
};

void draw_frame(int width, int height) {
  ImGui::Render();
  glViewport(0, 0, width, height);
  glClearColor(0.07f, 0.07f, 0.09f, 1.0f);
  glClear(GL_COLOR_BUFFER_BIT);
  ImGui_ImplOpenGL3_RenderDrawData(ImGui::GetDrawData());
}

struct GlfwSession {
  GlfwSession() {
    if (glfwInit() != GLFW_TRUE) {
      throw Error({"vitrine-viewer", "a display", "none", "use --screenshot out.png, which needs none"});
    }
  }
  ~GlfwSession() { glfwTerminate(); }
};

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
    throw Error({"--screenshot", expected, "none", "install Mesa (Debian: libegl-mesa0 libgl1-mesa-dri)"});
  }
  EGLDisplay display_ = EGL_NO_DISPLAY;
  EGLContext context_ = EGL_NO_CONTEXT;
  GLuint color_ = 0, target_ = 0;
};

}  // namespace

void run_window(const std::string& title, PixelSize size, const MakeFrame& make) {
  const GlfwSession session;
  glfwWindowHint(GLFW_CONTEXT_VERSION_MAJOR, 3);
  glfwWindowHint(GLFW_CONTEXT_VERSION_MINOR, 3);
  glfwWindowHint(GLFW_OPENGL_PROFILE, GLFW_OPENGL_CORE_PROFILE);
  GLFWwindow* window = glfwCreateWindow(size.width, size.height, title.c_str(), nullptr, nullptr);
  if (window == nullptr) throw Error({"vitrine-viewer", "a window with OpenGL 3.3", "none", "use --screenshot out.png"});
  glfwMakeContextCurrent(window);
  glfwSwapInterval(1);
  {
    const Interface interface;
    ImGui_ImplGlfw_InitForOpenGL(window, true);
    ImGui_ImplOpenGL3_Init(glsl_version);
    const Frame frame = make();
    for (bool busy = true; glfwWindowShouldClose(window) == GLFW_FALSE;) {
      busy ? glfwPollEvents() : glfwWaitEventsTimeout(0.25);  // an idle window costs nothing
      ImGui_ImplOpenGL3_NewFrame();
      ImGui_ImplGlfw_NewFrame();
      ImGui::NewFrame();
      busy = frame();
      int width = 0, height = 0;
      glfwGetFramebufferSize(window, &width, &height);
      draw_frame(width, height);
      glfwSwapBuffers(window);
    }
    ImGui_ImplGlfw_Shutdown();
  }
  glfwDestroyWindow(window);
}

std::vector<std::uint8_t> render_offscreen(PixelSize size, const MakeFrame& make) {
  const Offscreen surface(size);
  const Interface interface;
  ImGui_ImplOpenGL3_Init(glsl_version);
  ImGui::GetIO().DisplaySize = {static_cast<float>(size.width), static_cast<float>(size.height)};
  const Frame frame = make();
  int settled = 0;  // windows find their sizes in the first frames
  for (int count = 0; settled < 4 && count < most_frames; ++count) {
    ImGui::GetIO().DeltaTime = 1.0f / 60.0f;
    ImGui_ImplOpenGL3_NewFrame();
    ImGui::NewFrame();
    settled = frame() ? 0 : settled + 1;
    draw_frame(size.width, size.height);
  }
  const auto width = static_cast<std::size_t>(size.width), height = static_cast<std::size_t>(size.height);
  std::vector<std::uint8_t> bottom_first(width * height * 4), rgba(bottom_first.size());
  glReadPixels(0, 0, size.width, size.height, GL_RGBA, GL_UNSIGNED_BYTE, bottom_first.data());
  for (std::size_t row = 0; row < height; ++row) {
    const auto source = bottom_first.begin() + static_cast<std::ptrdiff_t>((height - 1 - row) * width * 4);
    std::copy(source, source + static_cast<std::ptrdiff_t>(width * 4), rgba.begin() + static_cast<std::ptrdiff_t>(row * width * 4));
  }
  for (std::size_t i = 3; i < rgba.size(); i += 4) rgba[i] = 255;
  return rgba;
}

}  // namespace vitrine
