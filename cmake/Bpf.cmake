# xebec_bpf_skeleton(NAME): compile NAME.bpf.c with clang and embed it as NAME.skel.h, so that no object
# file has to be found at run time. Makes an interface target bpf_NAME that carries the include path.
find_program(XEBEC_BPF_CLANG NAMES clang clang-14 clang-19 REQUIRED)
find_program(XEBEC_BPFTOOL NAMES bpftool PATHS /usr/sbin /sbin REQUIRED)

function(xebec_bpf_skeleton NAME)
  set(src ${CMAKE_CURRENT_SOURCE_DIR}/${NAME}.bpf.c)
  set(obj ${CMAKE_CURRENT_BINARY_DIR}/${NAME}.bpf.o)
  set(skel ${CMAKE_CURRENT_BINARY_DIR}/${NAME}.skel.h)
  add_custom_command(OUTPUT ${obj}
    # Every spilled value has a stack slot of its own: without CAP_PERFMON the verifier forbids to write four bytes where eight
    # of a pointer were before ("attempt to corrupt spilled pointer on stack").
    COMMAND ${XEBEC_BPF_CLANG} -O2 -g -Wall -Wextra -Werror -target bpf -mcpu=v3
            -mllvm -no-stack-slot-sharing
            -I${CMAKE_CURRENT_SOURCE_DIR} -I/usr/include/${CMAKE_LIBRARY_ARCHITECTURE}
            -MD -MF ${obj}.d -c ${src} -o ${obj}
    DEPENDS ${src} DEPFILE ${obj}.d COMMENT "BPF ${NAME}" VERBATIM)
  add_custom_command(OUTPUT ${skel}
    COMMAND sh -c "'${XEBEC_BPFTOOL}' gen skeleton '${obj}' name ${NAME}_bpf > '${skel}.tmp' && mv '${skel}.tmp' '${skel}'"
    DEPENDS ${obj} COMMENT "BPF skeleton ${NAME}" VERBATIM)
  add_custom_target(bpf_${NAME}_gen DEPENDS ${skel})
  add_library(bpf_${NAME} INTERFACE)
  target_include_directories(bpf_${NAME} SYSTEM INTERFACE ${CMAKE_CURRENT_BINARY_DIR})
  add_dependencies(bpf_${NAME} bpf_${NAME}_gen)
endfunction()
