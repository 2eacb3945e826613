/* SPDX-License-Identifier: Apache-2.0
 * Both ends of a connection, for bench/network.ts, static so that it runs in an image of nothing else:
 *   serve PORT                      takes one connection after the other: swallows or echoes what comes
 *   throughput ADDRESS PORT SECONDS prints megabytes per second
 *   latency ADDRESS PORT COUNT      prints the median round trip of 64 bytes in microseconds */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char buffer[128 * 1024];

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int read_all(int fd, char *data, size_t size) {
  for (size_t at = 0; at < size;) {
    ssize_t n = read(fd, data + at, size - at);
    if (n <= 0) return 0;
    at += (size_t)n;
  }
  return 1;
}

static void answer(int fd) {
  int on = 1;
  ssize_t n;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (!read_all(fd, buffer, 1)) return;
  if (buffer[0] == 'l') {
    while (read_all(fd, buffer, 64))
      if (write(fd, buffer, 64) != 64) return;
    return;
  }
  while ((n = read(fd, buffer, sizeof buffer)) > 0) continue;
  if (n == 0 && write(fd, "+", 1) != 1) return;
}

static int serve(int port) {
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&name, sizeof name) < 0 || listen(fd, 8) < 0) return 1;
  puts("up");
  fflush(stdout);
  for (;;) {
    int connection = accept(fd, NULL, NULL);
    if (connection < 0) return 1;
    answer(connection);
    close(connection);
  }
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static int measure_latency(int fd, int count) {
  double *samples = calloc((size_t)count, sizeof *samples);
  if (samples == NULL || count < 1 || write(fd, "l", 1) != 1) return 1;
  for (int i = 0; i < count; i++) {
    double start = now();
    if (write(fd, buffer, 64) != 64 || !read_all(fd, buffer, 64)) return 1;
    samples[i] = now() - start;
  }
  qsort(samples, (size_t)count, sizeof *samples, by_size);
  printf("%.3f\n", samples[count / 2] * 1e6);
  return 0;
}

static int measure_throughput(int fd, int seconds) {
  double start = now(), sent = 0;
  if (write(fd, "t", 1) != 1) return 1;
  while (now() - start < seconds) {
    ssize_t n = write(fd, buffer, sizeof buffer);
    if (n <= 0) return 1;
    sent += (double)n;
  }
  shutdown(fd, SHUT_WR);
  if (!read_all(fd, buffer, 1)) return 1; /* all of it has arrived */
  printf("%.3f\n", sent / 1e6 / (now() - start));
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "serve") == 0) return serve(atoi(argv[2]));
  if (argc != 5) return 2;
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[3]))};
  int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
  inet_pton(AF_INET, argv[2], &name.sin_addr);
  if (connect(fd, (struct sockaddr *)&name, sizeof name) < 0) return 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return strcmp(argv[1], "latency") == 0 ? measure_latency(fd, atoi(argv[4])) : measure_throughput(fd, atoi(argv[4]));
}
