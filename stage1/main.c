/* SPDX-License-Identifier: Apache-2.0
 * stage1: what rkt becomes (run) or starts (enter). Not for people: rkt executes it from a sealed memory file.
 *
 *   stage1 run PLANFD LOCKFD UUID [USERFD]   cwd = the pod directory; runs the pod, in the user namespace USERFD
 *   stage1 enter PLANFD UUID                 runs one more program beside an app
 *   stage1 namespaces                        new user and network namespaces, held until stdin ends
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
#include "process.h"
#include "supervise.h"
#include "userns.h"
#include "util.h"

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

/* From 3 on without a gap; what is behind them is closed. Close-on-exec: nothing of it is for a program. */
static int keep_descriptor(int fd, int place) {
  if (fd < 0 || fd == place) return fd;
  int kept = dup3(fd, place, O_CLOEXEC);
  close_fd(fd);
  return kept;
}

int main(int argc, char **argv) {
  bool run = (argc == 5 || argc == 6) && strcmp(argv[1], "run") == 0;
  bool enter = argc == 4 && strcmp(argv[1], "enter") == 0;
  if (argc == 2 && strcmp(argv[1], "namespaces") == 0) return userns_hold();
  if (!run && !enter) {
    say("stage1: not a command: this program is a part of rkt", NULL);
    return STATUS_FAILED;
  }
  struct plan plan;
  fill_standard_descriptors();
  remember_file_limit();
  prctl(PR_SET_NAME, run ? "rkt" : "rkt-enter", 0, 0, 0);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  int plan_fd = take_descriptor(argv[2]), lock = run ? take_descriptor(argv[3]) : -1;
  int users = argc == 6 ? take_descriptor(argv[5]) : -1;
  const char *wrong = open_plan(plan_fd, &plan);
  if (wrong != NULL || (run && lock < 0) || (argc == 6 && users < 0)) {
    say("stage1: cannot read the plan: ", wrong != NULL ? wrong : "the pod's lock or user namespace is not open", NULL);
    return STATUS_FAILED;
  }
  /* Nothing else that rkt had open, or was given, goes on. */
  close_fd(plan_fd);
  /* Above both places first: each may be where the other goes. */
  int high = users < 0 ? -1 : fcntl(users, F_DUPFD_CLOEXEC, 5);
  close_fd(users);
  lock = keep_descriptor(lock, 3);
  if ((run && lock < 0) || (users >= 0 && (users = keep_descriptor(high, 4)) < 0)) {
    say("stage1: cannot keep the pod's lock: ", strerror(errno), NULL);
    return STATUS_FAILED;
  }
  sys_close_range(lock < 0 ? 3u : users < 0 ? 4u : 5u, ~0u);
  return run ? supervise(&plan, lock, users) : enter_app(&plan);
}
