import { NameIndex } from "../../../assembly/snapshot/nameIndex";

/** A text in memory that stays. */
function textOf(text: string): usize {
  const at = heap.alloc(String.UTF8.byteLength(text) + 1);
  String.UTF8.encodeUnsafe(changetype<usize>(text), text.length, at);
  return at;
}

function begin(names: u32): NameIndex {
  const index = new NameIndex();
  expect(index.reserve(names)).toBeTruthy();
  while (!index.clear()) {}
  return index;
}

function put(index: NameIndex, name: string, wireId: u32): bool {
  return index.put(textOf(name), name.length, wireId);
}
function get(index: NameIndex, name: string): u32 {
  return index.get(textOf(name), name.length);
}
function remove(index: NameIndex, name: string, wireId: u32): void {
  index.remove(textOf(name), name.length, wireId);
}

describe("an index of names", () => {
  it("finds what was entered, to the byte", () => {
    const index = begin(10);
    expect(put(index, "acme", 7)).toBeTruthy();
    expect(put(index, "acm", 8)).toBeTruthy();
    expect(get(index, "acme")).toBe(7);
    expect(get(index, "acm")).toBe(8);
    expect(get(index, "Acme")).toBe(0);
    expect(get(index, "acme ")).toBe(0);
    expect(get(index, "")).toBe(0);
    index.free();
  });

  it("has one owner of a name: the last one; the former one can't take it away", () => {
    const index = begin(10);
    put(index, "acme", 1);
    put(index, "acme", 2);
    expect(index.count).toBe(1);
    remove(index, "acme", 1);
    expect(get(index, "acme")).toBe(2);
    remove(index, "acme", 2);
    expect(get(index, "acme")).toBe(0);
    expect(index.count).toBe(0);
    index.free();
  });

  it("is empty without memory", () => {
    const index = new NameIndex();
    expect(get(index, "acme")).toBe(0);
    remove(index, "acme", 1);
    index.free();
  });

  it("holds as many as it was made for, then says that it's full, and changes of those it has still go", () => {
    const index = begin(500);
    let n: u32 = 0;
    while (n < 5000 && put(index, "name-" + n.toString(), n + 1)) n++;
    expect(n).toBeGreaterThan(500);
    expect(n).toBeLessThan(1000);
    for (let i: u32 = 0; i < n; i++) expect(get(index, "name-" + i.toString())).toBe(i + 1);
    expect(get(index, "name-" + n.toString())).toBe(0);
    expect(put(index, "name-3", 99)).toBeTruthy();
    expect(get(index, "name-3")).toBe(99);
    index.free();
  });

  it("finds the others among many that went, and takes their places again", () => {
    const index = begin(200);
    for (let round: u32 = 0; round < 20; round++) {
      for (let i: u32 = 0; i < 150; i++) expect(put(index, "n" + i.toString(), i + 1)).toBeTruthy();
      for (let i: u32 = 0; i < 150; i++) if (i % 3 != 0) remove(index, "n" + i.toString(), i + 1);
      for (let i: u32 = 0; i < 150; i++) expect(get(index, "n" + i.toString())).toBe(i % 3 == 0 ? i + 1 : 0);
    }
    expect(index.count).toBe(50);
    index.free();
  });
});
