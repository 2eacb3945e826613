// SPDX-License-Identifier: Apache-2.0

import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  acIdentifier,
  acName,
  exposedPort,
  labelsWith,
  mountPointWith,
  plainValue,
  port,
  volumeWith,
} from "./arbitraries.ts";
import {
  formatAppString,
  formatExposedPort,
  formatMount,
  formatMountPoint,
  formatPort,
  formatVolume,
  parseAppString,
  parseExposedPort,
  parseMount,
  parseMountPoint,
  parsePort,
  parseVolume,
} from "./parameters.ts";

test("an app string is a name, a version and labels", () => {
  expect<unknown>(parseAppString("example.com/reduce-worker:1.0.0,channel=alpha,os=linux")).toEqual(
    {
      name: "example.com/reduce-worker",
      labels: [
        { name: "version", value: "1.0.0" },
        { name: "channel", value: "alpha" },
        { name: "os", value: "linux" },
      ],
    },
  );
  expect<unknown>(parseAppString("a,x=!*'();@&+$/?#[]=%20")).toEqual({
    name: "a",
    labels: [{ name: "x", value: "!*'();@&+$/?#[]=%20" }],
  });
  expect<unknown>(parseAppString("a:$&")).toEqual({
    name: "a",
    labels: [{ name: "version", value: "$&" }],
  });
});

test("bad app strings have the reference's sentences", () => {
  for (const [text, message] of [
    ["a,x=1:2", "malformed app string - colon may appear only right after the app name"],
    ["a:1:2", "malformed app string - colon may appear at most once"],
    ["a:1,version=2", `label version with multiple values ["1" "2"]`],
    ["a,name=b", `label name with multiple values ["a" "b"]`],
    ["a,x", `malformed string "name=a,x" - has a label without a value: x`],
    ["", "ACIdentifier cannot be empty"],
    ["A", "ACIdentifier must contain only lower case"],
    ["a,X=1", "ACIdentifier must contain only lower case"],
    ["a,=1", "ACIdentifier cannot be empty"],
  ] as const) {
    expect(() => parseAppString(text)).toThrow(message);
  }
});

test("a volume string has defaults and the rules of its kind", () => {
  expect<unknown>(
    parseVolume("database,kind=host,source=/tmp/a+b;c%20=,readOnly=true,recursive=F"),
  ).toEqual({
    name: "database",
    kind: "host",
    source: "/tmp/a+b;c%20=",
    readOnly: true,
    recursive: false,
  });
  expect<unknown>(parseVolume("v,kind=empty")).toEqual({
    name: "v",
    kind: "empty",
    mode: "0755",
    uid: 0,
    gid: 0,
  });
  for (const [text, message] of [
    ["v", `unrecognized volume kind: should be one of "empty", "host"`],
    ["V,kind=empty", "ACName must contain only lower case"],
    ["v,kind=host,source=x", "source for host volume must be absolute path"],
    ["v,kind=host,source=/x,uid=0", "uid for host volume cannot be set"],
    ["v,kind=empty,color=red", `unknown volume parameter "color"`],
    ["v,kind=empty,uid=x", `"x" is not a whole number`],
    ["v,kind=empty,readOnly=yes", `"yes" is neither true nor false`],
    ["v,kind=empty,kind=host", `label kind with multiple values ["empty" "host"]`],
    ["v,kind", `malformed string "name=v,kind" - has a label without a value: kind`],
  ] as const) {
    expect(() => parseVolume(text)).toThrow(message);
  }
});

test("a mount point string needs a path", () => {
  expect<unknown>(parseMountPoint("db,path=/tmp,readOnly=1")).toEqual({
    name: "db",
    path: "/tmp",
    readOnly: true,
  });
  expect(() => parseMountPoint("db")).toThrow("path must be set");
  expect(() => parseMountPoint("db,path=/x,kind=y")).toThrow(`unknown mountpoint parameter "kind"`);
});

