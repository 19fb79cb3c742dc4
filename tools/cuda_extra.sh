#!/bin/sh
# Prints the extra of pyproject.toml that fits this machine's NVIDIA driver, or nothing without one.
# CUDA 13 needs driver 580 or later, CUDA 12 needs 525 or later.
command -v nvidia-smi >/dev/null 2>&1 || exit 0
major=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1 | cut -d. -f1)
case "$major" in
  '' | *[!0-9]*) exit 0 ;;
esac
if [ "$major" -ge 580 ]; then
  echo cuda13
elif [ "$major" -ge 525 ]; then
  echo cuda12
else
  echo "NVIDIA driver $major is older than 525, which CUDA 12 needs: update it to train on the GPU" >&2
fi
