# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Sourced in the tree's root by the scripts that build: sets `cache`, arguments of cmake that have it compile by ccache where
# that is installed.
cache=()
if command -v ccache > /dev/null; then
  # shellcheck disable=SC2034 # for who sources this
  cache=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1  # one checkout's objects serve another
fi
