/*
 * nugator, as a runtime starts it: hands the call to the resident agent and gives back its answer, or else becomes
 * the cold path (nugator.d, beside this file) with the same environment, arguments and stdin.
 *
 * It runs as root for every container: it allocates nothing, copies nothing without a bound, and waits for nothing
 * without an end but the reader of its answer. Built by scripts/client.ts, -DNODE is the Node that ran the build.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

enum {
  ENV_MAX = 256 << 10,  /* more of it: cold */
  STDIN_HOT = 16 << 20, /* more: cold */
  STDIN_MAX = 64 << 20, /* more is no netconf, and memory has an end */
  OUT_MAX = 64 << 20,   /* each of the answer's two texts */
  NSFS_MAGIC = 0x6e736673,
  PROC_SUPER_MAGIC = 0x9fa0,
};
#define MS UINT64_C(1000000) /* all times are nanoseconds */
#define DAY (86400000 * MS)

/* Protocol version 1, in this machine's byte order. */
struct request {
  char magic[4];
  uint16_t version, flags;
  uint64_t deadline, began;
  int32_t own, netns; /* descriptors of ours: the agent opens /proc/PID/fd/N */
  uint32_t env_length, stdin_length;
};
struct answer {
  char magic[4];
  uint16_t version, verdict;
  int32_t status;
  uint32_t out_length, err_length;
};
_Static_assert(sizeof(struct request) == 40 && sizeof(struct answer) == 20, "no padding");

static char frame[sizeof(struct request) + ENV_MAX + STDIN_MAX + 1]; /* header, environment, stdin */
static size_t input = sizeof(struct request);                        /* where stdin begins in it */
static size_t filled;                                                /* its end, or 0: stdin was not touched */
static int agent = -1;

static uint64_t now(void) {
  struct timespec at;
  clock_gettime(CLOCK_BOOTTIME, &at);
  return (uint64_t)at.tv_sec * 1000 * MS + (uint64_t)at.tv_nsec;
}

/* The variable's value; NULL if it is unset or empty. */
static const char *variable(const char *name) {
  const char *value = getenv(name);
  return value != NULL && *value != '\0' ? value : NULL;
}

/* True if something can be read or written, or the next call will say why not; false if the time is up. */
static int ready(int fd, short events, uint64_t until) {
  for (uint64_t at; (at = now()) < until;) {
    uint64_t left = until - at < DAY ? until - at : DAY;
    if (poll(&(struct pollfd){fd, events, 0}, 1, (int)(left / MS + 1)) > 0) return 1;
  }
  return 0;
}

enum way { WRITE, SEND, RECEIVE };
enum outcome { DONE, LATE, BROKEN };

static enum outcome transfer(enum way way, int fd, char *bytes, size_t length, uint64_t until) {
  while (length > 0) {
    ssize_t n = way == WRITE  ? write(fd, bytes, length)
                : way == SEND ? send(fd, bytes, length, MSG_NOSIGNAL)
                              : recv(fd, bytes, length, 0);
    if (n > 0) {
      bytes += n;
      length -= (size_t)n;
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
      return BROKEN;
    } else if (!ready(fd, way == RECEIVE ? POLLIN : POLLOUT, until)) {
      return LATE;
    }
  }
  return DONE;
}

/* Tells the runtime as failure() of src/cni/serve.ts does, or a person. The texts are JSON as they are, and short. */
static _Noreturn void fail(const char *code, const char *msg, const char *details) {
  static char text[1024];
  int json = variable("CNI_COMMAND") != NULL;
  const char *parts[] = {json ? "{\n    \"cniVersion\": \"1.1.0\",\n    \"code\": " : "nugator: ",
                         json ? code : "",
                         json ? ",\n    \"msg\": \"" : "",
                         msg,
                         json ? "\",\n    \"details\": \"" : ": ",
                         details,
                         json ? "\"\n}\n" : "\n"};
  char *end = text;
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) end = stpcpy(end, parts[i]);
  signal(SIGPIPE, SIG_IGN);
  transfer(WRITE, json ? 1 : 2, text, (size_t)(end - text), UINT64_MAX);
  _exit(1);
}

