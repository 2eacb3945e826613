// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import fc from "fast-check";
import { MAX_RENDERED_IMAGES, renderOrder } from "./render-order.ts";

type Graph = Readonly<Record<string, readonly string[]>>;

function order(graph: Graph): string {
  return renderOrder("A", (image) => graph[image] ?? [])
    .map(({ image, level }) => `${image}${level}`)
    .join(" ");
}

test("the last listed dependency comes first, each followed by its own", () => {
  expect(order({ A: ["B", "C"], C: ["D"] })).toBe("A0 C1 D2 B1");
});

test("an image that two others need counts twice", () => {
  expect(order({ A: ["B", "C"], B: ["D"], C: ["D"] })).toBe("A0 C1 D2 B1 D2");
});

test("an image that depends on itself is an error and not an endless loop", () => {
  expect(() => order({ A: ["B"], B: ["A"] })).toThrow("depends on itself");
});

test("a tree that doubles at every level is cut off", () => {
  const graph = Object.fromEntries(
    Array.from({ length: 30 }, (_, i) => [i === 0 ? "A" : `n${i}`, [`n${i + 1}`, `n${i + 1}`]]),
  );
  expect(() => order(graph)).toThrow(`more than ${MAX_RENDERED_IMAGES} images`);
});

/** Graphs without cycles: an image needs only those with a higher number. */
const graphs = fc
  .array(fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 3 }), { maxLength: 6 })
  .map((rows) =>
    Object.fromEntries(
      rows.map((steps, i) => [i === 0 ? "A" : `${i}`, steps.map((step) => `${i + step}`)]),
    ),
  );

test("property: read backwards it is the specification's depth-first order, where later wins", () => {
  const depthFirst = (graph: Graph, image: string): string[] => [
    ...(graph[image] ?? []).flatMap((child) => depthFirst(graph, child)),
    image,
  ];
  fc.assert(
    fc.property(graphs, (graph) => {
      const images = renderOrder("A", (image) => graph[image] ?? []).map(({ image }) => image);
      // A→[B,C], C→[D] is applied as B, D, C, A (appc.md §2.6).
      expect(images.toReversed()).toEqual(depthFirst(graph, "A"));
    }),
  );
});
