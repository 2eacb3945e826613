// SPDX-License-Identifier: Apache-2.0
// In which order the images of a dependency tree provide files: upper first, first provider wins
// (appc.md §2.6). Pure.
import { StoreError } from "./errors.ts";

/** An image in render order; the image itself has level 0, its dependencies 1, theirs 2 … */
export interface Ordered<Image> {
  readonly image: Image;
  readonly level: number;
}

/** A tree of more images than this is a loop or an attack: an image that two others need counts twice. */
export const MAX_RENDERED_IMAGES = 1024;

/**
 * Flattens the dependency tree of `root`. Every dependency is inserted right behind the image that needs
 * it, so that the last one listed comes first. Throws DEPENDENCY_CYCLE when it does not come to an end.
 */
export function renderOrder<Image>(
  root: Image,
  dependenciesOf: (image: Image) => readonly Image[],
): readonly Ordered<Image>[] {
  const order: Ordered<Image>[] = [{ image: root, level: 0 }];
  for (let i = 0; i < order.length; i++) {
    const current = order[i];
    if (current === undefined) break;
    for (const image of dependenciesOf(current.image)) {
      if (order.length >= MAX_RENDERED_IMAGES) {
        throw new StoreError(
          "DEPENDENCY_CYCLE",
          `cannot order the dependencies: more than ${MAX_RENDERED_IMAGES} images, or one depends on itself`,
        );
      }
      order.splice(i + 1, 0, { image, level: current.level + 1 });
    }
  }
  return order;
}
