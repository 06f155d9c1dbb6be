// SPDX-License-Identifier: BSD-2-Clause
// What a shell has to know: how to ask `xebec __complete`, and how to show the answer.
#include "control/cli_completion.h"

namespace xebec {
namespace {

// Words are taken from the line and not from COMP_WORDS, which bash breaks at the colons and equals signs of our addresses
// and settings; what it takes for the current word begins behind the last of these.
constexpr const char* kBash = R"sh(# bash completion for xebec(1): eval "$(xebec completion bash)"
_xebec() {
  local line=${COMP_LINE:0:COMP_POINT} current='' before='' words candidate
  read -ra words <<< "$line"
  if [[ $line == *[[:space:]] ]]; then
    words+=('')
  fi
  current=${words[${#words[@]} - 1]}
  if [[ $current == *[=:]* ]]; then
    before=${current%"${current##*[=:]}"}
  fi
  COMPREPLY=()
  while IFS=$'\t' read -r candidate _; do
    if [[ $candidate == :files ]]; then
      compopt -o default 2> /dev/null
      continue
    fi
    COMPREPLY+=("${candidate#"$before"}")
  done < <("$1" __complete -- "${words[@]:1}" 2> /dev/null)
  if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then
    compopt -o nospace 2> /dev/null
  fi
}
complete -F _xebec xebec
)sh";

constexpr const char* kZsh = R"sh(#compdef xebec
# zsh completion for xebec(1): as _xebec in a directory of $fpath, or: eval "$(xebec completion zsh)"
_xebec() {
  local line word
  local -a whole open
  for line in "${(@f)$($words[1] __complete -- "${(@)words[2,CURRENT-1]}" "$PREFIX" 2> /dev/null)}"; do
    if [[ $line == :files ]]; then
      _files
      continue
    fi
    word=${line%%$'\t'*}
    [[ -n $word ]] || continue
    word=${word//:/\\:}
    [[ $line == *$'\t'* ]] && word+=":${line#*$'\t'}"
    if [[ ${line%%$'\t'*} == *= ]]; then open+=("$word"); else whole+=("$word"); fi
  done
  (( $#whole )) && _describe -t words xebec whole
  (( $#open )) && _describe -t words xebec open -S ''
}
if [[ $funcstack[1] == _xebec ]]; then
  _xebec "$@"
else
  compdef _xebec xebec
fi
)sh";

constexpr const char* kFish = R"sh(# fish completion for xebec(1): xebec completion fish | source
function __xebec_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l lines ($words[1] __complete -- $words[2..-1] "$current" 2>/dev/null)
    if contains -- :files $lines
        __fish_complete_path $current
    end
    for line in $lines
        test "$line" != :files; and echo $line
    end
end
complete -c xebec -f -a '(__xebec_complete)'
)sh";

}  // namespace

std::string completion_script(const std::string& shell) {
  if (shell == "bash") return kBash;
  if (shell == "zsh") return kZsh;
  return kFish;
}

}  // namespace xebec
