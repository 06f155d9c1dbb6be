# xebec_options: what every target of ours is compiled with. Warnings are errors.
add_library(xebec_options INTERFACE)
target_compile_options(xebec_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wcast-align -Woverloaded-virtual
  -Wconversion -Wno-sign-conversion -Wdouble-promotion -Wformat=2 -Wimplicit-fallthrough -Werror
  -fno-omit-frame-pointer -fstack-protector-strong)
target_include_directories(xebec_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(xebec_options INTERFACE
  XEBEC_VERSION="${PROJECT_VERSION}"
  # Debug builds track the owner of every frame and poison recycled ones (dataplane/umem.h).
  $<$<CONFIG:Debug>:XEBEC_FRAME_AUDIT=1>
  $<$<CONFIG:Debug>:_GLIBCXX_ASSERTIONS>)
# -g1: functions and lines, which is what a profile or a backtrace needs. Full debug information is a third of the compile
# time here (JSON and option-parsing templates); a debugging session asks for it with -DCMAKE_CXX_FLAGS=-g3.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-g1")
if(XEBEC_SANITIZE)
  # The data plane (XEBEC_HOT) has every check and some optimisation. The rest has neither -O1 nor the checks at each access of
  # memory, of which AddressSanitizer does the essential part: compiling it takes half the time (19 s of 35 for a test).
  target_compile_options(xebec_options INTERFACE -fsanitize=${XEBEC_SANITIZE} -fno-sanitize-recover=all
    $<$<BOOL:$<TARGET_PROPERTY:XEBEC_HOT>>:-O1>
    "$<$<NOT:$<BOOL:$<TARGET_PROPERTY:XEBEC_HOT>>>:-fno-sanitize=null$<COMMA>alignment$<COMMA>object-size$<COMMA>vptr$<COMMA>nonnull-attribute$<COMMA>returns-nonnull-attribute>")
  target_link_options(xebec_options INTERFACE -fsanitize=${XEBEC_SANITIZE})
else()
  # The oldest CPU the hot path is tuned for has SSE4.2; everything newer is chosen at run time.
  if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
    target_compile_options(xebec_options INTERFACE -march=x86-64-v2)
  endif()
endif()
