# Cross-build for arm64 on Debian: apt-get install g++-aarch64-linux-gnu, then
#   CMAKE_TOOLCHAIN_FILE=tools/linux-arm64.cmake LONGSPAN_CUDA=OFF npm run prebuilds -- --arch=arm64 --strip-bin=aarch64-linux-gnu-strip
# scripts/arm64.sh builds the kernels with it and runs the native tests under qemu.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)
