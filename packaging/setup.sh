#!/bin/sh
# Makes a checkout ready to use: system packages, npm packages, the build.
#
#   sh packaging/setup.sh [--for demo|test|bench|build] [--rebuild] [-- COMMAND…]
#
# `npm run demo`, `npm test`, `npm run bench` and `npm run build` begin with it, so that each of them works as
# the first command after a clone; the Vagrant machine is provisioned with it too. It does only what is
# missing, says what it does in one line each (on stderr), and is silent and quick when nothing is to be done.
# At the end it becomes COMMAND, with the pinned Node first in PATH, and as root where only root can do that.
set -eu

case $0 in
  */*) cd -P "${0%/*}/.." ;;
  *) cd -P .. ;;
esac

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

purpose=build
rebuild=no
while [ $# -gt 0 ]; do
  case $1 in
    --for) [ $# -ge 2 ] || die '--for what? demo, test, bench or build'; purpose=$2; shift ;;
    --for=*) purpose=${1#--for=} ;;
    --rebuild) rebuild=yes ;;
    --) shift; break ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' packaging/setup.sh; exit 0 ;;
    *) die "unknown argument $1 (see --help)" ;;
  esac
  shift
done
case $purpose in
  demo | test | bench | build) ;;
  *) die "--for $purpose: must be demo, test, bench or build" ;;
esac

# Namespaces are root's. Becomes the command that was asked for, if any.
hand_over() {
  [ $# -gt 0 ] || exit 0
  PATH=$PWD/node_modules/.bin:$given
  if [ "$purpose" != build ] && [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || die "this makes network namespaces: run it as root ($*)"
    exec sudo -n env "PATH=$PATH" "INIT_CWD=${INIT_CWD:-$PWD}" "$@"
  fi
  exec "$@"
}

# npm run puts node_modules/.bin first in PATH. Here npm must not run on a Node that it is about to replace.
# The sbin directories are not in the PATH of everyone who may call this.
clean= given=$PATH
IFS=:
for dir in $PATH; do
  case $dir in */node_modules/.bin | */node-gyp-bin) ;; *) clean=$clean${clean:+:}$dir ;; esac
done
unset IFS
PATH=$clean:/usr/local/sbin:/usr/sbin:/sbin
export PATH

if command -v apt-get >/dev/null 2>&1; then pm=apt
elif command -v dnf >/dev/null 2>&1; then pm=dnf
else pm=none; fi

# Runs a command whose output matters only if it fails.
quietly() {
  log=$(mktemp)
  if "$@" >"$log" 2>&1; then rm -f "$log"; return 0; fi
  tail -n 40 "$log" >&2
  rm -f "$log"
  return 1
}

# ---- system packages ------------------------------------------------------------------------------------

