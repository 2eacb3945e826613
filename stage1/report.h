/* SPDX-License-Identifier: Apache-2.0
 * How a failure inside the pod becomes one sentence outside of it, and the other messages between our processes.
 * Every message is one packet of a SOCK_SEQPACKET pair. */
#ifndef RKT_REPORT_H
#define RKT_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* `text`: "cannot mount overlay at "/": reason". `remedy`: what to try, or empty. */
struct report {
  int err;
  uint32_t op; /* index of the operation in the plan */
  int status;  /* the exit status that it leads to */
  char text[900];
  char remedy[300];
};

/* Fills `r` with `cannot ACTION "PATH": REASON` and returns -1. PATH may be NULL; REASON is that of `err`, or `why`
 * where the caller knows better. */
int fail(struct report *r, int err, const char *action, const char *path);
int fail_why(struct report *r, int err, const char *action, const char *path, const char *why);
void remedy(struct report *r, const char *text);

enum message_type {
  MESSAGE_READY,    /* app: set up; `value` is its pid in the pod */
  MESSAGE_STARTED,  /* app: about to execute; as above */
  MESSAGE_FAILED,   /* app or PID 1: `report` follows */
  MESSAGE_TERMINAL, /* app: the descriptor of the terminal's master */
  MESSAGE_EXITED,   /* PID 1: app `app` ended with `value` (an exit status) */
  MESSAGE_SIGNAL,   /* supervisor to PID 1: SIGTERM: each app gets its stop signal; SIGKILL: all get it */
  MESSAGE_GO,       /* supervisor to app: every app is ready, or what it asked for is done; to PID 1: its users are mapped */
  MESSAGE_JOIN,     /* app: put me into my cgroups; answered by MESSAGE_GO, or by the end */
  MESSAGE_MOUNT,    /* lender to supervisor: the descriptor of a mount, for operation `value` (see userns.h) */
};

struct message {
  uint32_t type;
  uint32_t app;
  int32_t value;
  pid_t sender;      /* filled by receive: the sender's pid as the receiver sees it, or 0 */
  int fd;            /* likewise: a descriptor, or -1 */
  struct report report; /* sent only with MESSAGE_FAILED */
};

/* `fd` -1: none. False when the other side is gone. */
bool send_message(int socket, struct message *m, int fd);
/* 1 a message, 0 the other side is gone, -1 nothing now (the socket is not waited for when `wait` is false). */
int receive_message(int socket, struct message *m, bool wait);

#endif
