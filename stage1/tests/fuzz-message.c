/* SPDX-License-Identifier: Apache-2.0
 * libFuzzer: any packets on the socket between an app, PID 1 and the supervisor. What is taken can be printed, nothing
 * of an earlier packet is in a later one, and no descriptor stays open but the one that is handed over. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "report.h"
#include "util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte: how many descriptors go along. */
static void send_packet(int socket, const uint8_t *data, size_t size) {
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(3 * sizeof(int))];
  } control = {0};
  int fds[3] = {0, 0, 0};
  size_t count = size == 0 ? 0 : data[0] % 4u;
  struct iovec part = {.iov_base = malloc(size + 1), .iov_len = size == 0 ? 0 : size - 1};
  struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
  if (part.iov_base == NULL) abort();
  if (size > 0) memcpy(part.iov_base, data + 1, size - 1);
  if (count > 0) {
    header.msg_control = &control;
    header.msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr *c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(c), fds, count * sizeof(int));
  }
  sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
  free(part.iov_base);
}

static int lowest_free(void) {
  int fd = dup(0);
  close(fd);
  return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  int pair[2], on = 1, got;
  volatile size_t sum = 0;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) return 0;
  if (size > 0 && (data[0] & 0x80) != 0) setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
  size_t half = size / 2;
  send_packet(pair[1], data, half);
  send_packet(pair[1], data + half, size - half);
  close(pair[1]);
  int before = lowest_free();
  struct message m = {0};
  while ((got = receive_message(pair[0], &m, false)) == 1) {
    sum += strlen(m.report.text) + strlen(m.report.remedy);
    if (m.fd >= 0) close(m.fd);
  }
  if (lowest_free() != before) abort();
  (void)sum;
  close(pair[0]);
  return 0;
}
