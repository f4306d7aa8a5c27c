# The kernels of cuda/ for the CPU (test/emulator/README.md): a longspan_cuda.so that tests load where there is no GPU.
set(EMULATOR ${CMAKE_SOURCE_DIR}/test/emulator)
if(NOT EXISTS ${EMULATOR}/emulator.cc OR NOT EXISTS ${CMAKE_SOURCE_DIR}/cuda/backend.cu)
  return()
endif()
file(GLOB EMULATOR_SOURCES CONFIGURE_DEPENDS ${EMULATOR}/*.cc)
file(GLOB EMULATED_SOURCES CONFIGURE_DEPENDS cuda/*.cu)
set_source_files_properties(${EMULATED_SOURCES} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-x;c++")
add_library(emulated_cuda MODULE EXCLUDE_FROM_ALL ${EMULATED_SOURCES} ${EMULATOR_SOURCES})
set_target_properties(emulated_cuda PROPERTIES PREFIX "" OUTPUT_NAME longspan_cuda SUFFIX .so
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/emulated)
target_link_libraries(emulated_cuda PRIVATE ${LIBRARIES})
add_dependencies(native_tests emulated_cuda)

# The emulator's own test has kernels too: it takes the emulator into itself, and loads the plugin besides.
target_sources(emulator_test PRIVATE ${EMULATOR_SOURCES})
target_compile_definitions(emulator_test PRIVATE LONGSPAN_EMULATED_CUDA="$<TARGET_FILE:emulated_cuda>")
add_dependencies(emulator_test emulated_cuda)
foreach(target cuda_attention_test cuda_cache_test)
  target_compile_definitions(${target} PRIVATE LONGSPAN_EMULATED_CUDA="$<TARGET_FILE:emulated_cuda>")
  add_dependencies(${target} emulated_cuda)
endforeach()

# Under ThreadSanitizer a switch of threads costs a hundred times more, and the kernels of a launch have one host thread:
# only what hosts call from several is instrumented.
if(LONGSPAN_SANITIZE STREQUAL "thread")
  target_compile_options(emulator_test PRIVATE -fno-sanitize=thread)
  set(PLAIN ${EMULATED_SOURCES} ${EMULATOR_SOURCES})
  list(FILTER PLAIN EXCLUDE REGEX "/(backend\\.cu|runtime\\.cc)$")
  set_property(SOURCE ${PLAIN} APPEND PROPERTY COMPILE_OPTIONS -fno-sanitize=thread)
endif()

foreach(target emulated_cuda emulator_test)
  target_include_directories(${target} PRIVATE ${EMULATOR}/include)
  target_compile_definitions(${target} PRIVATE LONGSPAN_EMULATOR)
  target_compile_options(${target} PRIVATE -Wno-unknown-pragmas)  # unroll
  if(NOT LONGSPAN_SANITIZE)
    target_compile_options(${target} PRIVATE -O2)
    target_link_options(${target} PRIVATE -Wl,-z,defs)
  endif()
endforeach()
