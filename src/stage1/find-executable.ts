// SPDX-License-Identifier: Apache-2.0
// Which file of the image an app's first word means (rkt-runtime.md §7.4).
import type { App } from "../appc/index.ts";
import { quote } from "../lib/text.ts";
import { Stage1Error } from "./errors.ts";
import { statInRoot, withImageRoot } from "./image-root.ts";
import type { ResolvedCommand } from "./plan/input.ts";
import { cleanPath } from "./plan/volumes.ts";

export interface FindContext {
  /** The app's root, or the image's: a directory of the host. */
  readonly rootfs: string;
  readonly app: Pick<App, "workingDirectory">;
  readonly environment: readonly (readonly [name: string, value: string])[];
  /** For the sentence when there is nothing to execute. */
  readonly imageName: string;
}

/** Where a word without a slash is searched; relative entries are below the working directory. */
function searchPath({ app, environment }: FindContext): readonly string[] {
  const workdir = app.workingDirectory === "" ? "/" : app.workingDirectory;
  const path = environment.find(([name]) => name === "PATH")?.[1];
  if (path === undefined || path === "") return [workdir, "/bin", "/usr/bin"];
  return path.split(":").map((entry) => (entry.startsWith("/") ? entry : `${workdir}/${entry}`));
}

/**
 * The program that `exec` starts. An absolute path is taken as it is, whether it exists or not: a volume may bring
 * it, and stage1 explains a failure better. Throws EXEC_EMPTY, EXECUTABLE_NOT_FOUND.
 */
export function findCommand(exec: readonly string[], context: FindContext): ResolvedCommand {
  const [word, ...args] = exec;
  if (word === undefined || word === "") {
    throw new Stage1Error(
      "EXEC_EMPTY",
      `image ${quote(context.imageName)} has an empty "exec" (try --exec=BINARY)`,
    );
  }
  if (word.startsWith("/")) return { path: word, args };
  const { workingDirectory } = context.app;
  if (word.includes("/")) return { path: cleanPath(`${workingDirectory}/${word}`), args };
  const directories = searchPath(context);
  return withImageRoot(context.rootfs, (rootFd) => {
    for (const directory of directories) {
      const path = cleanPath(`${directory}/${word}`);
      const stats = statInRoot(rootFd, path, true);
      if (stats?.isFile() === true && (stats.mode & 0o111) !== 0) return { path, args };
    }
    throw new Stage1Error(
      "EXECUTABLE_NOT_FOUND",
      `unable to find ${quote(word)} in ${quote(directories.join(":"))}`,
      { remedy: "--exec=PATH with the program's absolute path in the image" },
    );
  });
}
