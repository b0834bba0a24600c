/*
 * The floor: the least that a wire can cost on this kernel, to measure nugator against.
 *
 * A wire: open both namespaces, open a netlink socket in each, create a veth pair across them with one RTM_NEWLINK
 * (final names and indexes), give each end an IPv4 address, bring both up, read every ACK, close everything.
 * The messages for one namespace go in one send. Taking the wire down again is not timed.
 *
 *   floor NS_A NS_B COUNT     COUNT wires; one line each: microseconds
 *   floor serve NS_A NS_B     reads commands from stdin, a line each, so that contestants can take turns:
 *                             "wire" answers with microseconds, "delete NAME" removes an interface of NS_A: "ok"
 *
 * A namespace is a name (/run/netns/NAME) or a path. Build: cc -O2 -o floor floor.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { INDEX_A = 4201, INDEX_B = 4202 };
static const char NAME_A[] = "floor-a", NAME_B[] = "floor-b";

/* Netlink messages one after the other, and the number of ACKs that they ask for. */
struct batch {
  char bytes[1024];
  size_t length;
  unsigned messages;
};

static char path_a[256], path_b[256];
static int home;

static void die(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fputs("floor: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  exit(1);
}

static void *grow(struct batch *batch, size_t size) {
  size_t aligned = NLMSG_ALIGN(size);
  if (batch->length + aligned > sizeof batch->bytes) die("batch too long");
  void *at = batch->bytes + batch->length;
  memset(at, 0, aligned);
  batch->length += aligned;
  return at;
}

static struct nlmsghdr *begin(struct batch *batch, unsigned short type, unsigned short flags) {
  struct nlmsghdr *header = grow(batch, sizeof *header);
  header->nlmsg_type = type;
  header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
  header->nlmsg_seq = ++batch->messages;
  return header;
}

static void end(struct batch *batch, struct nlmsghdr *header) {
  header->nlmsg_len = batch->bytes + batch->length - (char *)header;
}

static struct rtattr *attribute(struct batch *batch, unsigned short type, const void *data, size_t size) {
  struct rtattr *attr = grow(batch, RTA_LENGTH(size));
  attr->rta_type = type;
  attr->rta_len = RTA_LENGTH(size);
  if (size > 0) memcpy(RTA_DATA(attr), data, size);
  return attr;
}

static void close_nest(struct batch *batch, struct rtattr *nest) {
  nest->rta_len = batch->bytes + batch->length - (char *)nest;
}

static void put_veth(struct batch *batch, int netns_b) {
  struct nlmsghdr *header = begin(batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  struct ifinfomsg *info = grow(batch, sizeof *info);
  info->ifi_index = INDEX_A;
  attribute(batch, IFLA_IFNAME, NAME_A, sizeof NAME_A);
  struct rtattr *linkinfo = attribute(batch, IFLA_LINKINFO, NULL, 0);
  attribute(batch, IFLA_INFO_KIND, "veth", 4);
  struct rtattr *data = attribute(batch, IFLA_INFO_DATA, NULL, 0);
  struct rtattr *peer = attribute(batch, VETH_INFO_PEER, NULL, 0);
  struct ifinfomsg *peer_info = grow(batch, sizeof *peer_info);
  peer_info->ifi_index = INDEX_B;
  attribute(batch, IFLA_IFNAME, NAME_B, sizeof NAME_B);
  attribute(batch, IFLA_NET_NS_FD, &netns_b, sizeof netns_b);
  close_nest(batch, peer);
  close_nest(batch, data);
  close_nest(batch, linkinfo);
  end(batch, header);
}

static void put_address(struct batch *batch, int index, const char *text) {
  struct in_addr address;
  inet_pton(AF_INET, text, &address);
  struct nlmsghdr *header = begin(batch, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
  struct ifaddrmsg *info = grow(batch, sizeof *info);
  info->ifa_family = AF_INET;
  info->ifa_prefixlen = 24;
  info->ifa_index = index;
  attribute(batch, IFA_LOCAL, &address, sizeof address);
  attribute(batch, IFA_ADDRESS, &address, sizeof address);
  end(batch, header);
}

static void put_up(struct batch *batch, int index) {
  struct nlmsghdr *header = begin(batch, RTM_NEWLINK, 0);
  struct ifinfomsg *info = grow(batch, sizeof *info);
  info->ifi_index = index;
  info->ifi_flags = info->ifi_change = IFF_UP;
  end(batch, header);
}

/* Sends the batch and reads all its ACKs. */
static void talk(int sock, const struct batch *batch, const char *what) {
  char reply[8192];
  unsigned acks = 0;
  if (send(sock, batch->bytes, batch->length, 0) != (ssize_t)batch->length) die("%s: send: %m", what);
  while (acks < batch->messages) {
    ssize_t got = recv(sock, reply, sizeof reply, 0);
    if (got < 0) die("%s: recv: %m", what);
    unsigned left = got;
    for (struct nlmsghdr *at = (void *)reply; NLMSG_OK(at, left); at = NLMSG_NEXT(at, left)) {
      if (at->nlmsg_type != NLMSG_ERROR) continue;
      const struct nlmsgerr *answer = NLMSG_DATA(at);
      if (answer->error != 0) die("%s: message %u: %s", what, at->nlmsg_seq, strerror(-answer->error));
      acks++;
    }
  }
}

static int open_netns(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) die("%s: %m", path);
  return fd;
}

/* A netlink socket in a namespace; the thread stays there. */
static int socket_in(int netns) {
  if (setns(netns, CLONE_NEWNET) != 0) die("setns: %m");
  int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (sock < 0) die("socket: %m");
  return sock;
}

static void go_home(void) {
  if (setns(home, CLONE_NEWNET) != 0) die("setns home: %m");
}

static void wire(void) {
  int netns_a = open_netns(path_a), netns_b = open_netns(path_b);
  int sock_a = socket_in(netns_a), sock_b = socket_in(netns_b);
  go_home();

  struct batch a = {.length = 0};
  put_veth(&a, netns_b);
  put_address(&a, INDEX_A, "10.201.0.1");
  put_up(&a, INDEX_A);
  talk(sock_a, &a, "first end");

  struct batch b = {.length = 0};
  put_address(&b, INDEX_B, "10.201.0.2");
  put_up(&b, INDEX_B);
  talk(sock_b, &b, "second end");

  close(sock_a);
  close(sock_b);
  close(netns_a);
  close(netns_b);
}

static void delete(const char *name) {
  int netns = open_netns(path_a);
  int sock = socket_in(netns);
  go_home();
  struct batch batch = {.length = 0};
  struct nlmsghdr *header = begin(&batch, RTM_DELLINK, 0);
  grow(&batch, sizeof(struct ifinfomsg));
  attribute(&batch, IFLA_IFNAME, name, strlen(name) + 1);
  end(&batch, header);
  talk(sock, &batch, name);
  close(sock);
  close(netns);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static void timed_wire(void) {
  double start = now();
  wire();
  double took = now() - start;
  delete(NAME_A);
  printf("%.1f\n", took);
  fflush(stdout);
}

static void serve(void) {
  char line[64];
  while (fgets(line, sizeof line, stdin) != NULL) {
    line[strcspn(line, "\n")] = 0;
    if (strcmp(line, "wire") == 0) {
      timed_wire();
    } else if (strncmp(line, "delete ", 7) == 0) {
      delete(line + 7);
      puts("ok");
      fflush(stdout);
    } else {
      die("unknown command: %s", line);
    }
  }
}

static void set_path(char *path, size_t size, const char *netns) {
  snprintf(path, size, strchr(netns, '/') ? "%s" : "/run/netns/%s", netns);
}

int main(int argc, char **argv) {
  if (argc != 4) die("usage: floor NS_A NS_B COUNT | floor serve NS_A NS_B");
  int serving = strcmp(argv[1], "serve") == 0;
  set_path(path_a, sizeof path_a, argv[1 + serving]);
  set_path(path_b, sizeof path_b, argv[2 + serving]);
  home = open_netns("/proc/thread-self/ns/net");
  if (serving) serve();
  else
    for (long count = atol(argv[3]); count > 0; count--) timed_wire();
  return 0;
}