# want WHAT DEB RPM WHY: WHAT is a command or a path; the packages that bring it; `-`: there is none.
want() {
  case $1 in
    /*) if [ -e "$1" ]; then return 0; fi ;;
    *) if command -v "$1" >/dev/null 2>&1; then return 0; fi ;;
  esac
  note "$2" "$3" "$4"
}

note() {
  case $pm in apt) package=$1 ;; dnf) package=$2 ;; *) package=$1 ;; esac
  if [ "$package" = - ]; then
    unavailable="$unavailable$3
"
    return 0
  fi
  case " $missing " in *" $package "*) return 0 ;; esac
  missing="$missing $package"
  reasons="$reasons$package: $3
"
}

# Test containers have no libc, so theirs must be a static busybox; Debian's initramfs brings the other one.
want_static_busybox() {
  # A dynamic program names its loader in its first kilobyte.
  if busybox=$(command -v busybox) && ! head -c 1024 "$busybox" | grep -q ld-linux; then return 0; fi
  note busybox-static busybox 'busybox without a libc, the inside of test containers'
}

want_compiler() { # WHY
  want cc gcc gcc "a C compiler, for $1"
  want /usr/include/stdio.h libc6-dev glibc-devel "the C headers, for $1"
}

look() {
  missing= reasons= unavailable=
  cni=/usr/lib/cni
  [ "$pm" != dnf ] || cni=/usr/libexec/cni
  want node nodejs nodejs 'Node.js, to run npm'
  want npm npm npm 'npm, to install the packages of package-lock.json'
  [ "$purpose" != build ] || return 0

  want ip iproute2 iproute 'ip, to make and to show network namespaces'
  want nsenter util-linux util-linux 'nsenter, to run programs inside a namespace'
  case $purpose in
    demo)
      command -v ping >/dev/null 2>&1 || want busybox busybox-static iputils 'ping'
      want nft nftables nftables 'nft, for masquerade'
      ;;
    bench)
      want_compiler 'the client and the floor that we measure ourselves against'
      want /usr/include/linux/rtnetlink.h linux-libc-dev kernel-headers 'the kernel headers, for the floor'
      want "$cni/ptp" containernetworking-plugins containernetworking-plugins 'ptp and host-local, to compare with'
      ;;
    test)
      want_compiler 'the client'
      want "$cni/host-local" containernetworking-plugins containernetworking-plugins 'host-local, static, dhcp and the chained plugins'
      want nft nftables nftables 'nft, for masquerade'
      want iptables iptables iptables-nft 'iptables, for portmap and "ipMasqBackend": "iptables"'
      want_static_busybox
      want podman podman podman 'Podman, a runtime to be tested under'
      want runc runc runc 'runc, which starts the containers of both runtimes'
      want containerd containerd - 'containerd, a runtime to be tested under'
      want ps procps procps-ng 'ps'
      want sysctl procps procps-ng 'sysctl'
      want ruby ruby ruby 'ruby, to check the Vagrantfile'
      want systemd-analyze systemd systemd 'systemd, to try the agent as its service'
      want strace strace strace 'strace, to kill an install at a given system call'
      ;;
  esac
}

install_apt() {
  export DEBIAN_FRONTEND=noninteractive
  quietly apt-get -o DPkg::Lock::Timeout=300 update || say 'apt-get update failed; trying with the lists there are'
  # shellcheck disable=SC2086 # a list of words
  quietly apt-get -o DPkg::Lock::Timeout=300 -y --no-install-recommends install $missing
}

install_dnf() {
  # CentOS Stream 9 has several Node streams, the default too old; from Stream 10 on there is one.
  case " $missing " in
    *' nodejs '* | *' npm '*) dnf -q -y module enable nodejs:22 >/dev/null 2>&1 || : ;;
  esac
  # shellcheck disable=SC2086
  quietly dnf -q -y --setopt=install_weak_deps=False install $missing
}

look
if [ -n "$unavailable" ]; then
  printf '%s' "$unavailable" | while IFS= read -r line; do say "not packaged here, needed by some tests: $line"; done
fi
if [ -n "$missing" ]; then
  case $pm in
    apt) by="apt-get install -y --no-install-recommends$missing" ;;
    dnf) by="dnf install -y$missing" ;;
    none) die "missing:$missing (Debian's names); no apt-get or dnf here, please install them yourself" ;;
  esac
  [ "$(id -u)" -eq 0 ] || die "packages are missing and only root can install them. Run as root: $by"
  printf '%s' "$reasons" | while IFS= read -r line; do say "installing ${line%%:*} by $pm (${line#*: })"; done
  "install_$pm" || die "that failed. By hand: $by"
  hash -r
  look
  [ -z "$missing" ] || die "installed, but still missing:$missing"
fi

# With this libc the client starts 0.25 ms sooner, that is all: where it cannot be had, it is left.
if [ "$purpose" = bench ] && [ "$pm" = apt ] && [ "$(id -u)" -eq 0 ] && ! command -v musl-gcc >/dev/null 2>&1; then
  say 'installing musl-tools by apt (a small libc, for the client to start sooner)'
  apt-get -o DPkg::Lock::Timeout=300 -y --no-install-recommends install musl-tools >/dev/null 2>&1 ||
    say 'that failed; it goes without'
fi

# ---- npm packages ---------------------------------------------------------------------------------------

lock=package-lock.json
installed=node_modules/.package-lock.json # npm writes it last, and only if all went well
ready=node_modules/.nugator-setup

packages_stale() { [ ! -f "$installed" ] || [ "$lock" -nt "$installed" ]; }
tools_stale() { [ ! -f "$ready" ] || [ "$installed" -nt "$ready" ] || [ .taprc -nt "$ready" ]; }
pinned_node() { case $(node_modules/.bin/node -v 2>/dev/null) in v24.*) return 0 ;; *) return 1 ;; esac }

# The compiler that scripts/client.ts would try first.
compiler() {
  for each in ${NUGATOR_CC:-musl-gcc cc}; do
    if command -v "$each" >/dev/null 2>&1; then echo "$each"; return 0; fi
  done
  echo none
}

build_stale() {
  [ -x dist/bin/nugator ] && [ -f dist/.built ] || return 0
  { read -r root && read -r by; } <dist/.built || return 0
  [ "$root" = "$PWD" ] || return 0 # a copied tree: the launcher names the Node of another one
  [ "$by" = "$(compiler)" ] || return 0
  [ -n "$(find client src scripts packaging package.json "$installed" -newer dist/.built -print -quit 2>/dev/null)" ]
}

if [ "$rebuild" = no ] && ! packages_stale && ! tools_stale && pinned_node && ! build_stale; then
  hand_over "$@"
fi

# Two commands started at once would install and build over each other: the second waits, then looks again.
if command -v flock >/dev/null 2>&1; then
  exec 9<package.json
  flock 9
fi

if packages_stale; then
  say "installing the npm packages of $lock"
  npm ci --no-audit --no-fund --loglevel=error >&2 9<&- || die 'npm ci failed (see above)'
  : # npm itself leaves the lock file alone
fi

if ! pinned_node; then
  # The npm package `node` fetches its binary in an install script, which npm may have been told not to run.
  say 'fetching the pinned Node 24 (npm ran no install script)'
  npm rebuild node --ignore-scripts=false --loglevel=error >&2 9<&- || :
  if ! pinned_node && [ -d node_modules/node ]; then
    (cd node_modules/node && node installArchSpecificPackage >&2 9<&-) || :
  fi
  pinned_node || die 'node_modules/.bin/node is not Node 24. The npm package "node" gets it from the package' \
    '"node-linux-<arch>" in an install script: allow it (npm config get ignore-scripts), check the network,' \
    'then: npm rebuild node'
fi
PATH=$PWD/node_modules/.bin:$PATH

if tools_stale; then
  # tap compiles its set of plugins (.taprc); on its own it would do so during the first run and fail that run.
  quietly tap build 9<&- || die 'tap build failed'
  : >"$ready"
fi

# ---- the build ------------------------------------------------------------------------------------------

if [ "$rebuild" = yes ] || build_stale; then
  say 'building dist/bin/nugator'
  node scripts/build.ts >&2 9<&- || die 'the build failed'
fi
exec 9<&-
hand_over "$@"