static void hang_up(void) {
  if (agent >= 0) close(agent);
  agent = -1;
}

/* What was read of stdin is stdin again. */
static void restore_stdin(void) {
  int fd = memfd_create("stdin", MFD_CLOEXEC);
  if (fd < 0 || transfer(WRITE, fd, frame + input, filled - input, UINT64_MAX) != DONE ||
      lseek(fd, 0, SEEK_SET) != 0 || dup2(fd, 0) != 0)
    fail("5", "stdin cannot be handed on", "there is no memory or no descriptor for it");
}

/* Becomes the cold path. */
static _Noreturn void go_cold(char **argv) {
  static char self[PATH_MAX + 64];
  hang_up(); /* which also makes room for a descriptor */
  if (filled > 0) restore_stdin();
  ssize_t n = readlink("/proc/self/exe", self, PATH_MAX);
  char *name = n > 0 && n < PATH_MAX ? strrchr(self, '/') : NULL;
  if (name == NULL) fail("999", "nugator cannot find itself", "/proc/self/exe has to lead to it");
#ifdef NODE
  /* What nugator.d/cold would come to, 0.7 ms sooner. */
  int plain = variable("CNI_COMMAND") && !variable("NUGATOR_NODE") && !variable("NUGATOR_NODE_OPTIONS");
  strcpy(name, "/nugator.d/node");
  if (plain && access(self, X_OK) != 0) {
    strcpy(name, "/nugator.d/nugator.cjs");
    char **kept = environ;
    for (char **each = environ; *each != NULL; each++)
      if (strncmp(*each, "NODE_OPTIONS=", 13) != 0) *kept++ = *each;
    *kept = NULL;
    if (access(self, R_OK) == 0) execv(NODE, (char *[]){NODE, self, NULL});
  }
#endif
  strcpy(name, "/nugator.d/cold");
  execv(self, argv);
  fail("999", errno == ENOENT ? "nugator.d is missing" : "nugator.d/cold cannot be started",
       "the directory nugator.d has to be beside the file nugator: install both");
}

/* All of stdin, in time. False if it cannot be read: the cold path will say why. */
static int read_stdin(uint64_t until) {
  for (filled = input; filled < input + STDIN_MAX + 1;) {
    if (!ready(0, POLLIN, until)) fail("5", "error reading from stdin: it does not end", "the time is up");
    ssize_t n = read(0, frame + filled, input + STDIN_MAX + 1 - filled);
    if (n == 0) return 1;
    if (n > 0) {
      filled += (size_t)n;
    } else if (errno != EINTR && errno != EAGAIN) {
      filled = 0;
      return 0;
    }
  }
  fail("5", "error reading from stdin: it is too long", "nugator takes up to 64 MiB");
}

/* Each NAME=VALUE with its NUL. False if it is too much. */
static int put_environment(void) {
  for (char **each = environ; *each != NULL; each++) {
    size_t length = strlen(*each) + 1;
    if (length > sizeof(struct request) + ENV_MAX - input) return 0;
    memcpy(frame + input, *each, length);
    input += length;
  }
  return 1;
}

/* A connection to the agent, if there is one that is the same user. */
static void call_agent(void) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  struct ucred peer;
  socklen_t size = sizeof peer;
  const char *dir = variable("NUGATOR_RUN_DIR"), *path = getenv("NUGATOR_AGENT_SOCKET");
  const char *parts[] = {path != NULL ? "" : dir != NULL ? dir : "/run/nugator", path != NULL ? path : "/agent.sock"};
  size_t first = strlen(parts[0]), second = strlen(parts[1]);
  if (second == 0 || first >= sizeof to.sun_path || second >= sizeof to.sun_path - first) return;
  memcpy(to.sun_path, parts[0], first);
  memcpy(to.sun_path + first, parts[1], second);
  agent = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  /* A number below 3 is that of a closed stdin, stdout or stderr. A full backlog is an error, not a wait. */
  if (agent < 3 || connect(agent, (struct sockaddr *)&to, sizeof to) != 0 ||
      getsockopt(agent, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.uid != geteuid())
    hang_up();
}

