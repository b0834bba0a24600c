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
 *   floor bulk FILE           many wires at once: the file has "NETNS NAME ADDRESS NETNS NAME ADDRESS" a line, the
 *                             two ends of a wire. Each line of stdin ("up") makes them all: microseconds
 *
 * Of many wires all messages for one namespace go in two sends: first those that create wires from there, and the
 * settings of those ends; then the settings of the ends that others have created there. What has been tried and is
 * not faster: two threads, an ACK for the last message only, two sends for each wire.
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

/* A batch is sent when it has this many messages: their ACKs fit in the receive buffer. */
enum { ENOUGH = 128 };

/* Netlink messages one after the other, and the number of ACKs that they ask for. */
struct batch {
  char bytes[64 * 1024];
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

static void clear(struct batch *batch) {
  batch->length = batch->messages = 0;
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

/* The kernel's default is one queue for each CPU, which takes longer to make. */
static void put_one_queue(struct batch *batch) {
  unsigned one = 1;
  attribute(batch, IFLA_NUM_TX_QUEUES, &one, sizeof one);
  attribute(batch, IFLA_NUM_RX_QUEUES, &one, sizeof one);
}

static void put_veth(struct batch *batch, const char *name_a, int index_a, const char *name_b, int index_b,
                     int netns_b, int one_queue) {
  struct nlmsghdr *header = begin(batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  struct ifinfomsg *info = grow(batch, sizeof *info);
  info->ifi_index = index_a;
  attribute(batch, IFLA_IFNAME, name_a, strlen(name_a) + 1);
  if (one_queue) put_one_queue(batch);
  struct rtattr *linkinfo = attribute(batch, IFLA_LINKINFO, NULL, 0);
  attribute(batch, IFLA_INFO_KIND, "veth", 4);
  struct rtattr *data = attribute(batch, IFLA_INFO_DATA, NULL, 0);
  struct rtattr *peer = attribute(batch, VETH_INFO_PEER, NULL, 0);
  struct ifinfomsg *peer_info = grow(batch, sizeof *peer_info);
  peer_info->ifi_index = index_b;
  attribute(batch, IFLA_IFNAME, name_b, strlen(name_b) + 1);
  if (one_queue) put_one_queue(batch);
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
  char reply[64 * 1024];
  unsigned acks = 0;
  if (batch->messages == 0) return;
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

  struct batch a;
  clear(&a);
  put_veth(&a, NAME_A, INDEX_A, NAME_B, INDEX_B, netns_b, 0);
  put_address(&a, INDEX_A, "10.201.0.1");
  put_up(&a, INDEX_A);
  talk(sock_a, &a, "first end");

  struct batch b;
  clear(&b);
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
  struct batch batch;
  clear(&batch);
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

enum { MOST_PLACES = 4096, MOST_LINKS = 65536 };

struct end {
  char name[IFNAMSIZ], address[INET_ADDRSTRLEN];
  int place, index;
};
struct link {
  struct end a, b;
  struct link *next_at_a, *next_at_b; /* of those with the same namespace at this end */
};
static struct place {
  char path[256];
  int netns, sock;
  struct link *from, *to; /* wires that are created from here, and those whose other end is here */
} places[MOST_PLACES];
static struct link links[MOST_LINKS];
static int place_count, link_count;

static int place_of(const char *netns) {
  char path[sizeof places->path];
  set_path(path, sizeof path, netns);
  for (int at = 0; at < place_count; at++)
    if (strcmp(places[at].path, path) == 0) return at;
  if (place_count == MOST_PLACES) die("too many namespaces");
  strcpy(places[place_count].path, path);
  return place_count++;
}

static void read_links(const char *name) {
  FILE *file = fopen(name, "r");
  char at_a[256], at_b[256];
  if (file == NULL) die("%s: %m", name);
  for (;; link_count++) {
    if (link_count == MOST_LINKS) die("too many links");
    struct link *link = &links[link_count];
    int got = fscanf(file, "%255s %15s %15s %255s %15s %15s", at_a, link->a.name, link->a.address, at_b,
                     link->b.name, link->b.address);
    if (got == EOF) break;
    if (got != 6) die("%s: link %d is not whole", name, link_count + 1);
    link->a.index = 5000 + 2 * link_count;
    link->b.index = 5001 + 2 * link_count;
    link->a.place = place_of(at_a);
    link->b.place = place_of(at_b);
    struct place *from = &places[link->a.place], *to = &places[link->b.place];
    link->next_at_a = from->from;
    link->next_at_b = to->to;
    from->from = to->to = link;
  }
  fclose(file);
}

static void put_settings(struct batch *batch, const struct end *end) {
  put_address(batch, end->index, end->address);
  put_up(batch, end->index);
}

static void flush(const struct place *place, struct batch *batch) {
  talk(place->sock, batch, place->path);
  clear(batch);
}

static void bulk(void) {
  struct batch batch;
  clear(&batch);
  for (int at = 0; at < place_count; at++) {
    places[at].netns = open_netns(places[at].path);
    places[at].sock = socket_in(places[at].netns);
  }
  go_home();
  for (struct place *place = places; place < places + place_count; place++) {
    for (struct link *link = place->from; link != NULL; link = link->next_at_a) {
      int netns_b = places[link->b.place].netns;
      put_veth(&batch, link->a.name, link->a.index, link->b.name, link->b.index, netns_b, 1);
      put_settings(&batch, &link->a);
      if (batch.messages >= ENOUGH) flush(place, &batch);
    }
    flush(place, &batch);
  }
  for (struct place *place = places; place < places + place_count; place++) {
    for (struct link *link = place->to; link != NULL; link = link->next_at_b) {
      put_settings(&batch, &link->b);
      if (batch.messages >= ENOUGH) flush(place, &batch);
    }
    flush(place, &batch);
  }
  for (int at = 0; at < place_count; at++) {
    close(places[at].sock);
    close(places[at].netns);
  }
}

static void serve_bulk(void) {
  char line[64];
  while (fgets(line, sizeof line, stdin) != NULL) {
    double start = now();
    bulk();
    printf("%.1f\n", now() - start);
    fflush(stdout);
  }
}

int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "bulk") == 0) {
    home = open_netns("/proc/thread-self/ns/net");
    read_links(argv[2]);
    serve_bulk();
    return 0;
  }
  if (argc != 4) die("usage: floor NS_A NS_B COUNT | floor serve NS_A NS_B | floor bulk FILE");
  int serving = strcmp(argv[1], "serve") == 0;
  set_path(path_a, sizeof path_a, argv[1 + serving]);
  set_path(path_b, sizeof path_b, argv[2 + serving]);
  home = open_netns("/proc/thread-self/ns/net");
  if (serving) serve();
  else
    for (long count = atol(argv[3]); count > 0; count--) timed_wire();
  return 0;
}
