/*
 * The keeper: holds network namespaces that have no name, so that all of them are gone with it, whatever happens.
 *
 *   keeper     reads numbers from stdin, one a line: makes so many namespaces with `lo` up, as runtimes hand them to
 *              plugins, and answers with their descriptors on one line (/proc/PID/fd/N is their path).
 *
 * Build: cc -O2 -o keeper keeper.c
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static const char OWN[] = "/proc/thread-self/ns/net";

static void must(int done, const char *what) {
  if (done) return;
  fprintf(stderr, "keeper: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void raise_lo(void) {
  int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  must(sock >= 0, "socket");
  struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  must(ioctl(sock, SIOCSIFFLAGS, &lo) == 0, "lo up");
  close(sock);
}

static int make_netns(void) {
  must(unshare(CLONE_NEWNET) == 0, "unshare");
  raise_lo();
  int netns = open(OWN, O_RDONLY | O_CLOEXEC);
  must(netns >= 0, "a descriptor for each namespace");
  return netns;
}

int main(void) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  int home = open(OWN, O_RDONLY | O_CLOEXEC);
  must(home >= 0, OWN);

  char line[32];
  while (fgets(line, sizeof line, stdin) != NULL) {
    for (long count = atol(line); count > 0; count--) printf("%d ", make_netns());
    must(setns(home, CLONE_NEWNET) == 0, "setns");
    puts("");
    fflush(stdout);
  }
  return 0;
}
