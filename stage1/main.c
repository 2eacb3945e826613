/* SPDX-License-Identifier: Apache-2.0
 * stage1: what rkt becomes (run) or starts (enter). Not for people: rkt executes it from a sealed memory file.
 *
 *   stage1 run PLANFD LOCKFD UUID USERFD SOCKETFD...   cwd = the pod directory; runs the pod, in the user namespace
 *                                                      USERFD ("-": a new one, if any), and gives the sockets to apps
 *   stage1 enter PLANFD UUID                           runs one more program beside an app
 *   stage1 namespaces                                  new user and network namespaces, held until stdin ends
 *   stage1 work CAPABILITIES ID DESCRIPTORS PLACES PLACE... ARGV...
 *                                                      rkt, whose executable is descriptor 3, with hardly any power
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "enter.h"
#include "plan.h"
#include "pod.h"
#include "process.h"
#include "supervise.h"
#include "userns.h"
#include "util.h"
#include "work.h"

/* A descriptor's number; -1 when there is none. */
static int take_descriptor(const char *word) {
  int fd = 0;
  for (const char *c = word; *c != 0; c++) {
    if (*c < '0' || *c > '9' || fd > 100000000) return -1;
    fd = fd * 10 + (*c - '0');
  }
  return fd > 2 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 ? fd : -1;
}

/* rkt runs without one of the standard descriptors when its caller closed it; the next open must not become it. */
static void fill_standard_descriptors(void) {
  int fd;
  do fd = open("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= 2);
  close_fd(fd);
}

static const char *open_plan(int fd, struct plan *plan) {
  struct stat st;
  if (fd < 0 || fstat(fd, &st) < 0) return "its descriptor is not open";
  if (st.st_size <= 0 || st.st_size > PLAN_MAX_BYTES) return "its size is wrong";
  const void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (data == MAP_FAILED) return strerror(errno);
  return plan_open(plan, data, (size_t)st.st_size);
}

/* They become 3, 4 and so on, close-on-exec (a place whose descriptor is -1 stays empty), and all others are closed.
 * Above all places first: each may be where another goes. */
static int place_descriptors(const int *fds, unsigned count) {
  int lifted[FIRST_SOCKET + MAX_SOCKETS];
  for (unsigned i = 0; i < count; i++) {
    lifted[i] = fds[i] < 0 ? -1 : fcntl(fds[i], F_DUPFD_CLOEXEC, 3 + count);
    if (fds[i] >= 0 && lifted[i] < 0) return -1;
  }
  sys_close_range(3, 2 + count);
  for (unsigned i = 0; i < count; i++)
    if (lifted[i] >= 0 && dup3(lifted[i], (int)(3 + i), O_CLOEXEC) < 0) return -1;
  sys_close_range(3 + count, ~0u);
  return 0;
}

int main(int argc, char **argv) {
  bool run = argc >= 6 && strcmp(argv[1], "run") == 0;
  bool enter = argc == 4 && strcmp(argv[1], "enter") == 0;
  if (argc == 2 && strcmp(argv[1], "namespaces") == 0) return userns_hold();
  struct worker worker;
  if (argc > 2 && strcmp(argv[1], "work") == 0 && worker_parse(&worker, argc - 2, argv + 2)) return work(&worker);
  if (!run && !enter) {
    say("stage1: not a command: this program is a part of rkt", NULL);
    return STATUS_FAILED;
  }
  struct plan plan;
  fill_standard_descriptors();
  remember_file_limit();
  prctl(PR_SET_NAME, run ? "rkt" : "rkt-enter", 0, 0, 0);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  int plan_fd = take_descriptor(argv[2]), fds[FIRST_SOCKET + MAX_SOCKETS];
  unsigned count = run ? (unsigned)argc - 4 : 0; /* lock, user namespace, sockets */
  const char *wrong = open_plan(plan_fd, &plan);
  if (wrong == NULL && count > FIRST_SOCKET - 3 + MAX_SOCKETS) wrong = "it comes with too many sockets";
  for (unsigned i = 0; wrong == NULL && i < count; i++) {
    const char *word = argv[i == 0 ? 3 : i + 4];
    fds[i] = take_descriptor(word);
    if (fds[i] < 0 && (i != 1 || strcmp(word, "-") != 0)) wrong = "a descriptor is not open";
  }
  if (wrong != NULL) {
    say("stage1: cannot read the plan: ", wrong, NULL);
    return STATUS_FAILED;
  }
  /* Nothing else that rkt had open, or was given, goes on. */
  close_fd(plan_fd);
  if (place_descriptors(fds, count) < 0) {
    say("stage1: cannot keep the pod's descriptors: ", strerror(errno), NULL);
    return STATUS_FAILED;
  }
  return run ? supervise(&plan, 3, fds[1] < 0 ? -1 : 4, count - 2) : enter_app(&plan);
}
