/* SPDX-License-Identifier: Apache-2.0
 * Output on its way from the apps to the caller and to the logs. Nothing here waits: a reader that is slow stops
 * the reading of what would go to it (the app then waits in write), one that is gone is forgotten. */
#ifndef RKT_RELAY_H
#define RKT_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RELAY_CHUNK (256u * 1024)
#define RELAY_LINE (16u * 1024) /* a longer line is cut into several when lines are prefixed */

/* The caller's stdout or stderr. One chunk at a time is under way. */
struct sink {
  int fd;      /* -1: gone */
  bool socket;
  size_t at, end; /* what of `data` is still to be written */
  uint8_t *data;  /* RELAY_CHUNK bytes */
};

/* An app's log file in CRI format, both streams in one. */
struct log {
  int dir;   /* of the logs; -1: no log is kept */
  int fd;
  const char *name;
  uint64_t size, limit;
};

/* One output stream of an app. */
struct stream {
  int fd; /* -1: ended */
  struct sink *sink;
  struct log *log;
  const char *log_tag;  /* "stdout" or "stderr" */
  const char *app;      /* not NULL: lines are prefixed with this and `pid` */
  int pid;
  uint8_t *line;        /* prefixed streams: the unfinished line, RELAY_LINE bytes */
  size_t have;
};

/* Prepares the caller's descriptor `fd`: reopened without blocking where that is possible. */
void sink_open(struct sink *s, int fd);
bool sink_busy(const struct sink *s);
/* Writes what it can. */
void sink_flush(struct sink *s);

void log_open(struct log *l, int dir, const char *name, uint64_t limit);
void log_write(struct log *l, const char *tag, const uint8_t *data, size_t size);

/* May be read now: its sink has nothing under way. */
bool stream_wants(const struct stream *s);
/* Reads once and passes on. Returns false when there is nothing to read for now. Sets fd to -1 at the end. */
bool stream_read(struct stream *s);

/* Gives the buffers' memory back; they must be empty. Called when nothing has moved for a while. */
void relay_trim(struct sink *sinks, size_t count);

#endif
