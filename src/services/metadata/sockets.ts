// SPDX-License-Identifier: Apache-2.0
// What the service needs power for: its two sockets, the lock that keeps a second service away, and the key.
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { isErrno } from "../../lib/errors.ts";
import { REGISTRATION_SOCKET } from "../../pod/metadata.ts";
import { isListeningUnix, listenTcp4, listenUnix, makeNonBlocking } from "../../sys/listen.ts";
import { type Lock, tryLockFile } from "../../sys/lock.ts";
import { explained, MetadataError } from "./errors.ts";

/** Open descriptors; they are the service's for as long as it lives. */
export interface Sockets {
  readonly registration: number;
  readonly service: number;
  readonly lock: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** For registrations systemd's socket when there is one (sd_listen_fds(3)), else one of our own. */
export function openSockets(port: number, env: Environment): Sockets {
  const sentence = `cannot listen on ${REGISTRATION_SOCKET}`;
  const lock = explained("METADATA_SOCKET", sentence, takeLock);
  try {
    const registration = explained(
      "METADATA_SOCKET",
      sentence,
      () => passedSocket(env) ?? listenUnix(REGISTRATION_SOCKET, 0o600),
    );
    return { registration, service: listenPublic(port), lock: lock.fd };
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
}

const FIRST_PASSED_FD = 3;

function passedSocket({ LISTEN_FDS: count, LISTEN_PID: pid }: Environment): number | undefined {
  if (count === undefined || count === "" || (pid ?? String(process.pid)) !== String(process.pid)) {
    return undefined;
  }
  if (count !== "1") {
    throw new MetadataError(
      "METADATA_SOCKET",
      "cannot use the sockets of LISTEN_FDS: one is wanted, for registrations",
    );
  }
  // On a socket of the network anybody could register pods; what is no socket at all was not passed by systemd.
  if (!isListeningUnix(FIRST_PASSED_FD)) {
    throw new MetadataError(
      "METADATA_SOCKET",
      "cannot use the socket of LISTEN_FDS: it is not a unix socket that listens",
      { remedy: `ListenStream=${REGISTRATION_SOCKET} in the socket unit` },
    );
  }
  makeNonBlocking(FIRST_PASSED_FD);
  return FIRST_PASSED_FD;
}

function listenPublic(port: number): number {
  try {
    return listenTcp4(port);
  } catch (cause) {
    throw new MetadataError("METADATA_SOCKET", `cannot listen on port ${port}`, {
      cause,
      remedy: isErrno(cause, "EADDRINUSE") ? "choose another one with --listen-port" : undefined,
    });
  }
}

/** One service to a machine: its socket has one place. */
function takeLock(): Lock {
  mkdirSync(dirname(REGISTRATION_SOCKET), { recursive: true, mode: 0o755 });
  const lock = tryLockFile(`${REGISTRATION_SOCKET}.lock`, "exclusive", 0o600);
  if (lock !== undefined) return lock;
  throw new MetadataError("METADATA_RUNNING", "a metadata service is running already");
}
