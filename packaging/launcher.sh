#!/bin/sh
# nugator's cold path: finds a Node.js and hands over to nugator.cjs. Written by scripts/build.ts from
# packaging/launcher.sh, as nugator.d/cold and, where there is no C compiler, in place of the client as nugator.
# Nothing is forked on the usual way through.

# A runtime reads the error from stdout (CNI), a person from stderr. MSG and DETAILS go into JSON as they are.
fail() { # MSG DETAILS
  if [ -n "${CNI_COMMAND:-}" ]; then
    printf '{"cniVersion":"1.1.0","code":999,"msg":"%s","details":"%s"}\n' "$1" "$2"
  else
    printf 'nugator: %s: %s\n' "$1" "$2" >&2
  fi
  exit 1
}

find_node() {
  set -f
  IFS=:
  for dir in ${PATH:-} /usr/local/bin /usr/bin; do
    [ -x "${dir:-.}/node" ] || continue
    version=$("${dir:-.}/node" -v 2>/dev/null </dev/null)
    version=${version#v}
    if [ "${version%%.*}" -ge 22 ] 2>/dev/null; then
      node=${dir:-.}/node
      break
    fi
  done
  unset IFS
  set +f
  [ -n "$node" ]
}

case $0 in
  */*) self=$0 ;;
  *) self=./$0 ;;
esac
if [ -L "$self" ]; then self=$(command -p readlink -f "$self"); fi
beside=${self%/*}
[ -f "$beside/nugator.cjs" ] || beside=$beside/nugator.d

[ -f "$beside/nugator.cjs" ] ||
  fail 'nugator.d is missing' 'the directory nugator.d has to be beside the file nugator: install both'

node=
if [ -n "${NUGATOR_NODE:-}" ]; then
  node=$NUGATOR_NODE
  [ -x "$node" ] || fail 'NUGATOR_NODE is not a program' 'NUGATOR_NODE has to be the path of a Node.js, version 22 or newer'
elif [ -x "$beside/node" ]; then
  node=$beside/node
elif [ -x @NODE@ ]; then
  node=@NODE@
else
  find_node || fail 'no Node.js found' 'nugator needs Node.js 22 or newer: install it, set NUGATOR_NODE to its path, or put it beside nugator.cjs as nugator.d/node'
fi

# As a plugin we run as root in an environment that is somebody else's: their NODE_OPTIONS are not for us.
if [ -n "${CNI_COMMAND+set}" ]; then unset NODE_OPTIONS; fi

# The agent lives long: what is young dies sooner in a small nursery, and the process stays small.
options=${NUGATOR_NODE_OPTIONS:-}
if [ "${1:-}" = agent ]; then options="--max-semi-space-size=1 $options"; fi

# shellcheck disable=SC2086 # a list of options
exec "$node" $options "$beside/nugator.cjs" "$@"
