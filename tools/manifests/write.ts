/** From objects to the text of YAML files: the order of the objects' own fields, comments above what they explain. */
import { Document, isCollection, isMap, isPair, isScalar, type Node } from "yaml";
import type { ManifestDocument, ManifestFile } from "./model.ts";

/** The first line of every file: by it `tollgate manifests` knows files that it made itself. */
export const heading =
  "# Made by `tollgate manifests`. Don't edit it: change tollgate.yaml or the command's options, and make it anew.";

/** The text of a file. Throws when a comment is for a field that isn't there. */
export function manifestText(file: ManifestFile): string {
  return `${heading}\n${file.documents.map((document) => `---\n${documentText(document, file.path)}`).join("")}`;
}

function documentText({ comment, object, comments }: ManifestDocument, path: string): string {
  // Kubernetes reads YAML 1.1, where a bare `on`, `no` or `010` is no string: such strings are quoted. Nothing is shared by an alias, so that each object reads alone.
  const document = new Document(object, { version: "1.1", aliasDuplicateObjects: false });
  for (const [pointer, text] of comments ?? []) {
    const node = nodeAt(document.contents, pointer);
    if (node === undefined)
      throw new Error(`${path}: ${object.kind} ${object.metadata.name} has no field ${pointer} to explain`);
    node.commentBefore = commentText(text);
  }
  // The comment of a collection would come after its key, and that of the first field takes the object's place: so this one is put in front by hand.
  return `${commentText(comment).replaceAll(/^/gm, "#")}\n${document.toString({ lineWidth: 0, directives: false })}`;
}

function commentText(text: string): string {
  return text
    .trimEnd()
    .split("\n")
    .map((line) => (line === "" ? "" : ` ${line}`))
    .join("\n");
}

/** The key of a field or the item of a list that a JSON pointer names. */
function nodeAt(root: unknown, pointer: string): Node | undefined {
  let at: unknown = root;
  let named: Node | undefined;
  for (const step of pointer
    .split("/")
    .slice(1)
    .map((text) => text.replaceAll("~1", "/").replaceAll("~0", "~"))) {
    if (isMap(at)) {
      const pair = at.items.find(({ key }) => isScalar(key) && String(key.value) === step);
      if (pair === undefined || !isScalar(pair.key)) return undefined;
      named = pair.key;
      at = pair.value;
    } else if (isCollection(at)) {
      const item: unknown = at.items[Number(step)];
      if (item === undefined || isPair(item)) return undefined;
      named = item as Node;
      at = item;
    } else return undefined;
  }
  return named;
}
