#!/bin/sh
# Installs Mesa's lavapipe, a Vulkan driver that computes on the CPU, so that the WebGPU tests run on
# machines without a GPU. Debian and its derivatives, as root. Older Mesa than 25 lacks a feature that
# WebGPU requires (shaderUniformTexelBufferArrayDynamicIndexing), so bookworm takes it from backports.
set -eu

if ls /usr/share/vulkan/icd.d/lvp_icd*.json >/dev/null 2>&1; then
  echo 'lavapipe: already installed'
  exit 0
fi

. /etc/os-release
target=''
if [ "${VERSION_CODENAME:-}" = bookworm ]; then
  # Backports lie on the mirror that the machine is set up with.
  mirror=$(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' |
    awk '$2 == "bookworm" { print $1; exit }')
  cat >/etc/apt/sources.list.d/bookworm-backports.sources <<SOURCES
Types: deb
URIs: $mirror
Suites: bookworm-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
  target='-t bookworm-backports'
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # two words or none
apt-get install -y -qq --no-install-recommends $target mesa-vulkan-drivers libvulkan1