test("a port string is one port unless it says how many", () => {
  expect<unknown>(parsePort("query,protocol=tcp,port=8080,socketActivated=t")).toEqual({
    name: "query",
    protocol: "tcp",
    port: 8080,
    count: 1,
    socketActivated: true,
  });
  for (const [text, message] of [
    ["q", "port must be in 1-65535 range"],
    ["q,port=0", "port must be in 1-65535 range"],
    ["q,port=65536", `"65536" is more than 65535`],
    ["q,port=-1", `"-1" is not a whole number of 0 or more`],
    ["q,port=65535,count=2", "end of port range must be in 1-65535 range"],
    ["q,port=1,x=y", `unknown port parameter "x"`],
  ] as const) {
    expect(() => parsePort(text)).toThrow(message);
  }
});

test("a mount names a volume and a target", () => {
  expect<unknown>(parseMount("volume=db,target=/var/lib/db")).toEqual({
    volume: "db",
    path: "/var/lib/db",
  });
  for (const [text, message] of [
    [
      "volume=DB,target=/x",
      `invalid volume name "DB" in --mount flag "volume=DB,target=/x": ACName must`,
    ],
    ["target=/x", `invalid volume name "" in --mount flag "target=/x": ACName cannot be empty`],
    ["volume=db", "path must be set"],
    ["volume=db,target=/x,source=/y", `unknown mount parameter "source"`],
  ] as const) {
    expect(() => parseMount(text)).toThrow(message);
  }
});

test("an exposed port is a name, perhaps an address, and a port", () => {
  expect<unknown>(parseExposedPort("www:8080")).toEqual({ name: "www", hostPort: 8080 });
  expect<unknown>(parseExposedPort("www:127.0.0.1:80")).toEqual({
    name: "www",
    hostPort: 80,
    hostIP: "127.0.0.1",
  });
  expect(parseExposedPort("www:[2001:DB8:0::1]:80").hostIP).toBe("2001:db8::1");
  for (const [text, message] of [
    ["www", `"www" is not in name:[ip:]port format`],
    ["www:1:2:3", `"www:1:2:3" is not in name:[ip:]port format`],
    ["WWW:80", `"WWW" is not a valid port name`],
    ["www:1.2.3.400:80", `"1.2.3.400" is not a valid IP`],
    ["www::80", `"" is not a valid IP`],
    ["www:[::g]:80", `"[::g]" is not a valid IP`],
    ["www:65536", `"65536" is not a valid port number`],
    ["www:", `"" is not a valid port number`],
  ] as const) {
    expect(() => parseExposedPort(text)).toThrow(message);
  }
});

test("every command-line form can be read back", () => {
  const value = plainValue;
  const path = value.map((text) => `/${text}`);
  fc.assert(
    fc.property(
      fc.record({
        app: fc.record({ name: acIdentifier, labels: labelsWith(value) }),
        volume: volumeWith(value),
        mountPoint: mountPointWith(path),
        port,
        mount: fc.record({ volume: acName, path }),
        exposed: exposedPort,
      }),
      ({ app, volume, mountPoint, port, mount, exposed }) => {
        const { name, labels } = parseAppString(formatAppString(app));
        const sorted = (list: typeof labels) =>
          [...list].sort((a, b) => (a.name < b.name ? -1 : 1));
        expect(name).toBe(app.name);
        expect(sorted(labels)).toEqual(sorted(app.labels));
        expect(parseVolume(formatVolume(volume))).toEqual(volume);
        expect(parseMountPoint(formatMountPoint(mountPoint))).toEqual(mountPoint);
        expect(parsePort(formatPort(port))).toEqual(port);
        expect(parseMount(formatMount(mount))).toEqual(mount);
        const { podPort: _, ...visible } = exposed;
        expect(parseExposedPort(formatExposedPort(exposed))).toEqual(visible);
      },
    ),
  );
});
