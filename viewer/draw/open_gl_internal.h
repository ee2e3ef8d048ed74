#pragma once

// OpenGL's functions, and how a shader says in which language it is written. One source serves both: desktops read it as GLSL 3.30,
// browsers (WebGL 2) as ES 3.00.

#ifdef __EMSCRIPTEN__
#include <GLES3/gl3.h>
namespace vitrine {
constexpr const char* shader_language = "#version 300 es\nprecision highp float;\nprecision highp int;\nprecision highp sampler2D;\n";
}
#else
#define GL_GLEXT_PROTOTYPES
#include <GL/gl.h>
#include <GL/glext.h>
namespace vitrine {
constexpr const char* shader_language = "#version 330 core\n";
}
#endif
