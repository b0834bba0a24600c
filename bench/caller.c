/*
 * The caller: stands for a runtime. It starts programs as one does (their environment, their netconf on stdin, their
 * answer from a pipe) and measures each from its exec to its exit. A Node that starts a process needs milliseconds.
 *
 *   caller NETNS    enters NETNS, then reads jobs from stdin:
 *
 *     run K N M     N calls by K callers, each of which takes the next one when its own has ended; beside them, until
 *                   they are done, one more caller that makes up to M other calls, one after the other.
 *                   N + M lines follow, a call each, in fields between tabs: `aPROGRAM`, `aARGUMENT`…,
 *                   `eNAME=VALUE`…, `iSTDIN` (less than a pipe holds).
 *
 * It answers a job with a line for each call: nanoseconds from the first call's start to its own, nanoseconds that it
 * took, exit status, and its stdout with spaces in place of control characters; or `-` if it was not made.
 *
 * Build: cc -O2 -pthread -o caller caller.c
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct call {
  char *line; /* what the fields point into */
  char **argv, **env, *input;
  uint64_t start, took;
  int status;
  char *output;
};

/* One job. */
static struct call *calls;
static long shared, beside; /* how many of each; those that are shared come first */
static atomic_long next;
static atomic_int working;
static pthread_barrier_t gate;

static _Noreturn void die(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fputs("caller: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  exit(1);
}

static void must(int done, const char *what) {
  if (!done) die("%s: %s", what, strerror(errno));
}

static void *zeroed(size_t count, size_t size) {
  void *memory = calloc(count, size);
  if (memory == NULL) die("no memory");
  return memory;
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* ---- one call -------------------------------------------------------------------------------------------------- */

/* All that comes out of the pipe. */
static char *gather(int fd) {
  size_t length = 0, room = 4096;
  char *text = zeroed(room + 1, 1);
  for (ssize_t got; (got = read(fd, text + length, room - length)) != 0;) {
    if (got < 0 && errno == EINTR) continue;
    must(got > 0, "read");
    length += (size_t)got;
    if (length == room && (text = realloc(text, (room *= 2) + 1)) == NULL) die("no memory");
  }
  text[length] = 0;
  return text;
}

static void make(struct call *call) {
  int in[2], out[2], error, status;
  pid_t pid;
  posix_spawn_file_actions_t actions;
  size_t length = strlen(call->input);
  must(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0, "pipe");
  must(write(in[1], call->input, length) == (ssize_t)length, "stdin");
  close(in[1]);
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);

  call->start = now();
  error = posix_spawn(&pid, call->argv[0], &actions, NULL, call->argv, call->env);
  if (error != 0) die("%s: %s", call->argv[0], strerror(error));
  close(in[0]);
  close(out[1]);
  call->output = gather(out[0]);
  while (waitpid(pid, &status, 0) < 0) must(errno == EINTR, "waitpid");
  call->took = now() - call->start;

  call->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  close(out[0]);
  posix_spawn_file_actions_destroy(&actions);
}

/* ---- many ------------------------------------------------------------------------------------------------------ */

static void *work(void *unused) {
  (void)unused;
  pthread_barrier_wait(&gate);
  for (long at; (at = atomic_fetch_add(&next, 1)) < shared;) make(&calls[at]);
  atomic_fetch_sub(&working, 1);
  return NULL;
}

static void *work_beside(void *unused) {
  (void)unused;
  pthread_barrier_wait(&gate);
  for (long at = shared; at < shared + beside && atomic_load(&working) > 0; at++) make(&calls[at]);
  return NULL;
}

static void run(int callers) {
  int threads = callers + (beside > 0);
  pthread_t *ids = zeroed((size_t)threads, sizeof *ids);
  atomic_store(&next, 0);
  atomic_store(&working, callers);
  must(pthread_barrier_init(&gate, NULL, (unsigned)threads) == 0, "barrier");
  for (int i = 0; i < threads; i++)
    must(pthread_create(&ids[i], NULL, i < callers ? work : work_beside, NULL) == 0, "thread");
  for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
  pthread_barrier_destroy(&gate);
  free(ids);
}

/* ---- jobs and answers ------------------------------------------------------------------------------------------ */

static void read_call(struct call *call) {
  size_t room = 0, fields = 1, args = 0, variables = 0;
  if (getline(&call->line, &room, stdin) < 0) die("a call is missing");
  call->line[strcspn(call->line, "\n")] = 0;
  for (const char *at = call->line; *at != 0; at++) fields += *at == '\t';
  call->argv = zeroed(fields + 1, sizeof(char *));
  call->env = zeroed(fields + 1, sizeof(char *));
  call->input = "";
  char *rest = call->line, *field;
  while ((field = strsep(&rest, "\t")) != NULL) {
    if (*field == 'a') call->argv[args++] = field + 1;
    else if (*field == 'e') call->env[variables++] = field + 1;
    else if (*field == 'i') call->input = field + 1;
    else die("unknown field: %s", field);
  }
  if (args == 0) die("a call without a program");
}

static void answer(const struct call *call, uint64_t first) {
  if (call->took == 0) {
    puts("-");
    return;
  }
  for (char *at = call->output; *at != 0; at++)
    if ((unsigned char)*at < ' ') *at = ' ';
  printf("%llu %llu %d %s\n", (unsigned long long)(call->start - first), (unsigned long long)call->took, call->status,
         call->output);
}

static void job(int callers) {
  long count = shared + beside;
  uint64_t first = UINT64_MAX;
  calls = zeroed((size_t)count, sizeof *calls);
  for (long i = 0; i < count; i++) read_call(&calls[i]);
  run(callers);
  for (long i = 0; i < count; i++)
    if (calls[i].took > 0 && calls[i].start < first) first = calls[i].start;
  for (long i = 0; i < count; i++) {
    answer(&calls[i], first);
    free(calls[i].line);
    free(calls[i].argv);
    free(calls[i].env);
    free(calls[i].output);
  }
  fflush(stdout);
  free(calls);
}

int main(int argc, char **argv) {
  if (argc != 2) die("usage: caller NETNS");
  int netns = open(argv[1], O_RDONLY | O_CLOEXEC);
  must(netns >= 0 && setns(netns, CLONE_NEWNET) == 0, argv[1]);
  close(netns);
  char line[64];
  int callers;
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (sscanf(line, "run %d %ld %ld", &callers, &shared, &beside) != 3 || callers < 1) die("unknown job: %s", line);
    job(callers);
  }
  return 0;
}
