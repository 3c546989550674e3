#!/bin/sh
# Runs a command with Node.js on an emulated x86 processor that has AVX2 but neither AVX-512 nor VNNI,
# which is where integer products saturate. Needs QEMU 7.2 or later: apt-get install qemu-user.
#
#     sh test/emulate-avx2.sh npx vitest run --testTimeout 3000000 test/quantize/every-cpu.test.ts
#     sh test/emulate-avx2.sh node bin/autoglm.js check out/w8a8
#
# onnxruntime asks the processor (cpuid) which kernels to use, so these are the ones of AVX2. Programs
# that read /proc/cpuinfo still see the real machine. Some 30 times slower than the real machine.
set -eu

qemu=$(command -v qemu-x86_64) || {
  echo 'emulate-avx2: qemu-x86_64 is not installed. Run "apt-get install qemu-user".' >&2
  exit 6
}
real=$(command -v node)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT INT TERM

# A child process is started by the real kernel, outside of the emulation, unless it is the wrapper.
echo "process.execPath = '$folder/node';" >"$folder/wrapper.cjs"
cat >"$folder/node" <<WRAPPER
#!/bin/sh
exec '$qemu' -cpu max '$real' -r '$folder/wrapper.cjs' "\$@"
WRAPPER
chmod +x "$folder/node"
PATH="$folder:$PATH" "$@"
