/* SPDX-License-Identifier: Apache-2.0
 * Small helpers: descriptors that close themselves, text without stdio, and the system calls that libc lacks. */
#ifndef RKT_UTIL_H
#define RKT_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define STATUS_EXEC 203  /* systemd's status for "could not execute", which rkt's scripts know */
#define STATUS_FAILED 254 /* rkt's status for its own failures */

static inline void cleanup_fd(const int *fd);
#define CLOSING __attribute__((cleanup(cleanup_fd)))

void close_fd(int fd);
static inline void cleanup_fd(const int *fd) { close_fd(*fd); }

/* Text in a fixed buffer, always terminated, silently cut at its end. */
struct text {
  char *data;
  size_t size;
  size_t length;
};
#define TEXT(buffer) ((struct text){(buffer), sizeof(buffer), 0})
void text_add(struct text *t, const char *s);
/* In double quotes, control characters left out. */
void text_quote(struct text *t, const char *s);
void text_number(struct text *t, uint64_t n);
/* strerror with a lower-case first letter, in the manner of all our sentences. */
void text_errno(struct text *t, int err);

/* Writes everything, waiting as needed; false on an error. */
bool write_all(int fd, const void *data, size_t size);
/* One line on stderr: the parts up to a NULL. */
void say(const char *first, ...) __attribute__((sentinel));

/* DIR/NAME := text, through a temporary name, so that a reader sees all or nothing. errno on failure, else 0. */
int write_file(int dir, const char *name, const char *text);

uint64_t now_ms(void);

int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
/* clone3(2) as fork: flags, and a cgroup descriptor or -1. Returns like fork. */
pid_t sys_clone(uint64_t flags, int cgroup);
int sys_close_range(unsigned first, unsigned last);
int sys_pidfd_open(pid_t pid);
int sys_pidfd_send_signal(int pidfd, int signal);

#endif
