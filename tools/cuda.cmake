# longspan_cuda.so: the CUDA side of the backend table, a plugin beside longspan.node (csrc/core/plugin.h). nvcc is called
# plainly: CMake's own CUDA language of Debian 12 (3.25) does not know the architectures of nvcc 13.
if(LONGSPAN_CUDA STREQUAL "OFF" OR LONGSPAN_SANITIZE OR NOT EXISTS ${CMAKE_SOURCE_DIR}/cuda/backend.cu)
  return()
endif()
find_program(NVCC nvcc PATHS /usr/local/cuda/bin)
if(NOT NVCC)
  if(LONGSPAN_CUDA STREQUAL "ON")
    message(FATAL_ERROR "LONGSPAN_CUDA=ON: nvcc is neither on PATH nor in /usr/local/cuda/bin")
  endif()
  return()
endif()

execute_process(COMMAND ${NVCC} --list-gpu-arch OUTPUT_VARIABLE KNOWN_ARCHS OUTPUT_STRIP_TRAILING_WHITESPACE)
# For the GPUs of this machine; where there is none, sm_80 and PTX, which newer ones compile when the plugin is loaded.
if(NOT LONGSPAN_CUDA_ARCHS)
  execute_process(COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader OUTPUT_VARIABLE FOUND ERROR_QUIET)
  string(REGEX MATCHALL "[0-9]+\\.[0-9]" FOUND "${FOUND}")
  list(REMOVE_DUPLICATES FOUND)
  string(REPLACE "." "" LONGSPAN_CUDA_ARCHS "${FOUND}")
  string(REPLACE "90" "90a" LONGSPAN_CUDA_ARCHS "${LONGSPAN_CUDA_ARCHS}")
endif()
if(NOT LONGSPAN_CUDA_ARCHS)
  set(LONGSPAN_CUDA_ARCHS 80)
endif()
foreach(arch ${LONGSPAN_CUDA_ARCHS})
  if(KNOWN_ARCHS MATCHES "compute_${arch}(\n|$)" OR arch MATCHES "a$")
    list(APPEND GENCODE -gencode arch=compute_${arch},code=sm_${arch})
  endif()
endforeach()
# PTX of the oldest, for every GPU that none of the others is for; an "a" architecture has no successor.
list(FILTER LONGSPAN_CUDA_ARCHS EXCLUDE REGEX "a$")
list(SORT LONGSPAN_CUDA_ARCHS COMPARE NATURAL)
if(LONGSPAN_CUDA_ARCHS)
  list(GET LONGSPAN_CUDA_ARCHS 0 OLDEST)
  list(APPEND GENCODE -gencode arch=compute_${OLDEST},code=compute_${OLDEST})
endif()

file(GLOB CUDA_SOURCES CONFIGURE_DEPENDS cuda/*.cu)
set(CUDA_PLUGIN ${LONGSPAN_OUTPUT}/longspan_cuda.so)
set(CUDA_FLAGS -std=c++20 -O3 -cudart static -Xcompiler -fPIC,-fvisibility=hidden,-Wall,-Wextra,-Wno-missing-field-initializers)
if(LONGSPAN_WERROR)
  list(APPEND CUDA_FLAGS -Werror all-warnings -Xcompiler -Werror)
endif()
# What ptxas says of registers and spills goes to <object>.log, for scripts/cuda-gate.mjs; warnings are shown.
set(KEEP_LOG "\"$@\" > \"$0\" 2>&1 || { cat \"$0\" >&2; exit 1; }; grep -i -A 4 warning \"$0\" >&2 || true")
foreach(source ${CUDA_SOURCES})
  get_filename_component(name ${source} NAME_WE)
  set(object ${CMAKE_BINARY_DIR}/cuda/${name}.o)
  add_custom_command(OUTPUT ${object}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/cuda
    COMMAND sh -c "${KEEP_LOG}" ${object}.log
            ${NVCC} ${CUDA_FLAGS} ${GENCODE} -Xptxas -v -MD -MF ${object}.d -c ${source} -o ${object}
    DEPENDS ${source} DEPFILE ${object}.d COMMENT "nvcc ${name}.cu" VERBATIM)
  list(APPEND CUDA_OBJECTS ${object})
endforeach()
add_custom_command(OUTPUT ${CUDA_PLUGIN}
  COMMAND ${CMAKE_COMMAND} -E make_directory ${LONGSPAN_OUTPUT}
  COMMAND ${NVCC} ${GENCODE} -cudart static -shared -Xlinker --exclude-libs,ALL -Xlinker --gc-sections
          -Xlinker --version-script=${CMAKE_SOURCE_DIR}/cuda/exports.map
          -Xcompiler -static-libstdc++ ${CUDA_OBJECTS} -o ${CUDA_PLUGIN}
  DEPENDS ${CUDA_OBJECTS} COMMENT "longspan_cuda.so" VERBATIM)
add_custom_target(longspan_cuda ALL DEPENDS ${CUDA_PLUGIN})