/* The namespace we are in and that of CNI_NETNS. False if the agent could not find the latter as we do. */
static int open_namespaces(struct request *header) {
  const char *path = variable("CNI_NETNS");
  header->own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (header->own < 0 || path == NULL) return header->own >= 0;
  struct statfs about;
  int fd = open(path, O_PATH | O_CLOEXEC); /* a mere place: opening a device might set it going */
  if (fd >= 0 && fstatfs(fd, &about) == 0 && (about.f_type == NSFS_MAGIC || about.f_type == PROC_SUPER_MAGIC)) {
    header->netns = fd;
    header->flags = 1;
    return 1;
  }
  /* The agent will say what is wrong with it, unless it means something else there. */
  return *path == '/' && strstr(path, "self/") == NULL && strncmp(path, "/dev/", 5) != 0;
}

/* Sends the request, prints the answer and ends; or returns why there is none. */
static enum outcome ask(uint64_t until) {
  struct answer answer;
  enum outcome outcome = transfer(SEND, agent, frame, filled, until);
  if (outcome == DONE) outcome = transfer(RECEIVE, agent, (char *)&answer, sizeof answer, until);
  if (outcome != DONE) return outcome;
  size_t out = answer.out_length, err = answer.err_length;
  if (memcmp(answer.magic, "NGAT", 4) != 0 || answer.version != 1 || answer.verdict != 0 || answer.status < 0 ||
      answer.status > 255 || out > OUT_MAX || err > OUT_MAX)
    return BROKEN;
  char *body = mmap(NULL, out + err + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (body == MAP_FAILED) return BROKEN;
  outcome = transfer(RECEIVE, agent, body, out + err, until);
  if (outcome != DONE) return outcome;
  signal(SIGPIPE, SIG_IGN);
  transfer(WRITE, 2, body + out, err, UINT64_MAX);
  outcome = transfer(WRITE, 1, body, out, UINT64_MAX);
  _exit(answer.status == 0 && outcome != DONE ? 1 : answer.status);
}

/* From NUGATOR_DEADLINE_MS; a minute without it, or if it is nonsense. */
static uint64_t time_allowed(void) {
  const char *text = variable("NUGATOR_DEADLINE_MS");
  char *end = NULL;
  unsigned long ms = text != NULL && *text >= '1' && *text <= '9' ? strtoul(text, &end, 10) : 0;
  return ms > 0 && *end == '\0' && ms <= DAY / MS ? ms * MS : 60000 * MS;
}

int main(int argc, char **argv) {
  struct request header = {.magic = "NGAT", .version = 1, .began = now(), .netns = -1};
  const char *verb = variable("CNI_COMMAND");
  (void)argc;
  if (verb == NULL || strcmp(verb, "VERSION") == 0) go_cold(argv);
  int is_add = strcmp(verb, "ADD") == 0;
  uint64_t until = header.began + time_allowed();

  if (put_environment()) call_agent();
  if (agent >= 0 && !open_namespaces(&header)) hang_up();
  if (!read_stdin(until) || agent < 0 || filled - input > STDIN_HOT) go_cold(argv);

  /* All but ADD may be done twice: a frozen agent shall not hold them up for long. */
  uint64_t soon = now() + 10000 * MS;
  header.deadline = is_add || until < soon ? until : soon;
  header.env_length = (uint32_t)(input - sizeof header);
  header.stdin_length = (uint32_t)(filled - input);
  memcpy(frame, &header, sizeof header);
  if (ask(header.deadline) == LATE && is_add)
    fail("11", "the agent did not answer in time", "whether anything was done is not known: DEL it");
  go_cold(argv);
}
