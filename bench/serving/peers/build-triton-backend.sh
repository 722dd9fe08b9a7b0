#!/bin/sh
# Builds Triton's own ONNX Runtime backend, which the wheel with Triton's server lacks, for --triton-backends.
#
#   build-triton-backend.sh SOURCES HEADERS LIBRARY OUT
#
# SOURCES  holds checkouts of the branch r24.10 (Triton 2.51, the server in the wheel) of NVIDIA's repositories
#          onnxruntime_backend, backend, core and common, under these names
# HEADERS  holds onnxruntime_c_api.h and what it includes, of LIBRARY's version or an older one
# LIBRARY  is libonnxruntime.so.1; take the one in node_modules/onnxruntime-node, so that both servers run the same
# OUT      becomes the folder to give to --triton-backends
#
# Needs g++ and rapidjson (Debian: rapidjson-dev). CPU only: the tracker of GPU memory is left out.
set -eu
sources=$1 headers=$2 library=$3 out=$4
objects=$(mktemp -d)
trap 'rm -rf "$objects"' EXIT

for file in \
  "$sources"/onnxruntime_backend/src/*.cc \
  "$sources"/backend/src/*.cc \
  "$sources"/common/src/async_work_queue.cc \
  "$sources"/common/src/thread_pool.cc \
  "$sources"/common/src/error.cc; do
  name=$(basename "$file" .cc)
  [ "$name" != device_memory_tracker ] || continue
  echo "$name" >&2
  g++ -std=c++17 -O2 -fPIC -w -DTRITON_ENABLE_STATS=1 \
    -I "$sources/core/include" -I "$sources/backend/include" -I "$sources/common/include" \
    -I "$sources/onnxruntime_backend/src" -I "$headers" -c "$file" -o "$objects/$name.o"
done

mkdir -p "$out/onnxruntime"
cp "$library" "$out/onnxruntime/libonnxruntime.so.1"
# Triton's own symbols come from the server that loads it.
g++ -shared -o "$out/onnxruntime/libtriton_onnxruntime.so" "$objects"/*.o \
  "$out/onnxruntime/libonnxruntime.so.1" -Wl,-rpath,'$ORIGIN' -Wl,--unresolved-symbols=ignore-all
